"""The Trainer on sources: the order of rows, resuming, reading ahead, memory, and what goes wrong while it reads."""

import threading
import time

import numpy as np
import polars as pl
import pytest
from backends import BACKENDS, loaded
from children import finished, python

import tinynet as tn
from tinynet import nn, optim
from tinynet.data.sources import windows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(203, 4)).astype(np.float32)
LABELS = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
NUMBERS = X @ RNG.normal(size=4).astype(np.float32)


class Blocks:
    """Rows in blocks of 20; `fails`, if set, is raised when that many blocks have been read."""

    def __init__(self, X=X, y=LABELS, fails=None, after=0, slow=0.0):
        self.X, self.y, self.fails, self.after, self.slow, self.reads = X, y, fails, after, slow, []

    def __len__(self):
        return -(-len(self.X) // 20)

    def rows(self, block):
        return len(self.X[block * 20 : block * 20 + 20])

    def read(self, block):
        self.reads.append((block, threading.current_thread().name))
        time.sleep(self.slow)
        if self.fails is not None and len(self.reads) > self.after:
            raise self.fails
        return self.X[block * 20 : block * 20 + 20], self.y[block * 20 : block * 20 + 20]


def trainer(backend="numpy", order=None, seed=0, norm="batch", outputs=2, loss=None, dtype=np.float32, **options):
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(4, (8,), outputs, dropout=0.1, norm=norm).to(dtype)
    found = tn.Trainer(model, loss or nn.CrossEntropyLoss(), optim.AdamW(model.parameters()), backend, seed, progress=False, **options)  # fmt: skip
    if order is not None:
        found.order = lambda rows: order(found.epoch)
    return found


def weights(found):
    return [parameter.data.tobytes() for parameter in found.model.parameters()]


def order_of(source, seed=0, batch_size=32):
    """The order in which an epoch visits the rows, as the documentation says it."""

    def order(epoch):
        starts, found = np.cumsum(source.block_rows) - source.block_rows, []
        blocks = np.random.default_rng((seed, epoch)).permutation(len(source))
        for number, first in enumerate(range(0, len(blocks), source.window)):
            some = blocks[first : first + source.window]
            rows = np.concatenate([np.arange(starts[b], starts[b] + source.block_rows[b]) for b in some])
            found.append(rows[np.random.default_rng((seed, epoch, number + 1)).permutation(len(rows))])
        return np.concatenate(found)

    return order


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("window, batch_size", [(1, 32), (3, 32), (3, 7), (11, 32), (2, 101), (4, 300)])
def test_a_source_trains_as_its_rows_in_memory_in_that_order(name, window, batch_size):
    """Bit for bit; 203 rows leave one of BatchNorm's alone in batches of 101, and windows end within batches."""
    source = tn.scan(Blocks(), window=window)
    streamed, in_memory = trainer(loaded(name)), trainer(loaded(name), order_of(source))
    epochs = 1 if name == "naive" else 3
    one = streamed.fit(source, epochs=epochs, batch_size=batch_size)
    two = in_memory.fit(X, LABELS, epochs=epochs, batch_size=batch_size)
    assert one.step_loss == two.step_loss and one.train_loss == two.train_loss
    assert weights(streamed) == weights(in_memory)


@pytest.mark.parametrize(
    "options", [{"drop_last": True}, {"loss": nn.CrossEntropyLoss(weight=[1.0, 3.0])}, {"transforms": [optim.Accumulate(3)]},
                {"compile": False}, {"dtype": np.float64}, {"schedule": tn.schedule.OneCycle(0.1)}],
    ids=["drop_last", "class weights", "accumulate", "eager", "float64", "schedule"],
)  # fmt: skip
def test_whatever_the_trainers_options(options):
    source = tn.scan(Blocks(), window=3)
    streamed, in_memory = trainer("numba", **options), trainer("numba", order_of(source), **options)
    one = streamed.fit(source, epochs=2, batch_size=16, validation_data=source)
    two = in_memory.fit(X, LABELS, epochs=2, batch_size=16, validation_data=(X, LABELS))
    assert one.step_loss == two.step_loss and one.train_loss == two.train_loss
    assert weights(streamed) == weights(in_memory)
    np.testing.assert_allclose(one.validation_loss, two.validation_loss, rtol=1e-6)


def test_steps_are_replayed_on_the_windows():
    """One program serves both buffers, all windows, epochs and fits."""
    streamed = trainer("numba", norm="none")
    streamed.fit(tn.scan(Blocks(), window=2), epochs=2, batch_size=8)
    program = streamed.program
    assert program is not None
    streamed.fit(tn.scan(Blocks(), window=2), epochs=1, batch_size=8)
    assert streamed.program is program


def test_order_does_not_depend_on_how_it_was_read_ahead():
    fast, slow = trainer(), trainer()
    one = fast.fit(tn.scan(Blocks(), window=2), epochs=2, batch_size=16)
    two = slow.fit(tn.scan(Blocks(slow=0.004), window=2), epochs=2, batch_size=16)
    assert one.step_loss == two.step_loss
    assert two.waiting_seconds > 0 and two.waiting_seconds <= sum(two.seconds)


def test_blocks_are_read_on_a_thread_of_their_own_and_each_once_an_epoch():
    given = Blocks()
    source = tn.scan(given, window=2)
    assert source.rows == 203
    given.reads.clear()
    trainer().fit(source, epochs=3, batch_size=16)
    assert {thread for _, thread in given.reads[1:]} == {"tinynet reads ahead"}  # after some rows for a first look
    assert "tinynet reads ahead" not in {thread.name for thread in threading.enumerate()}
    epochs = [block for block, _ in given.reads][-33:]
    for epoch in range(3):
        expected = np.random.default_rng((0, epoch)).permutation(11).tolist()
        assert epochs[epoch * 11 : epoch * 11 + 11] == expected


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("the disk is gone"), ValueError("nonsense")])
@pytest.mark.parametrize("blocks", [4, 9, 13])
@pytest.mark.parametrize("window", [1, 3])
def test_a_run_that_was_stopped_within_an_epoch_goes_on_with_the_same_bits(error, blocks, window, tmp_path):
    whole = trainer("numba")
    whole.fit(tn.scan(Blocks(), window=window), epochs=3, batch_size=16)

    stopped = trainer("numba")
    given = Blocks()
    source = tn.scan(given, window=window)
    given.fails, given.after = error, len(given.reads) + 1 + blocks  # one reads block 0 for a sample
    if isinstance(error, KeyboardInterrupt):
        assert stopped.fit(source, epochs=3, batch_size=16).stopped == "interrupted"
    else:
        with pytest.raises(type(error), match=str(error)):
            stopped.fit(source, epochs=3, batch_size=16)
    tn.save_checkpoint(tmp_path / "t.safetensors", stopped)
    assert stopped.step < whole.step

    resumed = trainer("numba")
    tn.load_checkpoint(tmp_path / "t.safetensors", resumed)
    resumed.fit(tn.scan(Blocks(), window=window), epochs=3 - resumed.epoch, batch_size=16)
    assert weights(resumed) == weights(whole)
    assert resumed.history.train_loss == whole.history.train_loss
    assert resumed.history.step_loss == whole.history.step_loss


