"""What a Trainer's steps do besides: gradient transformations and scheduled options, replayed as eager, and resumed."""

import numpy as np
import pytest
from backends import BACKENDS, loaded

import tinynet as tn
from tinynet import functional as F
from tinynet import nn, optim, schedule

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(62, 6)).astype(np.float32), RNG.integers(0, 3, 62)


def signs(gradients):
    """A transformation that a user might write."""
    return [g * 0.5 + F.maximum(F.minimum(g, 0.01), -0.01) for g in gradients]


TRANSFORMS = {
    "clip by value": lambda: [optim.ClipValue(0.05)],
    "clip by norm": lambda: [optim.ClipNorm(0.1)],
    "accumulate": lambda: [optim.Accumulate(3)],
    "a user's": lambda: [signs],
    "all": lambda: [signs, optim.Accumulate(2), optim.ClipValue(0.02), optim.ClipNorm(0.05)],
}
SCHEDULES = {
    "none": None,
    "a schedule": schedule.Cosine,
    "many": lambda: {
        "lr": schedule.OneCycle(), "weight_decay": schedule.Exponential(0.5), "beta1": lambda e, s, t: 0.5 + 0.4 / (1 + t),
        "dropout": lambda epoch, step, steps: 0.4 * 0.9**step * (epoch != 1),
    },
}  # fmt: skip


def trainer(backend, compiles=True, transforms=(), scheduled=None, clip_norm=None, **options):
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(6, (8, 5), 3, dropout=0.2, norm="batch")
    optimizer = optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    return tn.Trainer(model, nn.CrossEntropyLoss(), optimizer, loaded(backend), progress=False, compile=compiles,
                      transforms=transforms, schedule=scheduled, clip_norm=clip_norm, **options)  # fmt: skip


def state(run):
    averages = [a for averages in run.optimizer.averages_of_all() for a in averages]
    return [*run.model.state_dict().values(), *averages, *(group.hyper for group in run.optimizer.groups)]


def same(one, other):
    return len(one) == len(other) and all(map(np.array_equal, one, other))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("transforms", TRANSFORMS)
@pytest.mark.parametrize("scheduled", SCHEDULES)
def test_replayed_equals_eager(name, transforms, scheduled):
    found = []
    for compiles in (False, True):
        make = SCHEDULES[scheduled]
        run = trainer(name, compiles, TRANSFORMS[transforms](), make() if make else None, clip_norm=1.0)
        history = run.fit(X, LABELS, epochs=4, batch_size=10)
        found.append((history.step_loss, state(run)))
        assert (run.program is not None) == compiles
    assert found[0][0] == found[1][0] and same(found[0][1], found[1][1])


def test_clip_norm_is_the_short_form():
    runs = [trainer("numba", clip_norm=0.05), trainer("numba", transforms=[optim.ClipNorm(0.05)]), trainer("numba")]
    for run in runs:
        run.fit(X, LABELS, epochs=2, batch_size=10)
    assert same(state(runs[0]), state(runs[1])) and not same(state(runs[0]), state(runs[2]))


