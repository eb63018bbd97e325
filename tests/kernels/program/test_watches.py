"""What must hold of values is watched whatever runs a step: a wrong label or row is the sentence of the eager call."""

import numpy as np
import pytest
from backends import loaded

import kernels
import tinynet as tn
from kernels.numba_backend.runtime import thread_choice
from kernels.program import optimise, recorder, recording
from tinynet import nn, optim
from tinynet.backends import running_on

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(60, 6)).astype(np.float32), RNG.integers(0, 3, 60)
BAD = [3, -1, -100, 255, 10**6, 10**9, -(2**62)]


@pytest.fixture(params=["naive", "numpy", "numba", "numba, 3 threads"])
def backend(request):
    """Each backend; numba also with its steps on three threads."""
    if request.param != "numba, 3 threads":
        yield loaded(request.param)
        return
    with thread_choice.always_all():
        yield kernels.load("numba", threads=3)


def trainer(backend, compiles=True, loss=None, norm="batch", dropout=0.2, order=None, **options):
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(6, (8,), 3, norm=norm, dropout=dropout)
    kind = type("Ordered", (tn.Trainer,), {"order": order}) if order else tn.Trainer
    return kind(model, loss or own_loss(), optim.Adam(model.parameters(), lr=1e-2), backend, progress=False,
                compile=compiles, schedule=tn.schedule.Cosine(), **options)  # fmt: skip


def own_loss():
    cross_entropy = nn.CrossEntropyLoss()
    return lambda output, labels: cross_entropy(output, labels)


def state(run):
    averages = [a.copy() for averages in run.optimizer.averages_of_all() for a in averages]
    return [*run.model.state_dict().values(), *averages, *(group.hyper.copy() for group in run.optimizer.groups)]


def same(one, other):
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def refused(run, y, **options):
    """The sentence with which a fit ends, the state it leaves, and how far it came."""
    with pytest.raises(ValueError, match="expected whole numbers in") as caught:
        run.fit(X, y, epochs=2, batch_size=6, **options)
    return str(caught.value), state(run), run.step, run.history.step_loss


@pytest.mark.parametrize("bad", BAD)
def test_a_late_label_is_refused_as_in_eager_steps(backend, bad):
    """Replayed and eager: the same sentence, with weights, averages, counters and history as before that step."""
    y = LABELS.copy()
    y[np.random.default_rng((0, 0)).permutation(60)[47]] = bad  # in the eighth batch
    replayed, eager = refused(trainer(backend), y), refused(trainer(backend, compiles=False), y)
    assert f"hold {bad}, expected whole numbers in [0, 3)" in replayed[0]
    assert replayed[0] == eager[0] and replayed[2:] == eager[2:] and replayed[2] == 7
    assert same(replayed[1], eager[1])


@pytest.mark.parametrize("bad", [3, -1, 10**9])
def test_a_callback_that_spoils_the_labels(backend, bad):
    y = LABELS.copy()
    run = trainer(backend, loss=nn.CrossEntropyLoss(), callbacks=[lambda trainer, _: y.__setitem__(5, bad)])
    before = []
    run.callbacks = (*run.callbacks, lambda trainer, _: before.append(trainer.step))
    assert f"hold {bad}, expected whole numbers in [0, 3)" in refused(run, y)[0]
    assert before == [10] and 10 <= run.step < 20


@pytest.mark.parametrize("bad", [60, -1, 10**9])
def test_an_order_with_rows_that_there_are_not(backend, bad):
    def order(self, rows):
        found = np.arange(rows)
        found[33] = bad if self.epoch == 1 else 33
        return found

    sentence, *_ = refused(trainer(backend, order=order), LABELS)
    assert f"holds {bad}, expected whole numbers in [0, 60)" in sentence


def test_rows_outside_of_the_batch_are_not_judged(backend):
    y = np.r_[LABELS[:54], [9] * 6]
    run, step = compiled_step(backend)
    with running_on(backend):
        for start in (0, 12, 24, 36):
            run(start, y)
        assert step._last.runner is not None
        with pytest.raises(ValueError, match="hold 9,"):
            run(43, y)


def compiled_step(backend):
    """A step on rows of labels that it closes over."""
    model = nn.Sequential(nn.Linear(6, 3))
    loss_function, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)

    @tn.compile
    def step(x, labels):
        optimizer.zero_grad()
        loss = loss_function(model(tn.Tensor(x)), labels)
        loss.backward()
        optimizer.step()
        return loss

    return (lambda start, y: step(X[start : start + 12], y[start : start + 12])), step


