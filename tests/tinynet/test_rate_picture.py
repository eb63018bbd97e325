"""The picture of a search for a learning rate."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn, optim


def test_the_axis_of_rates_is_labelled_in_numbers():
    """The pictures' style has matplotlib read no mathematics, which it writes on a logarithmic axis by itself."""
    pytest.importorskip("matplotlib", reason="matplotlib is in the extra 'plot'")
    from tinynet.plots.style import style

    model = nn.Linear(3, 2)
    trainer = tn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), progress=False)
    found = tn.find_learning_rate(trainer, np.random.default_rng(0).random((40, 3)), np.arange(40) % 2, steps=20)
    with style():
        figure = found.figure()
        figure.canvas.draw()
        labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert "0.001" in labels and not any("$" in label for label in labels)
