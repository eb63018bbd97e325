"""Layers for tables compute what they say, are replayed with the bits of eager steps, and are saved."""

import re

import numpy as np
import pytest
from backends import loaded
from repository import ROOT

import kernels
import tinynet as tn
from tinynet import Tensor, nn, optim
from tinynet import functional as F

RNG = np.random.default_rng(0)
ROWS = 64
NUMBERS = RNG.normal(size=(ROWS, 4)).astype(np.float32)
CODES = np.column_stack([RNG.integers(0, 4, ROWS), RNG.integers(0, 30, ROWS)]).astype(np.float32)
X = np.concatenate([NUMBERS, CODES], axis=1)
LABELS, TARGET = RNG.integers(0, 3, ROWS), RNG.normal(size=ROWS).astype(np.float32)


@pytest.fixture(autouse=True)
def seeded():
    tn.manual_seed(0)


def front():
    return nn.TableInput(4, [4, 30], numeric=nn.PBLD(3, frequencies=5), lr_factor=0.5)


# Each takes 6 columns, of which the last two may be codes.
MODELS = {
    "scale": lambda: nn.Sequential(nn.Scale(6, lr_factor=6), nn.Linear(6, 3)),
    "ntk": lambda: nn.Sequential(nn.Linear(6, 3, parametrisation="ntk", bias_initialiser="normal", bias_lr_factor=0.1)),
    "pbld": lambda: nn.Sequential(nn.PBLD(6, lr_factor=0.1), nn.Linear(24, 3)),
    "scale, then pbld": lambda: nn.Sequential(nn.Scale(6), nn.PBLD(6, frequencies=3, units=2), nn.Linear(12, 3)),
    "parametric": lambda: nn.Sequential(nn.Linear(6, 8), nn.Parametric("mish", 8, lr_factor=0.1), nn.Linear(8, 3)),
    "table": lambda: nn.Sequential(front(), nn.Scale(24, lr_factor=6), nn.Linear(24, 3)),
    "codes alone": lambda: nn.Sequential(nn.TableInput(4, [4, 30]), nn.Linear(15, 3)),
    "monotone": lambda: nn.Sequential(nn.Linear(6, 3), nn.Monotone(3)),
    "all": lambda: nn.Sequential(
        front(), nn.Scale(24, lr_factor=6),
        nn.Linear(24, 16, parametrisation="ntk", bias_lr_factor=0.1), nn.Parametric("selu", 16, lr_factor=0.1), nn.Dropout(0.2),
        nn.Linear(16, 3, parametrisation="ntk", bias_lr_factor=0.1),
    ),
}  # fmt: skip


def trainer(model, loss=None, backend="numpy", compiles=True, **options):
    optimizer = optim.Adam(model.parameters(), lr=0.02, betas=(0.9, 0.95), weight_decay=0.01)
    schedule = {"lr": tn.schedule.CosLog(), "weight_decay": tn.schedule.FlatCosine()}
    return tn.Trainer(model, loss or nn.CrossEntropyLoss(label_smoothing=0.1), optimizer, loaded(backend), schedule=schedule,
                      progress=False, compile=compiles, **options)  # fmt: skip


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("backend", ["naive", "numpy", "numba"])
def test_a_step_is_replayed_with_its_bits(backend, name):
    found = []
    for compiles in (False, True):
        tn.manual_seed(1)
        run = trainer(MODELS[name](), backend=backend, compiles=compiles)
        history = run.fit(X, LABELS, epochs=2 if backend == "naive" else 5, batch_size=16)
        assert (run.program is not None) == compiles
        found.append((history.step_loss, run.model.state_dict()))
    assert found[0][0] == found[1][0] and same(found[0][1], found[1][1])
    assert found[0][0][-1] < found[0][0][0] or backend == "naive"