def test_another_window_begins_the_epoch_again():
    given = Blocks()
    source = tn.scan(given, window=2)
    given.fails, given.after = KeyboardInterrupt(), len(given.reads) + 8
    stopped = trainer()
    stopped.fit(source, batch_size=16)
    assert 0 < stopped.position.rows_done < 203
    given.fails = None
    history = stopped.fit(tn.scan(given, window=3), batch_size=16)
    assert history.samples == [203]


def test_training_goes_on_in_the_same_process_after_a_file_was_repaired(tmp_path):
    frame = pl.DataFrame({**{f"x{i}": X[:, i] for i in range(4)}, "y": LABELS})
    for i in range(4):
        frame[i * 50 : i * 50 + 50].write_parquet(tmp_path / f"{i}.parquet", row_group_size=10)
    source = tn.scan(str(tmp_path / "*.parquet"), target="y", window=2)
    whole = trainer()
    whole.fit(source, epochs=2, batch_size=16)
    last = int(np.random.default_rng((0, 1)).permutation(20)[-1])
    path = tmp_path / f"{last // 5}.parquet"
    content = path.read_bytes()

    def breaks(trainer, history):
        path.unlink()

    stopped = trainer(callbacks=[breaks])
    with pytest.raises(FileNotFoundError, match=r"\d.parquet, row group \d: the file is no longer there") as caught:
        stopped.fit(source, epochs=2, batch_size=16)
    assert "kept" in caught.value.__notes__[0]
    path.write_bytes(content)
    stopped.callbacks = ()
    again = tn.scan(str(tmp_path / "*.parquet"), target="y", window=2)
    stopped.fit(again, epochs=2 - stopped.epoch, batch_size=16)
    assert weights(stopped) == weights(whole)


