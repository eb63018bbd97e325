"""An estimator's parameter is one row: signature, checks, docstring and document follow."""

import importlib.util
import inspect
import pickle
from numbers import Real

import numpy as np
import pytest
import sklearn.neural_network
from repository import ROOT
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, InvalidParameterError

import tinynet as tn
from tinynet.estimators.parameters import FIRST, parameter

_found = importlib.util.spec_from_file_location("tables", ROOT / "docs/tables.py")
tables = importlib.util.module_from_spec(_found)
_found.loader.exec_module(tables)

OURS = {
    "MLPClassifier": "backend dtype class_weight dropout norm loss weight_decay max_grad_norm scoring callbacks threads precision",
    "MLPRegressor": "backend dtype dropout norm weight_decay max_grad_norm scoring callbacks threads precision",
}


class Extended(tn.MLPClassifier):
    """Learns as its base."""

    sharpness: float = parameter([Interval(Real, 0, 1, closed="both")], "of its edges", default=0.25, after="alpha")
    name: str | None = parameter([str, None], "its own", default=None, kw_only=False, after=FIRST)
    tol: float = parameter([Interval(Real, 0, None, closed="left")], "another default", default=0.5)


def names(kind):
    return list(inspect.signature(kind).parameters)


@pytest.mark.parametrize("kind", OURS)
def test_signatures_are_scikit_learns_and_then_ours(kind):
    theirs, ours = (inspect.signature(getattr(place, kind)).parameters for place in (sklearn.neural_network, tn))
    if kind == "MLPRegressor" and "loss" not in theirs:  # before scikit-learn 1.7 it had no choice of one
        theirs = {"loss": ours["loss"], **theirs}
    assert list(ours) == [*theirs, *OURS[kind].split()]
    assert all((ours[name].kind, ours[name].default) == (p.kind, p.default) for name, p in theirs.items())


def test_one_row_adds_a_parameter():
    before = names(tn.MLPClassifier)
    place = before.index("alpha") + 1
    assert names(Extended) == ["name", *before[:place], "sharpness", *before[place:]]
    signature = inspect.signature(Extended).parameters
    assert signature["sharpness"].kind is inspect.Parameter.KEYWORD_ONLY and signature["sharpness"].default == 0.25
    made = Extended("first", (3,), sharpness=0.5, max_iter=2)
    assert (made.name, made.hidden_layer_sizes, made.sharpness, made.tol) == ("first", (3,), 0.5, 0.5)
    assert made.get_params()["sharpness"] == clone(made).sharpness == pickle.loads(pickle.dumps(made)).sharpness == 0.5
    assert "sharpness : float, default=0.25\n    of its edges\n" in Extended.__doc__
    assert Extended.__doc__.startswith(
        "Learns as its base.\n\nParameters\n----------\nname : str | None, default=None\n"
    )
    with pytest.raises(InvalidParameterError, match=r"'sharpness' parameter .* range \[0.0, 1.0\]. Got 2 instead"):
        made.set_params(sharpness=2).fit(np.eye(4), [0, 1, 0, 1])
    table = list(tables.parameters(False, {Extended: sklearn.neural_network.MLPClassifier}))
    assert ("`sharpness`", "of its edges", "`0.25`") in table


def test_the_base_stays_as_it_was():
    assert tn.MLPClassifier().tol == 1e-4 and not {"sharpness", "name"} & {*names(tn.MLPClassifier)}
    assert not hasattr(tn.MLPClassifier, "alpha")  # a subclass that forgets to set one is told so by scikit-learn
    with pytest.raises(TypeError, match=r"MLPClassifier.__init__\(\) got an unexpected keyword argument 'sharpness'"):
        tn.MLPClassifier(sharpness=1)


def test_a_subclass_in_scikit_learns_way_keeps_its_own_signature():
    class Fixed(tn.MLPRegressor):
        def __init__(self, alpha=2.0):
            super().__init__(alpha=alpha, max_iter=1)

    assert names(Fixed) == ["alpha"] and clone(Fixed(3.0)).alpha == 3.0 and Fixed().loss == "squared_error"


@pytest.mark.parametrize("path", tables.TABLES)
def test_documents_hold_the_tables_of_the_code(path):
    assert tables.written(path) == (ROOT / path).read_text(), "python docs/tables.py writes them again"