@pytest.mark.parametrize("bad", BAD)
def test_labels_in_a_closure_changed_in_place(backend, bad):
    y = LABELS[:12].copy()
    model = nn.Sequential(nn.Linear(6, 3))
    loss_function, optimizer = nn.CrossEntropyLoss(), optim.Adam(model.parameters())

    @tn.compile
    def step(x):
        optimizer.zero_grad()
        loss = loss_function(model(tn.Tensor(x)), y)
        loss.backward()
        optimizer.step()
        return loss

    with running_on(backend):
        for _ in range(4):
            step(X[:12])
        y[7] = bad
        before = [p.data.copy() for p in model.parameters()], optimizer.groups[0].hyper.copy()
        for _ in range(2):
            with pytest.raises(ValueError, match=rf"labels hold {bad}, expected whole numbers in \[0, 3\)"):
                step(X[:12])
        assert same(before[0], [p.data for p in model.parameters()])
        assert np.array_equal(before[1], optimizer.groups[0].hyper)
        y[7] = 1
        step(X[:12])


def test_a_column_of_a_table_stored_by_columns(backend):
    """Only that column is judged."""
    table = np.asfortranarray(np.stack([LABELS[:12], np.full(12, 99)], axis=1))
    model = nn.Sequential(nn.Linear(6, 3))

    def labels_of(column):
        @tn.compile
        def step(x):
            model.zero_grad()
            loss = nn.CrossEntropyLoss()(model(tn.Tensor(x)), table[:, column])
            loss.backward()
            return loss

        return step

    with running_on(backend):
        good, bad = labels_of(0), labels_of(1)
        assert len({good(X[:12]).item() for _ in range(5)}) == 1
        with pytest.raises(ValueError, match="hold 99"):
            bad(X[:12])
        table[3, 0] = 50
        with pytest.raises(ValueError, match="hold 50"):
            good(X[:12])


def test_a_longer_view_from_the_same_place(backend):
    """Two gathers of rows from one address, the second longer, whose last row is wrong later on."""
    rows, table = np.arange(10), nn.Parameter(RNG.normal(size=(10, 4)).astype(np.float32))

    @tn.compile
    def step(x):
        table.grad = None
        k = tn.current_backend()
        short = k.gather_rows(table.data, rows[:4])
        long = k.gather_rows(table.data, rows)
        loss = (table * tn.Tensor(long)).sum() + tn.Tensor(short).sum() + tn.Tensor(x).sum()
        loss.backward()
        return loss

    with running_on(backend):
        for _ in range(4):
            step(X[:2])
        rows[9] = 10**9
        with pytest.raises(ValueError, match=r"indices holds 1000000000, expected whole numbers in \[0, 10\)"):
            step(X[:2])


def test_labels_that_were_computed(backend):
    """argmax of the first network's outputs are labels of the second, which has fewer classes."""
    teacher, student = nn.Linear(6, 5), nn.Linear(6, 3)
    teacher.weight.data[...], teacher.bias.data[...] = 0, [0, 1, 0, 0, 0]

    @tn.compile
    def step(x):
        student.zero_grad()
        labels = teacher(tn.Tensor(x)).argmax(axis=1)
        k = tn.current_backend()
        losses, gradient = k.softmax_cross_entropy(student(tn.Tensor(x)).array, labels, None, 0.0, 1.0)
        loss = (student(tn.Tensor(x)) * tn.Tensor(gradient)).sum() + tn.Tensor(k.sum(losses)).sum()
        loss.backward()
        return loss

    with running_on(backend):
        for _ in range(4):
            step(X[:12])
        teacher.bias.data[...] = [0, 0, 0, 0, 1]
        with pytest.raises(ValueError, match=r"labels holds 4, expected whole numbers in \[0, 3\)"):
            step(X[:12])


# ---- embeddings ---------------------------------------------------------------------------------------------------


CATEGORIES = RNG.integers(0, 5, (60, 2)).astype(np.float32)


class Mixed(nn.Module):
    """Two columns of categories and two of numbers."""

    def __init__(self):
        self.embedding, self.linear = nn.Embedding(5, 3), nn.Linear(8, 3)

    def forward(self, x):
        numbers, columns = x[:, 2:], self.embedding(x[:, :2])
        return self.linear(tn.functional.concatenate([columns, numbers], axis=1))


