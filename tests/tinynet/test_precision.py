"""Training in bfloat16 products: what is rounded and what is not, and that all promises hold as in float32."""

import json
import sys

import numpy as np
import pytest
from backends import loaded
from children import ENVIRONMENT, finished
from repository import ROOT

import tinynet as tn
from tinynet import functional as F
from tinynet import nn, optim, precision
from tinynet.precision import faster, products, use_precision

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((96, 12)).astype(np.float32), RNG.integers(0, 3, 96)
LEARNED = X[:, 0] > 0


def trainer(**options):
    tn.manual_seed(3)
    model = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Dropout(0.2), nn.Linear(20, 3))
    model = model.to(options.pop("dtype", "float32"))
    optimizer = optim.Adam(model.parameters(), 1e-2)
    return tn.Trainer(model, nn.CrossEntropyLoss(), optimizer, progress=False, **options)


def weights(trainer):
    return [parameter.data.copy() for parameter in trainer.model.parameters()]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_replayed_steps_are_eager_steps(name):
    runs = [trainer(backend=loaded(name), precision="bfloat16", compile=compiled) for compiled in (True, False)]
    for run in runs:
        run.fit(X, Y, epochs=3, batch_size=20)
    assert runs[0].program is not None and same(*map(weights, runs))


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_all_products_of_a_step_are_rounded_and_the_listing_shows_it(name):
    run = trainer(backend=loaded(name), precision="bfloat16")
    run.fit(X, Y, epochs=3, batch_size=32)
    products = [i for i in run.program.instructions if "precision" in i.declaration.parameter_names]
    assert len(products) == 5  # forward, and of the gradients all but the first layer's input's
    assert all(dict(i.named())["precision"] == "bfloat16" for i in products)
    assert str(run.program).count("precision=bfloat16") == 5
    plain = trainer(backend=loaded(name))
    plain.fit(X, Y, epochs=3, batch_size=32)
    assert "precision" not in str(plain.program)


def test_backends_agree():
    """In float64, where sums in another order seldom round to another factor."""
    losses = []
    for name in ("naive", "numpy", "numba"):
        run = trainer(backend=loaded(name), precision="bfloat16", dtype="float64")
        losses.append(run.fit(X, Y, epochs=2, batch_size=32).train_loss)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    np.testing.assert_allclose(losses[0], losses[2], rtol=1e-3)
    plain = trainer(backend=loaded("numpy"), dtype="float64").fit(X, Y, epochs=2, batch_size=32).train_loss
    assert not np.allclose(losses[0], plain, rtol=1e-7)


def test_threads_change_no_bit():
    runs = [trainer(backend=tn.backends.with_options("numba", threads=n), precision="bfloat16") for n in (1, 2)]
    for run in runs:
        run.fit(X, Y, epochs=3, batch_size=32)
    assert same(*map(weights, runs))


def test_evaluation_and_prediction_round_nothing():
    run = trainer(precision="bfloat16")
    run.fit(X, Y, epochs=2)
    other = trainer()
    other.model.load_state_dict(run.model.state_dict())
    np.testing.assert_array_equal(run.predict(X), other.predict(X))
    assert run.evaluate(X, Y) == other.evaluate(X, Y)


def test_the_precision_may_change_between_fits():
    run, other = trainer(), trainer()
    run.fit(X, Y, epochs=2)
    run.precision = "bfloat16"
    run.fit(X, Y, epochs=2)
    other.fit(X, Y, epochs=4)
    assert not same(weights(run), weights(other))
    assert "precision=bfloat16" in str(run.program)


def test_training_goes_on_from_a_checkpoint_with_the_same_bits(tmp_path):
    whole = trainer(precision="bfloat16")
    whole.fit(X, Y, epochs=4)
    half = trainer(precision="bfloat16")
    half.fit(X, Y, epochs=2)
    tn.save_checkpoint(tmp_path / "run", half)
    rest = trainer(precision="bfloat16")
    tn.load_checkpoint(tmp_path / "run", rest)
    rest.fit(X, Y, epochs=2)
    assert same(weights(whole), weights(rest))
    with pytest.raises(tn.CheckpointError, match="precision"):
        tn.load_checkpoint(tmp_path / "run", trainer())


