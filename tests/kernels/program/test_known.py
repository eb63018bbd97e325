"""A program of calls that came before is not optimised again: it is right all the same, and forgets no difference."""

import gc
import threading
import weakref

import numpy as np
import pytest
from backends import loaded

import tinynet as tn
from kernels.program import known, optimise
from kernels.program.recent import MOST, Recent
from tinynet import nn, optim
from tinynet.schedule import Cosine
from tinynet.training import form

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((70, 6)).astype(np.float32), RNG.integers(0, 3, 70)


def layers(*more):
    return nn.Sequential(nn.Linear(6, 8), *more, nn.ReLU(), nn.Linear(8, 3))


KINDS = {
    "adam": lambda: (layers(), lambda p: optim.Adam(p, 1e-2), {}),
    "adamw": lambda: (layers(), lambda p: optim.AdamW(p, 1e-2, weight_decay=0.1), {}),
    "sgd": lambda: (layers(), lambda p: optim.SGD(p, 1e-1, momentum=0.9), {}),
    "rmsprop": lambda: (layers(), lambda p: optim.RMSprop(p, 1e-2), {}),
    "dropout": lambda: (layers(nn.Dropout(0.3)), lambda p: optim.Adam(p, 1e-2), {}),
    "batch norm": lambda: (layers(nn.BatchNorm1d(8)), lambda p: optim.Adam(p, 1e-2), {}),
    "layer norm": lambda: (layers(nn.LayerNorm(8)), lambda p: optim.Adam(p, 1e-2), {}),
    "clipping": lambda: (layers(), lambda p: optim.Adam(p, 1e-2), {"clip_norm": 0.1}),
    "schedule": lambda: (layers(), lambda p: optim.Adam(p, 1e-2), {"schedule": Cosine()}),
    "accumulating": lambda: (layers(), lambda p: optim.SGD(p, 1e-1), {"transforms": [optim.Accumulate(2)]}),
}


def trained(kind, name="numba", seed=0, batch_size=16, **changes):
    tn.manual_seed(seed)
    model, optimizer, options = KINDS[kind]()
    trainer = tn.Trainer(
        model, nn.CrossEntropyLoss(), optimizer(model.parameters()), loaded(name), progress=False, **options | changes
    )
    trainer.fit(X, Y, epochs=3, batch_size=batch_size)
    return trainer


def weights(trainer):
    return [array.copy() for _, array in trainer.model.named_buffers()] + [
        parameter.data.copy() for parameter in trainer.model.parameters()
    ]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(known, "_known", Recent())
    monkeypatch.setattr(form, "_known", Recent())


@pytest.fixture
def passes_run(monkeypatch):
    """How often passes ran."""
    calls = []

    def counted(*arguments):
        calls.append(1)
        return optimise(*arguments)

    monkeypatch.setattr(known, "optimise", counted)
    return calls


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_second_net_of_the_same_form_trains_as_the_first_and_as_eagerly(kind, name, passes_run):
    first = trained(kind, name, seed=1)
    ran = len(passes_run)
    second = trained(kind, name, seed=2)
    assert len(passes_run) == ran > 0
    assert second.program is not None and len(second.program) == len(first.program)
    again = trained(kind, name, seed=1)
    assert same(weights(first), weights(again)) and not same(weights(first), weights(second))
    assert same(weights(second), weights(trained(kind, name, seed=2, compile=False)))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("adam", lambda: {"batch_size": 15}), ("adam", lambda: {"clip_norm": 0.5}),
        ("adam", lambda: {"precision": "bfloat16"}), ("dropout", lambda: {"seed": 5}),
        ("schedule", lambda: {"schedule": {"lr": Cosine(), "weight_decay": Cosine()}}),
    ],
)  # fmt: skip
def test_another_option_is_another_result(kind, change):
    trained(kind)
    other = trained(kind, **change())
    assert same(weights(other), weights(trained(kind, compile=False, **change())))


def test_numbers_that_compare_equal_are_told_apart():
    assert known._form_of(0.0) != known._form_of(-0.0)
    assert len({known._form_of(number) for number in (1, True, 1.0)}) == 3
    assert known._form_of(1.0) != known._form_of(1.0000000000000002)


def test_parameters_that_share_memory_are_never_taken_for_some_that_do_not():
    """Two parameters in one array, whose views overlap: each run optimises anew."""
    tn.manual_seed(0)
    memory = np.zeros(30, np.float32)
    tied = [tn.Tensor(memory[:20], requires_grad=True), tn.Tensor(memory[10:], requires_grad=True)]
    apart = [tn.Tensor(np.zeros(20, np.float32), requires_grad=True) for _ in range(2)]

    def run(pair):
        optimizer = optim.SGD(pair, 0.1)

        @tn.compile
        def step(x):
            optimizer.zero_grad()
            loss = ((pair[0] - x) * (pair[0] - x) + pair[1] * x).sum()
            loss.backward()
            optimizer.step()
            return loss

        with tn.use_backend(loaded("numba")):
            return [step(tn.Tensor(np.ones(20, np.float32))).item() for _ in range(4)]

    expected = run(apart)
    assert run(tied) != expected
    for parameter in apart:
        parameter.data[...] = 0
    assert run(apart) == expected


def test_what_is_kept_is_bounded_and_holds_no_arrays():
    models = []
    for batch in range(MOST + 5):
        trainer = trained("sgd", "numpy", batch_size=2 + batch % 60, clip_norm=1.0 + batch)
        models.append(weakref.ref(trainer.model.parameters()[0].data))
    kept = known._known._known[loaded("numpy")]
    assert len(kept) <= MOST
    assert not any(array.nbytes for program in kept.values() for array in program.memory.values())
    del trainer
    gc.collect()
    assert not any(reference() is not None for reference in models)


def test_two_nets_of_one_form_train_side_by_side():
    expected = [weights(trained("dropout", seed=seed)) for seed in range(4)]
    found = [None] * 4

    def run(seed):
        tn.manual_seed(seed)
        found[seed] = weights(trained_model(models[seed]))

    models = []
    for seed in range(4):
        tn.manual_seed(seed)
        models.append(KINDS["dropout"]())
    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(a, b) for a, b in zip(expected, found, strict=True))


def trained_model(made):
    model, optimizer, options = made
    trainer = tn.Trainer(
        model, nn.CrossEntropyLoss(), optimizer(model.parameters()), loaded("numba"), progress=False, **options
    )
    trainer.fit(X, Y, epochs=3, batch_size=16)
    return trainer