@pytest.mark.parametrize("kind", ["parquet", "npy"])
def test_a_file_that_changes_between_epochs_is_refused_however_far_was_read_ahead(kind, tmp_path):
    def write(shift):
        if kind == "npy":
            np.save(tmp_path / "t.npy", np.column_stack([X + shift, LABELS]))
        else:
            frame = pl.DataFrame({**{f"x{i}": X[:, i] + shift for i in range(4)}, "y": LABELS})
            frame.write_parquet(tmp_path / "t.parquet", row_group_size=50)

    write(0)
    source = tn.scan(tmp_path / f"t.{kind}", target="y" if kind == "parquet" else -1)
    assert source.window == len(source)  # the second epoch is read before the first one ends
    stopped = trainer(callbacks=[lambda trainer, history: time.sleep(0.05) or write(1)])
    with pytest.raises(ValueError, match=rf"t.{kind}, (row group 0|from row 0 on): the file has changed since it was"):
        stopped.fit(source, epochs=2, batch_size=16)
    assert (stopped.epoch, stopped.step) == (1, 13) and len(stopped.history.train_loss) == 1


def test_labels_that_are_none_are_refused_with_their_block():
    labels = LABELS.copy()
    labels[150] = 2
    stopped = trainer("numba")
    with pytest.raises(ValueError, match=r"Blocks, block 7: CrossEntropyLoss: labels hold 2, expected .* \[0, 2\)"):
        stopped.fit(tn.scan(Blocks(y=labels), window=1), batch_size=16)
    assert all(np.isfinite(parameter.data).all() for parameter in stopped.model.parameters())


def test_labels_in_a_column_of_floats(tmp_path):
    np.save(tmp_path / "t.npy", np.column_stack([X, LABELS]))
    one = trainer("numba").fit(tn.scan(tmp_path / "t.npy", target=4), batch_size=16)
    two = trainer("numba").fit(tn.scan(X, LABELS), batch_size=16)
    assert one.step_loss == two.step_loss
    np.save(tmp_path / "t.npy", np.column_stack([X, LABELS + 0.5]))
    with pytest.raises(
        ValueError, match=r"t.npy, rows 0 to 202: column 4 holds [01].5 in row 0, expected whole numbers"
    ):
        trainer().fit(tn.scan(tmp_path / "t.npy", target=4))


def test_evaluate_and_predict_visit_the_blocks_in_order():
    found = trainer(outputs=1, loss=nn.MSELoss())
    found.fit(tn.scan(Blocks(y=NUMBERS[:, None])), epochs=2)
    source = tn.scan(Blocks(y=NUMBERS[:, None]))
    np.testing.assert_allclose(found.evaluate(source), found.evaluate(X, NUMBERS[:, None]), rtol=1e-6)
    np.testing.assert_allclose(found.predict(source), found.predict(X), rtol=1e-5, atol=1e-6)
    alone = type("Alone", (), {"__len__": lambda s: 3, "read": lambda s, b: X[b * 20 : b * 20 + 20]})()
    np.testing.assert_allclose(found.predict(alone), found.predict(X[:60]), rtol=1e-5, atol=1e-6)


def test_early_stopping_watches_a_source():
    found = trainer(callbacks=[tn.EarlyStopping(patience=2)])
    history = found.fit(tn.scan(Blocks(), window=4), epochs=60, batch_size=16, validation_data=tn.scan(Blocks()))
    assert len(history.validation_loss) == len(history.train_loss) > 2


