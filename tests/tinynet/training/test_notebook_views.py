"""What notebooks show: HTML that is well formed, of every kind of value that one leaves as a cell's last line."""

import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

import kernels
import tinynet as tn
from tinynet import nn, optim
from tinynet.training import bars
from tinynet.training.curves import svg

X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def parsed(html):
    """The elements; refuses what is not well formed."""
    return ElementTree.fromstring(f"<div>{html}</div>")


@pytest.fixture(scope="module")
def trained():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    trainer = tn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), "numpy", progress=False)
    return trainer, trainer.fit(X, Y, epochs=3, validation_data=(X, Y), metrics="accuracy")


def test_a_history_shows_curves(trained):
    html = trained[1]._repr_html_()
    found = parsed(html)
    assert html.count("<svg") == 2 and html.count("<polyline") == 3 and len(html) < 10_000
    texts = " ".join(found.itertext())
    assert "training loss: " in texts and "validation loss: " in texts and "accuracy: " in texts
    assert parsed(tn.History()._repr_html_()) is not None
    assert (
        "<circle" in svg({"a": [1.0]}) and svg({"a": [float("nan")]}) == "" and "a &lt; b" in svg({"a < b": [-1, 2.0]})
    )


def test_a_module_shows_its_layers(trained):
    html = trained[0].model._repr_html_()
    rows = parsed(html).findall(".//tbody/tr")
    assert [row[0].text for row in rows] == ["(whole)", "0", "1", "2"]
    assert [row[3].text for row in rows] == [None, "16", None, "10"] and "weight (3, 4), bias (4,)" in html
    assert "Sequential: 26 parameters" in html


def test_programs_profiles_and_explanations_show_tables(trained):
    trainer = trained[0]
    profile = trainer.profile(X, Y)
    for shown in (trainer.program, profile):
        html = shown._repr_html_()
        assert len(parsed(html).findall(".//tbody/tr")) == len(trainer.program)
        assert html.count('role="img"') >= len(trainer.program) and "matmul" in html
    html = kernels.explain("exp", "numpy")._repr_html_()
    assert parsed(html) is not None and "out = e**x." in html


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (100, 200), (0, 3)])
def test_a_tensor_shows_shape_and_values(shape):
    html = tn.Tensor(np.full(shape, 1.5), requires_grad=True)._repr_html_()
    assert parsed(html) is not None and f"shape {shape}" in html and "requires_grad=True" in html
    assert html.count("1.5") == min(np.prod(shape, dtype=int), 100 if len(shape) == 2 else 10)


def test_a_bar_is_shown_in_a_notebook(monkeypatch, capsys):
    """There standard error is no terminal."""
    assert not bars.in_notebook()
    with bars.progress_bar(10) as bar:
        bar.update(10)
    assert capsys.readouterr().err == ""
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)))
    monkeypatch.setattr(bars, "find_spec", lambda name: None)
    with bars.progress_bar(10) as bar:
        bar.update(10)
    assert "10.0/10.0" in capsys.readouterr().err