@pytest.mark.parametrize("name", ["all", "pbld"])
def test_threads_change_no_bit(name):
    found = []
    for threads in (1, 3):
        tn.manual_seed(1)
        run = trainer(MODELS[name]())
        run.backend = kernels.load("numba", threads=threads)
        history = run.fit(X, LABELS, epochs=5, batch_size=32)
        found.append((history.step_loss, run.model.state_dict()))
    assert found[0][0] == found[1][0] and same(found[0][1], found[1][1])


@pytest.mark.parametrize("loss", ["mean", "sum"])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_several_quantiles_are_replayed(backend, loss):
    found = []
    for compiles in (False, True):
        tn.manual_seed(1)
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3), nn.Monotone(3))
        run = trainer(model, nn.MultiQuantileLoss([0.1, 0.5, 0.9], loss), backend, compiles)
        history = run.fit(X, TARGET, epochs=5, batch_size=16)
        assert (run.program is not None) == compiles
        found.append((history.step_loss, run.model.state_dict()))
    assert found[0][0] == found[1][0] and same(found[0][1], found[1][1])


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_run_goes_on(name, tmp_path):
    runs = [trainer(MODELS[name]()) for _ in range(3)]
    tn.save_checkpoint(tmp_path / "start", runs[0])
    for run in runs:
        tn.load_checkpoint(tmp_path / "start", run)
    a, b, whole = runs
    whole.fit(X, LABELS, epochs=4, batch_size=16)

    def cut(trainer, history):
        return trainer.epoch == 2

    a.callbacks = (cut,)
    a.fit(X, LABELS, epochs=4, batch_size=16)
    tn.save_checkpoint(tmp_path / "half", a)
    tn.load_checkpoint(tmp_path / "half", b)
    b.fit(X, LABELS, epochs=2, batch_size=16)
    assert same(b.model.state_dict(), whole.model.state_dict())


def test_options_are_part_of_a_checkpoint(tmp_path):
    for saved, other, said in [
        (nn.Linear(4, 3, parametrisation="ntk"), nn.Linear(4, 3), "ntk"),
        (nn.Scale(4, lr_factor=6), nn.Scale(4), "lr_factor=6.0"),
        (nn.Parametric("selu", 4), nn.Parametric("mish", 4), "SELU"),
        (nn.PBLD(2, frequencies=6), nn.PBLD(2, frequencies=6, lr_factor=0.1), "lr_factor"),
    ]:
        tn.save_checkpoint(tmp_path / "x", saved)
        with pytest.raises(tn.CheckpointError, match=said):
            tn.load_checkpoint(tmp_path / "x", other)


# ---- what each computes ---------------------------------------------------------------------------------------------


def test_scale_multiplies_columns():
    layer = nn.Scale(4, initial=0.5)
    np.testing.assert_array_equal(layer(Tensor(NUMBERS)).numpy(), NUMBERS / 2)
    layer.weight.data[...] = [1, 2, 3, 4]
    np.testing.assert_array_equal(layer(Tensor(NUMBERS)).numpy(), NUMBERS * np.float32([1, 2, 3, 4]))


def test_pbld_embeds_each_column_by_itself(backend):
    layer = nn.PBLD(4, frequencies=5, units=3).to(np.float64)
    x = NUMBERS[:6].astype(float)
    with tn.use_backend(backend):
        found = layer(Tensor(x)).numpy()
    assert found.shape == (6, layer.out_features) == (6, 12)
    np.testing.assert_array_equal(found[:, :4], x)
    for j in range(4):
        w, phase = layer.frequency.data[j] / (2 * np.pi), layer.phase.data[5 * j : 5 * j + 5]
        waves = np.cos(2 * np.pi * w * x[:, j : j + 1] + phase)
        mixed = waves @ layer.weight.data[5 * j : 5 * j + 5] + layer.bias.data[2 * j : 2 * j + 2]
        np.testing.assert_allclose(found[:, 4 + 2 * j : 6 + 2 * j], mixed, rtol=1e-9)


