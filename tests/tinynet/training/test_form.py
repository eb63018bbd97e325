"""A step that is like one that was recorded is not recorded again: it is right all the same, and sees each difference."""

import gc
import weakref

import numpy as np
import pytest
from backends import loaded

import tinynet as tn
from kernels.program.recent import MOST, Recent
from tinynet import nn, optim
from tinynet.schedule import Cosine
from tinynet.training import form
from tinynet.training import step as steps

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((70, 6)).astype(np.float32), RNG.integers(0, 3, 70)
WEIGHTS = np.array([1.0, 2.0, 0.5])


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(form, "_known", Recent())


@pytest.fixture
def recordings(monkeypatch):
    """One entry for each step that was recorded."""
    found, original = [], steps.Step._recorded

    def counted(self, *arguments):
        found.append(1)
        return original(self, *arguments)

    monkeypatch.setattr(steps.Step, "_recorded", counted)
    return found


def layers(*more, activation=nn.ReLU):
    return nn.Sequential(nn.Linear(6, 8), *more, activation(), nn.Linear(8, 3))


def trained(
    *more, seed=0, activation=nn.ReLU, loss=nn.CrossEntropyLoss, optimizer=optim.Adam, lr=1e-2, prepare=None,
    name="numba", batch_size=16, **options,
):  # fmt: skip
    tn.manual_seed(seed)
    model = layers(*[layer() for layer in more], activation=activation)
    optimizer = optimizer(model.parameters(), lr)
    if prepare:
        prepare(model)
    trainer = tn.Trainer(model, loss(), optimizer, loaded(name), progress=False, **options)
    trainer.fit(X, Y, epochs=3, batch_size=batch_size)
    return trainer


def weights(trainer):
    model = trainer.model
    return [array.copy() for _, array in model.named_buffers()] + [p.data.copy() for p in model.parameters()]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def frozen(model):
    next(iter(model.parameters())).requires_grad = False


KINDS = {
    "adam": {}, "sgd": {"optimizer": optim.SGD}, "rmsprop": {"optimizer": optim.RMSprop},
    "adamw": {"optimizer": lambda p, lr: optim.AdamW(p, lr, weight_decay=0.1)},
    "batch norm": {"more": [lambda: nn.BatchNorm1d(8)]}, "layer norm": {"more": [lambda: nn.LayerNorm(8)]},
    "dropout": {"more": [lambda: nn.Dropout(0.3)]}, "clipping": {"clip_norm": 0.1}, "schedule": {"schedule": Cosine()},
    "weighted": {"loss": lambda: nn.CrossEntropyLoss(weight=WEIGHTS)},
    "smoothed": {"loss": lambda: nn.CrossEntropyLoss(label_smoothing=0.1)},
    "accumulating": {"optimizer": optim.SGD, "transforms": lambda: [optim.Accumulate(2)]}, "frozen": {"prepare": frozen},
}  # fmt: skip


def made(kind, **changes):
    options = {**KINDS[kind], **changes}
    options = {name: value() if name == "transforms" else value for name, value in options.items()}
    return trained(*options.pop("more", ()), **options)


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_second_net_that_is_alike_trains_as_eagerly_without_being_recorded(kind, name, recordings):
    changes = {} if kind == "dropout" else {"seed": 2}  # dropout's seed is part of the step
    made(kind, name=name)
    recorded = len(recordings)
    second = made(kind, name=name, **changes)
    # The first step of some makes what later ones find.
    assert recorded > 0 and len(recordings) <= recorded + (kind in ("accumulating", "frozen"))
    assert second.program is not None
    assert same(second, made(kind, name=name, compile=False, **changes))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("adam", {"activation": nn.Tanh}), ("adam", {"optimizer": optim.AdamW}), ("adam", {"batch_size": 15}),
        ("adam", {"clip_norm": 0.5}), ("adam", {"precision": "bfloat16"}), ("adam", {"prepare": frozen}),
        ("adam", {"loss": lambda: nn.CrossEntropyLoss(label_smoothing=0.2)}), ("adam", {"lr": 0.1}),
        ("adam", {"optimizer": lambda p, lr: optim.Adam(p, lr, weight_decay=0.1)}),
        ("adam", {"optimizer": lambda p, lr: optim.Adam(p, lr, betas=(0.5, 0.9))}),
        ("sgd", {"optimizer": lambda p, lr: optim.SGD(p, lr, momentum=0.9, nesterov=True)}),
        ("dropout", {"seed": 5}), ("dropout", {"more": [lambda: nn.Dropout(0.5)]}),
        ("batch norm", {"more": [lambda: nn.BatchNorm1d(8, momentum=0.3)]}),
        ("layer norm", {"more": [lambda: nn.LayerNorm(8, eps=0.1)]}),
        ("weighted", {"loss": lambda: nn.CrossEntropyLoss(weight=WEIGHTS[::-1].copy())}),
        ("clipping", {"clip_norm": 0.05}), ("accumulating", {"transforms": lambda: [optim.Accumulate(3)]}),
    ],
)  # fmt: skip
def test_each_difference_is_seen(kind, change):
    first = made(kind)
    other = made(kind, **change)
    assert same(other, made(kind, compile=False, **change))
    assert not same(first, other)