def test_use_precision_holds_in_its_block_and_in_gradients_of_what_it_made():
    a, b = (tn.Tensor(np.full((1, 1), 1 + 2.0**-8, np.float32), requires_grad=True) for _ in range(2))
    with use_precision("bfloat16"):
        c = F.matmul(a, b)
        with use_precision("float32"):
            assert F.matmul(a, b).item() == np.float32((1 + 2.0**-8) ** 2)
    assert products() == "full" and c.item() == 1.0
    F.sum(c).backward()
    assert a.grad.item() == 1.0  # of the factor as it was rounded


def test_a_compiled_step_has_a_program_for_each_precision():
    w = tn.Tensor(np.full((12, 3), 0.1, np.float32), requires_grad=True)

    @tn.compile
    def step(x):
        loss = F.sum(F.matmul(x, w))
        loss.backward()
        return loss

    found = []
    for name in ("float32", "bfloat16") * 3:
        with use_precision(name):
            found.append(step(tn.Tensor(X)).item())
            assert ("precision=bfloat16" in str(step.program)) == (name == "bfloat16")
    assert found[0] == found[2] == found[4] != found[1] == found[3] == found[5]


@pytest.mark.parametrize("make", [lambda p: use_precision(p), lambda p: trainer(precision=p)])
def test_another_precision_is_refused(make):
    with pytest.raises(ValueError, match="unknown precision 'bfloat': did you mean 'bfloat16'"):
        make("bfloat")


@pytest.mark.parametrize(("half", "chosen"), [(0.5, "bfloat16"), (0.95, "float32"), (2.0, "float32")])
def test_auto_takes_bfloat16_where_it_pays(monkeypatch, half, chosen):
    backend = loaded("numba")
    calls = iter([1e-3, 1e-3, *[1e-3, half * 1e-3] * precision.TRIALS])
    monkeypatch.setattr(precision, "_seconds", lambda run: next(calls))
    monkeypatch.setattr(precision, "_choices", {})
    assert faster(backend).precision == chosen and f"{half:.2f} of float32's time" in faster(backend).why
    run = trainer(backend=backend, precision="auto")
    run.fit(X, Y, epochs=3, batch_size=32)
    assert ("precision=bfloat16" in str(run.program)) == (chosen == "bfloat16")


@pytest.mark.parametrize("kind", [tn.MLPClassifier, tn.TabularClassifier])
def test_estimators_take_a_precision(kind):
    options = {"tol": 1.0, "learning_rate_init": 0.05} if kind is tn.MLPClassifier else {"max_epochs": 5}
    made = [kind(random_state=0, precision=p, **options).fit(X, LEARNED) for p in ("float32", "bfloat16", "bfloat16")]
    first, second, third = (estimator.predict_proba(X) for estimator in made)
    assert not np.array_equal(first, second) and np.array_equal(second, third)
    with pytest.raises(ValueError, match="precision"):
        kind(precision="half").fit(X, LEARNED)


def test_lbfgs_has_no_precision():
    with pytest.raises(ValueError, match="solver='lbfgs' has no use for a precision"):
        tn.MLPClassifier(solver="lbfgs", precision="bfloat16").fit(X, Y)


def test_a_saved_estimator_keeps_its_precision(tmp_path):
    made = tn.MLPClassifier(tol=1.0, random_state=0, precision="bfloat16").fit(X, Y)
    tn.save_checkpoint(tmp_path / "estimator", made)
    found = tn.load_estimator(tmp_path / "estimator")
    assert found.precision == "bfloat16"
    np.testing.assert_array_equal(found.predict_proba(X), made.predict_proba(X))


def command(*arguments):
    return finished([sys.executable, ROOT / "train.py", *arguments], env=ENVIRONMENT, cwd=ROOT)


def test_the_command_line_takes_a_precision(tmp_path):
    base = ["--dataset", "iris", "--epochs", "3", "--quiet", "--json", "-"]
    runs = [json.loads(command(*base, "--precision", p).stdout)["runs"][0] for p in ("float32", "bfloat16")]
    assert [run["options"]["precision"] for run in runs] == ["float32", "bfloat16"]
    assert runs[0]["train_loss"] != runs[1]["train_loss"]


def test_the_command_line_says_what_auto_chose_and_why():
    done = command("--dataset", "iris", "--epochs", "2", "--precision", "auto", "--json", "-")
    said, run = done.stderr, json.loads(done.stdout)["runs"][0]
    assert run["precision"]["precision"] in ("float32", "bfloat16")
    assert f"precision: {run['precision']['precision']}; {run['precision']['why']}" in said


def test_the_command_line_refuses_another():
    done = command("--precision", "bf16")
    assert done.returncode == 2 and "precision" in done.stderr and "Traceback" not in done.stderr