def test_pbld_begins_as_the_paper_says():
    layer = nn.PBLD(200, frequencies=16, std=0.1)
    assert layer.frequency.data.std() / (2 * np.pi) == pytest.approx(0.1, rel=0.05)
    assert abs(layer.phase.data).max() == pytest.approx(np.pi, rel=0.01)
    assert abs(layer.weight.data).max() == pytest.approx(0.25, rel=0.01)
    assert abs(layer.bias.data).max() == pytest.approx(0.25, rel=0.02)
    assert layer.frequency.scale == pytest.approx(2 * np.pi)


def test_parametric_blends_with_the_identity():
    layer = nn.Parametric(nn.ReLU(), 4)
    np.testing.assert_array_equal(layer(Tensor(NUMBERS)).numpy(), np.maximum(NUMBERS, 0))
    layer.weight.data[...] = [0, 0.5, 1, 2]
    expected = NUMBERS + layer.weight.data * (np.maximum(NUMBERS, 0) - NUMBERS)
    np.testing.assert_allclose(layer(Tensor(NUMBERS)).numpy(), expected, rtol=1e-6)


def test_table_input_puts_embeddings_beside_numbers():
    layer = nn.TableInput(4, [4, 30], [2, 3])
    found = layer(Tensor(X)).numpy()
    first, second = (embedding.weight.data for embedding in layer.embeddings)
    expected = np.concatenate([NUMBERS, first[CODES[:, 0].astype(int)], second[CODES[:, 1].astype(int)]], axis=1)
    np.testing.assert_array_equal(found, expected)
    assert found.shape[1] == layer.out_features == 9
    assert (found[CODES[:, 0] == 0, 4:6] == 0).all()  # a level that is not known
    assert [name for name, _ in layer.named_parameters()] == ["0.weight", "1.weight"]
    assert nn.TableInput(0, [2, 5, 9, 4000]).dims == (1, 4, 8, 8)
    assert nn.TableInput(0, [4, 30]).out_features == nn.TableInput(0, [4, 30])(Tensor(CODES)).shape[1]


def test_gradients_of_codes_beside_numbers(backend):
    model = front().to(np.float64)
    x = X[:5].astype(float)

    def forward(numbers, *parameters):
        return model(F.concatenate([numbers, Tensor(x[:, 4:])], axis=1))

    with tn.use_backend(backend):
        assert tn.gradcheck(forward, [Tensor(x[:, :4], requires_grad=True), *model.parameters()])


def test_monotone_outputs_never_cross():
    x = RNG.normal(scale=40, size=(500, 7)).astype(np.float32)
    found = nn.Monotone(7)(Tensor(x)).numpy()
    np.testing.assert_array_equal(found[:, 0], x[:, 0])
    assert (np.diff(found, axis=1) >= 0).all()
    np.testing.assert_allclose(np.diff(found, axis=1), np.logaddexp(0, x[:, 1:]), atol=1e-4)


def test_several_quantiles_are_losses_of_one_target():
    quantiles, z = [0.1, 0.4, 0.9], RNG.normal(size=(ROWS, 3)).astype(np.float32)
    d = z.astype(float) - TARGET[:, None]
    expected = np.maximum((1 - np.array(quantiles)) * d, -np.array(quantiles) * d)
    for reduction, value in [("mean", expected.mean()), ("sum", expected.sum()), ("none", expected.sum(axis=1))]:
        for target in (TARGET, TARGET[:, None]):
            found = nn.MultiQuantileLoss(quantiles, reduction)(Tensor(z), target).numpy()
            np.testing.assert_allclose(found, value, rtol=1e-5)
    alone = [nn.QuantileLoss(q)(Tensor(z[:, [j]]), TARGET).item() for j, q in enumerate(quantiles)]
    assert nn.MultiQuantileLoss(quantiles)(Tensor(z), TARGET).item() == pytest.approx(np.mean(alone), rel=1e-6)


