"""Estimators come back from a checkpoint with every bit, and go on as if nothing had happened."""

import contextlib
import json
import pickle
import random
import sys
import tracemalloc

import numpy as np
import pytest
from backends import loaded
from children import ENVIRONMENT, finished, path_to, python
from refusals import forge, mutated
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

import tinynet as tn
from tinynet import nn
from tinynet.checkpoints.checkpoint import contents
from tinynet.checkpoints.tensor_files import read_tensors, write_tensors

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS, LABELS = DIGITS[:200] / 16, LABELS[:200]
NAMES = np.array([f"digit {i}" for i in range(10)])
TARGETS = {
    "classes": ("MLPClassifier", LABELS),
    "texts": ("MLPClassifier", NAMES[LABELS]),
    "objects": ("MLPClassifier", NAMES.astype(object)[LABELS]),
    "floats": ("MLPClassifier", np.where(LABELS > 4, 2.0, -1.0)),
    "truths": ("MLPClassifier", LABELS > 4),
    "labels": ("MLPClassifier", np.column_stack([LABELS > 4, LABELS % 2 == 0, LABELS == 3]).astype(int)),
    "number": ("MLPRegressor", LABELS + 0.5),
    "outputs": ("MLPRegressor", np.column_stack([LABELS, LABELS**2])),
}
OPTIONS = {
    "plain": {},
    "float64 sgd": {"dtype": "float64", "solver": "sgd", "learning_rate": "invscaling"},
    "frictionless sgd": {"solver": "sgd", "momentum": 1.0, "learning_rate_init": 1e-5},
    "all": {"dtype": np.float32, "dropout": 0.2, "norm": "batch", "activation": ["gelu", "logistic"], "alpha": np.float64(0.1)},
    "warmup": {"learning_rate": tn.schedule.LinearWarmup(2, tn.schedule.Cosine(0.1)), "weight_decay": 0.1, "max_grad_norm": 1.0},
    "plateau": {"learning_rate": tn.schedule.ReduceOnPlateau(patience=0, threshold=0.5), "dropout": [0.0, 0.1], "norm": ["none", "layer"]},
    "stopping": {"early_stopping": True, "n_iter_no_change": np.inf, "tol": np.float32(1e-3)},
    "lbfgs": {"solver": "lbfgs", "hidden_layer_sizes": np.array([8, 6])},
}  # fmt: skip


def fitted(target="classes", seed=0, **options):
    name, y = TARGETS[target]
    options = {
        "hidden_layer_sizes": (8, 6),
        "max_iter": 3,
        "batch_size": 64,
        "backend": "numpy",
        "random_state": seed,
    } | options
    return getattr(tn, name)(**options).fit(DIGITS, y)


def bits(estimator):
    """All that a checkpoint holds."""
    tensors, state = contents(estimator)
    return {name: (a.dtype, a.shape, a.tobytes()) for name, a in tensors.items()}, json.dumps(state, default=str)


def plain(estimator):
    """The parameters that compare by value."""
    return {
        n: v for n, v in estimator.get_params().items() if np.ndim(v) == 0 and not isinstance(v, tn.schedule.Schedule)
    }


def outputs(estimator):
    return estimator.predict_proba(DIGITS) if hasattr(estimator, "predict_proba") else estimator.predict(DIGITS)


def more(estimator, target="classes"):
    """One further epoch, or a further fit."""
    y = TARGETS[target][1]
    if estimator.early_stopping or estimator.solver == "lbfgs":
        return estimator.set_params(warm_start=True).fit(DIGITS, y)
    return estimator.partial_fit(DIGITS, y)


# ---- round trips ---------------------------------------------------------------------------------------------------


ROUND_TRIPS = [(t, o) for t in TARGETS for o in OPTIONS if t in ("texts", "outputs") or o in ("plain", "all")]


@pytest.mark.parametrize(("target", "options"), ROUND_TRIPS)
def test_an_estimator_comes_back_whole(tmp_path, target, options):
    path = tmp_path / "x"
    a = fitted(target, **OPTIONS[options])
    tn.save_checkpoint(path, a, {"note": 1})
    b, c = tn.load_estimator(path), type(a)(hidden_layer_sizes=(3,))
    assert tn.load_checkpoint(path, c) == {"note": 1}
    expected, same = outputs(a), a.predict(DIGITS)
    for other in (b, c):
        assert type(other) is type(a) and bits(other) == bits(a)
        assert outputs(other).tobytes() == expected.tobytes()
        predicted = other.predict(DIGITS)
        assert predicted.dtype == same.dtype and np.array_equal(predicted, same)
        assert plain(other) == plain(a)
    assert bits(more(b, target)) == bits(more(a, target)) != bits(c)