def test_parameters_of_one_memory_are_like_no_others(recordings):
    """Two layers whose weights are parts of one array that overlap."""

    def tie(model):
        memory = np.zeros(60, np.float32)
        memory[:] = RNG.standard_normal(60)
        model[0].weight.data = memory[:48].reshape(6, 8)
        model[2].weight.data = memory[36:].reshape(8, 3)

    made("adam")
    state = RNG.bit_generator.state
    tied = made("adam", prepare=tie)
    RNG.bit_generator.state = state
    assert same(tied, made("adam", prepare=tie, compile=False))


def test_a_shared_layer_is_not_like_two():
    made("adam", more=[lambda: nn.Linear(8, 8), lambda: nn.Linear(8, 8)])
    shared = nn.Linear(8, 8)
    start = [parameter.data.copy() for parameter in shared.parameters()]
    one = made("adam", more=[lambda: shared, lambda: shared])
    for parameter, data in zip(shared.parameters(), start, strict=True):
        parameter.data[...] = data
    found = weights(one)
    other = made("adam", more=[lambda: shared, lambda: shared], compile=False)
    assert all(np.array_equal(a, b) for a, b in zip(found[:1], weights(other)[:1], strict=True))


def test_code_of_a_users_is_recorded_twice(recordings):
    ours = nn.CrossEntropyLoss()
    X16, Y16 = X[:64], Y[:64]

    def count(loss):
        recordings.clear()
        tn.manual_seed(0)
        model = layers()
        trainer = tn.Trainer(model, loss, optim.SGD(model.parameters(), 0.1), loaded("numba"), progress=False)
        trainer.fit(X16, Y16, epochs=3, batch_size=16)
        return len(recordings)

    assert count(ours) == 1 and count(nn.CrossEntropyLoss()) == 0
    assert count(lambda output, target: ours(output, target)) == 2
    assert count(lambda output, target: ours(output, target)) == 2


def test_what_changes_after_a_program_was_recalled_is_seen():
    def run(**options):
        trainer = made("adam", activation=lambda: nn.LeakyReLU(0.1), **options)
        trainer.model[1].slope = 0.3
        trainer.fit(X, Y, epochs=2, batch_size=16)
        trainer.model[2].bias.requires_grad = False
        trainer.fit(X, Y, epochs=2, batch_size=16)
        trainer.optimizer.param_groups[0]["lr"] = 1e-3
        trainer.fit(X, Y, epochs=2, batch_size=16)
        return trainer

    run()
    assert same(run(), run(compile=False))


def test_labels_are_checked_by_a_program_that_was_recalled():
    made("adam")
    model = layers()
    trainer = tn.Trainer(
        model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), 1e-2), loaded("numba"), progress=False
    )
    wrong = Y.copy()
    wrong[-1] = 3
    with pytest.raises(ValueError, match="3"):
        trainer.fit(X, wrong, epochs=1, batch_size=16)


def test_what_is_kept_is_bounded_and_holds_no_arrays():
    models = []
    for batch in range(MOST // 2 + 5):
        trainer = trained(name="numpy", batch_size=2 + batch % 60, clip_norm=1.0 + batch)
        models.append(weakref.ref(trainer.model.parameters()[0].data))
    kept = form._known._known[loaded("numpy")]
    assert 0 < len(kept) <= MOST
    assert not any(array.nbytes for known in kept.values() for array in known.program.memory.values())
    assert all(array.nbytes <= 8 for known in kept.values() for array in known.constants.values())
    del trainer
    gc.collect()
    assert not any(reference() is not None for reference in models)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_grid_search_of_one_architecture_records_it_once(recordings):
    for seed in range(4):
        for alpha in (1e-4, 1e-2):
            tn.MLPClassifier((8,), batch_size=16, max_iter=3, random_state=seed, alpha=alpha).fit(X, Y)
            if not seed:
                first = len(recordings)
    assert len(recordings) == first