REFUSED = [
    (lambda t: t.fit(X), TypeError, "y is None, expected the targets"),
    (lambda t: t.fit(tn.scan(X, LABELS), LABELS), TypeError, "y is given beside a source"),
    (lambda t: t.fit(tn.scan(X, target=None)), ValueError, "a source without a target"),
    (lambda t: t.evaluate(tn.scan(X)), ValueError, "a source without a target"),
    (lambda t: t.fit(tn.scan(Blocks(), window=1), batch_size=0), ValueError, "batch_size is 0"),
    (lambda t: t.fit(tn.scan(X[:, :3], LABELS)), ValueError, "4"),
]


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_refused(case):
    call, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        call(trainer())


def test_columns_of_text_are_refused(tmp_path):
    pl.DataFrame({"a": ["x", "z"], "y": [0, 1]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(TypeError, match=r"t.parquet: column 'a' holds no numbers"):
        trainer().fit(tn.scan(tmp_path / "t.parquet", target="y"))


def test_a_subclass_of_windows_sees_what_an_epoch_visits():
    """Windows.order says what epoch() does."""
    source = tn.scan(Blocks(), window=3)
    for epoch in range(3):
        np.testing.assert_array_equal(
            windows.Windows(source, 0, 32, np.float32, np.int64).order(epoch), order_of(source)(epoch)
        )


def test_memory_is_two_windows_however_many_rows_there_are():
    """3 GB of rows, of which two windows of 64 MB are in memory, within 300 MB more than was taken before."""
    finished(python("""
        import resource, numpy as np, tinynet as tn
        from tinynet import nn, optim

        X = np.random.default_rng(0).normal(size=(62_500, 64)).astype(np.float32)  # 16 MB
        y = (X[:, 0] > 0).astype(np.int64)

        class Blocks:
            def __len__(self): return 190
            def rows(self, block): return 62_500
            def read(self, block): return X, y

        model = nn.Sequential(nn.Linear(64, 2))
        trainer = tn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1), "numba", progress=False)
        trainer.fit(X[:2000], y[:2000], batch_size=500)  # loads what is loaded once
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        source = tn.scan(Blocks(), window=4)
        assert source.rows * 64 * 4 > 3e9
        trainer.fit(tn.scan(X, y, block_rows=5000), batch_size=5000)  # what it read into is let go of
        history = trainer.fit(source, epochs=1, batch_size=5000)
        assert history.samples == [source.rows]
        taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        assert taken < 2 * 64e6 + 300e6, taken
    """), check=True)  # fmt: skip


SLOW = """
    import numpy as np, time, tinynet as tn
    from tinynet import nn, optim

    class Blocks:
        def __len__(self): return 6
        def rows(self, block): return 20
        def read(self, block):
            time.sleep({seconds})
            return np.ones((20, 2), np.float32) * block, np.arange(20) % 2

    model = nn.Linear(2, 2)
    trainer = tn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), "numpy")
    source = tn.scan(Blocks(), window=1)
"""


def test_the_bar_says_that_rows_are_waited_for():
    done = finished(python(SLOW.format(seconds=0.3) + """
    import tqdm
    shown = []
    class Bar(tqdm.tqdm):
        def __init__(self, **options):
            super().__init__(**{**options, "disable": False, "mininterval": 0})
        def display(self, *arguments, **options):
            shown.append(str(self))
    tqdm.tqdm = Bar
    history = trainer.fit(source, batch_size=20)
    print(any("epoch 1, waiting for rows to be read" in s for s in shown),
          any("% waiting for rows to be read" in s and "loss" in s for s in shown), history.waiting_seconds > 1)
    """))  # fmt: skip
    assert done.stdout.split() == ["True", "True", "True"], done


def test_ctrl_c_is_answered_while_rows_are_waited_for():
    done = finished(python(SLOW.format(seconds=0.7) + """
    import os, signal, threading
    trainer.progress = False
    threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    history = trainer.fit(source, epochs=1000, batch_size=20)
    print(history.stopped, len(history.step_loss) < 6, trainer.position.rows_done % 20)
    """))  # fmt: skip
    assert done.stdout.split() == ["interrupted", "True", "0"], done