@pytest.mark.parametrize("seed", ["instance", None])
def test_generators_go_on(tmp_path, seed):
    a = fitted(seed=np.random.RandomState(3) if seed else None)
    tn.save_checkpoint(tmp_path / "x", a)
    b = tn.load_estimator(tmp_path / "x")
    assert b._random_state is (b.random_state or np.random.mtrand._rand)
    for estimator in (a, b):
        np.random.seed(0)
        more(more(estimator))
    assert bits(a) == bits(b)


def test_names_weights_by_class_and_loaded_backends_come_back(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(DIGITS, columns=[f"pixel {i}" for i in range(64)])
    weight = {name: 1 + i for i, name in enumerate(NAMES)}
    a = tn.MLPClassifier((4,), max_iter=2, backend=loaded("numpy"), class_weight=weight).fit(frame, NAMES[LABELS])
    tn.save_checkpoint(tmp_path / "x", a)
    b = tn.load_estimator(tmp_path / "x")
    assert b.class_weight == weight and b.backend.name == "numpy" and list(b.feature_names_in_) == list(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        b.predict(frame.iloc[:, ::-1])


CONTINUED = [
    (target, backend, dtype) for target in TARGETS for backend, dtype in (("numpy", "float64"), ("numba", "float32"))
]


def test_continued_in_a_new_process_bit_for_bit(tmp_path):
    for target, backend, dtype in CONTINUED:
        estimator = fitted(target, dtype=dtype, dropout=0.1, backend=backend, warm_start=True)
        path = tmp_path / f"{target}-{backend}"
        tn.save_checkpoint(path, estimator)
        tn.save_checkpoint(f"{path}-more", more(estimator.fit(DIGITS, TARGETS[target][1]), target))
    body = f"""
        import pathlib, warnings
        warnings.simplefilter("ignore")
        import test_estimator_checkpoints as t
        for target, backend, _ in t.CONTINUED:
            path = pathlib.Path({str(tmp_path)!r}) / f"{{target}}-{{backend}}"
            ours, wanted = t.tn.load_estimator(path), t.tn.load_estimator(f"{{path}}-more")
            t.more(ours.fit(t.DIGITS, t.TARGETS[target][1]), target)
            assert t.bits(ours) == t.bits(wanted), path
    """
    finished(python(body), env={**ENVIRONMENT, "PYTHONPATH": path_to(__file__)}, check=True)


# ---- what is refused -----------------------------------------------------------------------------------------------


def test_what_a_checkpoint_cannot_hold_is_refused_at_saving(tmp_path):
    class Mine(tn.MLPClassifier):
        pass

    a = fitted()
    refused = {
        "random_state of the estimator draws from PCG64": {"random_state": np.random.RandomState(np.random.PCG64())},
        "backend of the estimator is <": {"backend": __import__("kernels").loader.from_module(loaded("numpy"), "mine")},
        "activation of the estimator is <built-in function len>": {"activation": len},
        r"backend of the estimator is <kernels.Backend numpy, fused=False": {"backend": loaded("numpy").unfused()},
        r"callbacks\.0 of the estimator is <built-in function len>": {"callbacks": [len]},
    }
    for said, options in refused.items():
        with pytest.raises(tn.CheckpointError, match=said):
            tn.save_checkpoint(tmp_path / "x", pickle.loads(pickle.dumps(a)).set_params(**options))
    for said, options in {
        "The 'alpha' parameter of MLPClassifier must be": {"alpha": -1.0},
        r"hidden_layer_sizes must be > 0, got \[4, 0\]": {"hidden_layer_sizes": (4, 0)},
        "activation is .*, expected one of": {"activation": ["relu"] * 3},
        "int too large to convert to float": {"tol": 10**400},
    }.items():
        with pytest.raises(tn.CheckpointError, match=f"the estimator has parameters that no fit takes: {said}"):
            tn.save_checkpoint(tmp_path / "x", pickle.loads(pickle.dumps(a)).set_params(**options))
    with pytest.raises(tn.CheckpointError, match="is a Mine, expected one of MLPClassifier"):
        tn.save_checkpoint(tmp_path / "x", Mine((2,), max_iter=1).fit(DIGITS, LABELS))
    with pytest.raises(NotFittedError):
        tn.save_checkpoint(tmp_path / "x", tn.MLPRegressor())
    assert not (tmp_path / "x").exists()


def test_checkpoints_of_other_kinds_and_pickles_are_refused(tmp_path):
    a, b = fitted(), fitted("number")
    before = bits(b)
    for name, estimator in (("a", a), ("b", b)):
        tn.save_checkpoint(tmp_path / name, estimator)
    model = a._session.model
    trainer = tn.Trainer(model, nn.CrossEntropyLoss(), tn.optim.Adam(model.parameters()), "numpy", progress=False)
    tn.save_checkpoint(tmp_path / "trainer", trainer)
    (tmp_path / "pickle").write_bytes(pickle.dumps(a))
    for name, said in (("trainer", "it holds no estimator, but model"), ("pickle", "is a pickle")):
        for load in (tn.load_estimator, lambda path: tn.load_checkpoint(path, b)):
            with pytest.raises(tn.CheckpointError, match=said):
                load(tmp_path / name)
    with pytest.raises(tn.CheckpointError, match="it holds a MLPClassifier, expected a MLPRegressor"):
        tn.load_checkpoint(tmp_path / "a", b)
    with pytest.raises(tn.CheckpointError, match="it holds no trainer, but estimator and model and optimizer"):
        tn.load_checkpoint(tmp_path / "a", trainer)
    assert bits(b) == before
    tn.load_checkpoint(tmp_path / "a", model)  # its network alone


def test_mutations_are_refused_or_without_effect(tmp_path):
    rng, path, a, b = random.Random(0), tmp_path / "x", fitted("texts"), fitted("texts", seed=1)
    tn.save_checkpoint(path, a)
    content, wanted, before = path.read_bytes(), bits(a), bits(b)
    for _ in range(300):
        path.write_bytes(mutated(content, rng))
        try:
            tn.load_checkpoint(path, b)
        except tn.CheckpointError:
            continue
        assert bits(b) == wanted
        b = fitted("texts", seed=1)
    assert bits(b) == before


def test_states_put_together_by_others_are_refused_or_predict(tmp_path):
    """With a digest that is right, anything may be in the state."""
    rng, path, refused, trials = random.Random(0), tmp_path / "x", 0, 0
    for target in ("texts", "labels", "outputs"):
        tn.save_checkpoint(path, fitted(target, seed=np.random.RandomState(0), dropout=0.1))
        tensors, texts = read_tensors(path)
        b = fitted(target, seed=1)
        before = bits(b)
        for _ in range(80):
            state, arrays = json.loads(texts["state"]), dict(tensors)
            forge(state["estimator"], arrays, rng)
            write_tensors(path, arrays, {**texts, "state": json.dumps(state)})
            trials += 1
            try:
                tn.load_checkpoint(path, b)
            except tn.CheckpointError:
                refused += 1
                assert bits(b) == before
                continue
            b.set_params(backend="numpy", threads=None)  # another name may be one that is not installed here
            assert len(b.predict(DIGITS[:5])) == 5
            tn.save_checkpoint(path, b)
            assert bits(tn.load_estimator(path)) == bits(b)
            b = fitted(target, seed=1)
    assert trials / 2 < refused < trials


def rewritten(path, change):
    """The checkpoint with a right digest after change(estimator's state, arrays)."""
    tensors, texts = read_tensors(path)
    state = json.loads(texts["state"])
    change(state["estimator"], tensors)
    write_tensors(path, tensors, {**texts, "state": json.dumps(state)})


def name_an_array_often(saved, arrays):
    arrays["estimator.big"] = np.zeros(20_000)
    saved["attributes"]["big_"] = [{"array": "big"}] * 1000


def name_a_text_of_other_code_points(saved, arrays):
    arrays["estimator.classes_"][0, 0] = 0x110000


def name_no_texts(saved, arrays):
    arrays["estimator.classes_"] = np.zeros((10, 0), np.uint32)


def nest(saved, arrays):
    nested = 1
    for _ in range(300):
        nested = {"tuple": [nested]}
    saved["attributes"]["deep_"] = nested


def set_in_its_structure(name, value):
    def change(saved, arrays):
        saved["session"]["design"]["Design"]["structure"]["Structure"][name] = value
        saved["attributes"]["out_activation_"] = value

    return change


def say_that_it_is_fitted(saved, arrays):
    saved["attributes"]["__sklearn_is_fitted__"] = 1


def name_no_kernel_as_loss(saved, arrays):
    saved["session"]["design"]["Design"]["loss"] = "sum"


def name_backends(saved, arrays):
    saved["attributes"]["backends_"] = [{"backend": ["numpy", {}]}] * 2


def set_attribute(name, value):
    return lambda saved, arrays: saved["attributes"].update({name: value})


def set_in_its_design(name, value):
    return lambda saved, arrays: saved["session"]["design"]["Design"].update({name: value})


def no_generator(saved, arrays):
    del arrays["estimator._random_state"]
    saved["attributes"]["_random_state"] = 5


def turn_its_labels_round(saved, arrays):
    saved["attributes"]["_label_binarizer"]["labels"].update(neg_label=1, pos_label=0)


REWRITTEN = {
    "it names a second backend": name_backends,
    "the 'alpha' parameter of its design must be a float in the range": set_in_its_design("alpha", -1.0),
    "the 'epsilon' parameter of its design must be a float in the range": set_in_its_design(
        "epsilon", {"nonfinite": "nan"}
    ),
    "the 'solver' parameter of its design must be a str among": set_in_its_design("solver", "x"),
    "its design is ": lambda saved, arrays: saved["session"].update(design=1),
    "the 'dropouts' parameter of its structure must be a float in the range": set_in_its_structure(
        "dropouts", {"tuple": [0.0, 1.0]}
    ),
    "the 'loss_' parameter of its attributes must be an instance of 'float'. Got '1.5'": set_attribute("loss_", "1.5"),
    "the 'loss_curve_' parameter of its attributes must be": set_attribute("loss_curve_", [1.0, "1.5"]),
    "the 't_' parameter of its attributes must be an int in the range": set_attribute("t_", 1 << 80),
    "the '_random_state' parameter of its attributes must be": no_generator,
    "it lacks the attribute best_loss_": lambda saved, arrays: saved["attributes"].pop("best_loss_"),
    "its labels are 1 and 0, expected a larger second": turn_its_labels_round,
    "cannot convert float infinity to integer": lambda saved, arrays: saved["parameters"].update(
        hidden_layer_sizes=[{"nonfinite": "inf"}, 6]
    ),
    "the 'tol' parameter of MLPClassifier must be": lambda saved, arrays: saved["parameters"].update(tol="x"),
    "holds no state that can be restored: RecursionError": nest,
    "unknown output 'foo'": set_in_its_structure("output", "foo"),
    "it has an attribute __sklearn_is_fitted__, which is none that fit sets": say_that_it_is_fitted,
    "unknown loss 'sum'": name_no_kernel_as_loss,
    "it names its array big twice": name_an_array_often,
    "its classes_ has 1114112 among code points": name_a_text_of_other_code_points,
    r"its classes_ has \(10, 0\) of uint32, expected rows of uint32": name_no_texts,
}


@pytest.mark.parametrize("said", REWRITTEN)
def test_what_fit_could_not_have_left_is_refused(tmp_path, said):
    tn.save_checkpoint(tmp_path / "x", fitted("texts"))
    rewritten(tmp_path / "x", REWRITTEN[said])
    with pytest.raises(tn.CheckpointError, match="(?i)" + said):
        tn.load_estimator(tmp_path / "x")


def test_loading_takes_twice_the_file(tmp_path):
    path = tmp_path / "x"
    X, names = np.random.default_rng(0).random((40, 500)), np.array(["x", "y" * 20_000] * 20)
    peaks = {}
    for change in (None, name_an_array_often):
        tn.save_checkpoint(path, tn.MLPClassifier((500,), max_iter=1, backend="numpy").fit(X, names))
        if change:
            rewritten(path, change)
        tracemalloc.start()
        with contextlib.suppress(tn.CheckpointError):
            tn.load_estimator(path)
        peaks[change] = tracemalloc.get_traced_memory()[1] / path.stat().st_size
        tracemalloc.stop()
    assert max(peaks.values()) < 2.2, peaks


def test_loading_needs_no_compiled_kernels(tmp_path):
    tn.save_checkpoint(tmp_path / "x", fitted())
    code = f"import sys, tinynet as tn; tn.load_estimator({str(tmp_path / 'x')!r}); assert 'numba' not in sys.modules"
    finished([sys.executable, "-c", code], env=ENVIRONMENT, check=True)