def test_quantiles_of_a_constant_are_found():
    """A constant output learns the target's quantiles."""
    y = RNG.exponential(size=2000).astype(np.float32)
    model = nn.Sequential(nn.Linear(1, 3), nn.Monotone(3))
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    run = tn.Trainer(model, nn.MultiQuantileLoss([0.25, 0.5, 0.9]), optimizer, "numpy", progress=False,
                     schedule=tn.schedule.FlatCosine())  # fmt: skip
    run.fit(np.zeros((2000, 1)), y, epochs=60, batch_size=200)
    np.testing.assert_allclose(run.predict(np.zeros((1, 1)))[0], np.quantile(y, [0.25, 0.5, 0.9]), rtol=0.08)


REFUSALS = {
    "scale": (lambda: nn.Scale(3)(Tensor(X)), ValueError, r"Scale\(3\) got an input of shape \(64, 6\), expected \(rows, 3\)"),
    "units": (lambda: nn.PBLD(3, units=1), ValueError, "units is 1, expected a whole number >= 2"),
    "std": (lambda: nn.PBLD(3, std=0), ValueError, "std is 0"),
    "activation": (lambda: nn.Parametric("mesh", 3), ValueError, "unknown activation 'mesh': did you mean 'mish'"),
    "dims": (lambda: nn.TableInput(3, [4, 5], [2]), ValueError, "dims has 1 numbers, expected 2 as codes has"),
    "nothing": (lambda: nn.TableInput(0), ValueError, "dense is 0 and codes is empty"),
    "codes": (lambda: nn.TableInput(3, [0]), ValueError, "codes is 0, expected a whole number >= 1"),
    "numeric": (lambda: nn.TableInput(3, numeric=nn.PBLD(4)), ValueError, "numeric takes 4 columns, expected at most 3"),
    "columns": (lambda: nn.TableInput(3, [4])(Tensor(X)), ValueError, r"expected \(rows, 4\)"),
    "code too large": (lambda: nn.TableInput(4, [4, 29])(Tensor(X)), ValueError, r"category 29, expected one in \[0, 29\)"),
    "code between": (lambda: nn.TableInput(2, [4])(Tensor(np.full((1, 3), 0.5))), TypeError, "float32 parameters"),
    "quantile": (lambda: nn.MultiQuantileLoss([0.1, 1.0]), ValueError, r"quantiles is 1.0, expected a number in \(0, 1\)"),
    "order": (lambda: nn.MultiQuantileLoss([0.5, 0.1]), ValueError, "each greater than the one before"),
    "no quantiles": (lambda: nn.MultiQuantileLoss([]), ValueError, "expected one or more numbers"),
    "outputs": (lambda: nn.MultiQuantileLoss([0.5])(Tensor(X), TARGET), ValueError, r"expected \(rows, 1\)"),
    "targets": (lambda: nn.MultiQuantileLoss([0.5])(Tensor(X[:, :1]), TARGET[:5]), ValueError, r"expected \(64,\)"),
    "groups": (lambda: F.grouped_linear(Tensor(X), Tensor(X[:6]), Tensor(TARGET), 4), ValueError, "4 equal groups"),
    "cycles": (lambda: tn.schedule.CosLog(0), ValueError, "cycles is 0"),
    "many cycles": (lambda: tn.schedule.CosLog(65), ValueError, "cycles is 65, expected a whole number from 1 to 64"),
    "flat": (lambda: tn.schedule.FlatCosine(1.0), ValueError, r"flat is 1.0, expected a number in \[0, 1\)"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "said"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, error, said):
    with tn.use_backend("numpy"), pytest.raises(error, match=said):
        call()


def test_the_page_runs():
    page = (ROOT / "docs/layers-for-tables.md").read_text()
    recipe, groups = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    found = {}
    with tn.use_backend("numpy"):
        exec(recipe, found)
    assert found["accuracy"] > 0.85
    exec(groups, found)
    assert {0.0, 0.02 * 8, 0.02} < {round(group["weight_decay"], 9) for group in found["optimizer"].groups}