def test_batches_that_are_accumulated_are_one_large_batch():
    """In float64, without dropout and batch normalisation, which look at a batch."""
    found = []
    for batch, transforms in ((60, []), (20, [optim.Accumulate(3)])):
        tn.manual_seed(0)
        model = nn.multilayer_perceptron(6, (8,), 3).to(np.float64)
        run = tn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=1e-2), progress=False,
                         transforms=transforms)  # fmt: skip
        run.fit(X[:60], LABELS[:60], epochs=4, batch_size=batch)
        assert run.optimizer.groups[0]["step"] == 4
        found.append(model.state_dict())
    for name, array in found[0].items():
        np.testing.assert_allclose(array, found[1][name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_resumed_in_the_middle_of_an_accumulation(tmp_path, steps):
    """Epochs have 7 batches, updates 4."""

    def make():
        return trainer("numba", transforms=[optim.Accumulate(4), optim.ClipNorm(0.1)], scheduled=SCHEDULES["many"]())

    first, second = make(), make()
    first.fit(X, LABELS, epochs=steps, batch_size=10)
    path = tmp_path / "run.safetensors"
    tn.save_checkpoint(path, first)
    tn.load_checkpoint(path, second)
    assert same(state(first), state(second))
    assert all(map(np.array_equal, first.transforms[0].arrays(), second.transforms[0].arrays()))
    assert any(total.any() for total in second.transforms[0].arrays()) == (7 * steps % 4 != 0)
    first.fit(X, LABELS, epochs=2, batch_size=10)
    second.fit(X, LABELS, epochs=2, batch_size=10)
    assert same(state(first), state(second))


def test_a_checkpoint_of_other_transforms_is_refused(tmp_path):
    run = trainer("numba", transforms=[optim.ClipValue(0.1)])
    run.fit(X, LABELS, batch_size=10)
    tn.save_checkpoint(tmp_path / "a", run)
    with pytest.raises(
        tn.CheckpointError, match=r"its transforms is .*ClipValue\(limit=0.1\).*, here it is .*limit=0.2"
    ):
        tn.load_checkpoint(tmp_path / "a", trainer("numba", transforms=[optim.ClipValue(0.2)]))


def test_a_transformation_that_changes_is_noticed():
    """Its option is another one from the third epoch on."""
    found = []
    for compiles in (False, True):
        clip = optim.ClipValue(0.05)
        run = trainer("numba", compiles, [clip])
        run.callbacks = (lambda run, _, clip=clip: setattr(clip, "limit", 0.001) if run.epoch == 2 else None,)
        found.append(run.fit(X, LABELS, epochs=4, batch_size=10).step_loss)
    assert found[0] == found[1]


def test_dropout_is_driven_to_0_and_back():
    counters = []
    for compiles in (False, True):
        run = trainer("numba", compiles, scheduled={"dropout": lambda epoch, step, steps: 0.3 * (epoch % 2)})
        run.fit(X, LABELS, epochs=4, batch_size=10)
        counters.append(
            [float(module.counter[0]) for _, module in run.model.named_modules() if isinstance(module, nn.Dropout)]
        )
    assert counters == [[28.0, 28.0]] * 2


def test_refusals():
    with pytest.raises(ValueError, match="one at most"):
        trainer("numba", transforms=[optim.Accumulate(2), optim.Accumulate(2)])
    with pytest.raises(TypeError, match="transforms holds"):
        trainer("numba", transforms=[3])
    with pytest.raises(ValueError, match="unknown scheduled option 'droput'"):
        trainer("numba", scheduled={"droput": schedule.Cosine()})
    run = trainer("numba", scheduled={"dropout": lambda *_: 1.5})
    with pytest.raises(ValueError, match=r"dropout for epoch 1, step 1 is 1.5"):
        run.fit(X, LABELS)


ORDERS = {
    "a float dtype": (lambda n: np.arange(n) * 1.0, TypeError, "order.. returned an array of dtype float64"),
    "a mask": (lambda n: np.ones(n, bool), TypeError, "order.. returned an array of dtype bool"),
    "too few": (lambda n: np.arange(n - 3), ValueError, r"order.. returned an array of shape .59,., expected .62,."),
    "too many": (lambda n: np.arange(n + 3) % n, ValueError, r"order.. returned an array of shape .65,."),
    "two axes": (lambda n: np.arange(n)[:, None], ValueError, r"order.. returned an array of shape .62, 1.,"),
    "nothing": (lambda n: None, TypeError, "order.. returned a NoneType"),
    "a generator": (lambda n: (i for i in range(n)), TypeError, "order.. returned a generator"),
    "a Tensor": (lambda n: tn.Tensor(np.arange(n)), TypeError, "order.. returned a Tensor"),
    "a row below": (lambda n: np.arange(n) - 1, ValueError, r"holds -1, expected whole numbers in \[0, 62\)"),
    "a row above": (lambda n: np.arange(n, dtype=np.uint64) + 1, ValueError, r"holds 62, expected whole numbers in"),
}


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("name", ORDERS)
def test_a_bad_order_is_refused(name, compiles):
    """From the second epoch on, with all as it was before that epoch."""
    make, kind, said = ORDERS[name]
    run = trainer("numba", compiles)
    run.order = lambda rows: make(rows) if run.epoch else np.arange(rows)
    run.fit(X, LABELS, batch_size=10)
    before = [array.copy() for array in state(run)], run.step, run.epoch
    for _ in range(2):
        with pytest.raises(kind, match=said):
            run.fit(X, LABELS, batch_size=10)
        assert same(before[0], state(run)) and before[1:] == (run.step, run.epoch)


def test_orders_of_other_kinds():
    """Lists, other whole numbers, strides and rows that come twice are orders as well."""
    found = []
    for make in (list, np.int32, lambda a: np.repeat(a, 2)[::2], np.uint8, np.int64):
        run = trainer("numba")
        run.order = lambda rows, make=make: make(np.arange(rows) // 2)
        found.append(run.fit(X, LABELS, epochs=3, batch_size=10).step_loss)
    assert all(losses == found[0] for losses in found)


@pytest.mark.parametrize("what", ["optimizer", "loss_function", "clip_norm"])
def test_a_callback_that_exchanges_what_a_step_calls(what):
    found = []
    for compiles in (False, True):

        def exchange(run, history):
            if run.epoch == 2:
                made = {"optimizer": lambda: optim.SGD(run.model.parameters(), lr=0.1, momentum=0.9),
                        "loss_function": lambda: nn.CrossEntropyLoss(label_smoothing=0.3), "clip_norm": lambda: 0.01}  # fmt: skip
                setattr(run, what, made[what]())

        run = trainer("numba", compiles, callbacks=[exchange])
        history = run.fit(X, LABELS, epochs=5, batch_size=10)
        found.append((history.step_loss, state(run)))
    assert found[0][0] == found[1][0] and same(found[0][1], found[1][1])