@pytest.mark.parametrize("model", ["sequential", "mixed"])
def test_embeddings_are_replayed(backend, model):
    found = []
    for compiles in (False, True):
        tn.manual_seed(0)
        net = nn.Sequential(nn.Embedding(5, 4), nn.Linear(8, 3)) if model == "sequential" else Mixed()
        features = CATEGORIES if model == "sequential" else np.c_[CATEGORIES, X[:, :2]]
        run = tn.Trainer(net, nn.CrossEntropyLoss(), optim.Adam(net.parameters(), lr=1e-2), backend, progress=False,
                         compile=compiles)  # fmt: skip
        history = run.fit(features, LABELS, epochs=4, batch_size=16)
        assert (run.program is not None) == compiles
        found.append((history.step_loss, state(run)))
        if compiles:
            assert "to_indices" in str(run.program) and "watch_below" in str(run.program)
    assert found[0][0] == found[1][0] and same(found[0][1], found[1][1])


@pytest.mark.parametrize(
    ("bad", "kind", "said"),
    [(5.0, ValueError, "category 5,"), (-1.0, ValueError, "category -1,"), (1e9, ValueError, "category 1e"),
     (0.5, TypeError, "expected whole numbers")],
)  # fmt: skip
def test_a_category_that_there_is_not(backend, bad, kind, said):
    features = CATEGORIES.copy()
    features[np.random.default_rng((0, 1)).permutation(60)[40], 1] = bad
    tn.manual_seed(0)
    net = nn.Sequential(nn.Embedding(5, 4), nn.Linear(8, 3))
    run = tn.Trainer(net, nn.CrossEntropyLoss(), optim.Adam(net.parameters()), backend, progress=False)
    run.fit(CATEGORIES, LABELS, batch_size=6)
    before = run.step
    with pytest.raises(kind, match=said):
        run.fit(features, LABELS, batch_size=6)
    assert run.step == before + 6


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
def test_an_embedding_in_a_compiled_step(backend, dtype):
    tn.manual_seed(0)
    embedding, weights = nn.Embedding(5, 4), RNG.normal(size=(12, 8)).astype(np.float32)

    @tn.compile
    def step(categories):
        embedding.zero_grad()
        loss = (embedding(categories) * tn.Tensor(weights)).sum()
        loss.backward()
        return loss

    categories = CATEGORIES[:12].astype(dtype)
    with running_on(backend):
        found = [step(categories).item() for _ in range(5)]
        assert len(set(found)) == 1 and step._last.runner is not None
        with pytest.raises(ValueError, match="category 7"):
            step(np.full((12, 2), 7, dtype))


# ---- the instructions ---------------------------------------------------------------------------------------------


def test_what_indices_must_be_is_in_the_listing():
    run = trainer(loaded("numba"))
    run.fit(X, LABELS, epochs=2, batch_size=12)
    listing = str(run.program)
    assert listing.count("watch_below") == 2 and "limit=3" in listing and "limit=60" in listing
    kernels_called = [i.kernel for i in run.program.instructions]
    assert kernels_called.index("watch_below") < kernels_called.index("gather_rows")
    halting = [i for i, instruction in enumerate(run.program.instructions) if instruction.halts]
    changing = [i for i, instruction in enumerate(run.program.instructions) if instruction.changes]
    assert halting[-1] < changing[-1] and len(halting) == 3


def test_watches_that_say_the_same_are_one():
    backend, rows = loaded("numba"), np.array([0, 2, 1])
    tables = [np.ones((n, 2), np.float32) for n in (3, 5, 4)]
    with running_on(recorder(backend)) as k, recording([rows]) as tape:
        for table in tables:
            k.gather_rows(table, rows)
    program = tape.program([])
    assert [i.kernel for i in program.instructions].count("watch_below") == 3
    once = optimise(program, backend, without=["dead"])
    assert [(i.kernel, i.operands[-1]) for i in once.instructions if i.halts] == [("watch_below", 3)]


def test_without_any_pass_labels_are_watched(backend):
    from kernels.program import PASSES

    model = nn.Linear(6, 3)

    def step(x, y):
        model.zero_grad()
        loss = nn.CrossEntropyLoss()(model(tn.Tensor(x)), y)
        loss.backward()
        return loss

    compiled = tn.compile(step, without=tuple(PASSES))
    with running_on(backend):
        for _ in range(4):
            compiled(X[:12], LABELS[:12])
        with pytest.raises(ValueError, match="hold 77"):
            compiled(X[:12], np.full(12, 77))
