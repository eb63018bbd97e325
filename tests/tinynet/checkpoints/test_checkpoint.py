"""Checkpoints: everything comes back, nothing is lost or half believed, and a resumed run is the run."""

import errno
import itertools
import json
import os
import pickle
import random
import re
import resource
import signal
import tracemalloc

import numpy as np
import pytest
from backends import loaded
from children import ENVIRONMENT, finished, path_to, python
from refusals import forge, mutated
from safetensors import safe_open
from safetensors.numpy import save

import tinynet as tn
from tinynet import nn, optim, schedule
from tinynet.checkpoints.checkpoint import contents, read_checkpoint
from tinynet.checkpoints.tensor_files import LONGEST_HEADER, read_tensors, write_tensors

SEEDS = itertools.count(1)
KILLS = 200
MUTATIONS = 10_000
RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(50, 6)), RNG.integers(0, 3, 50)

SCHEDULES = {
    "none": lambda: None,
    "warmup_plateau": lambda: schedule.LinearWarmup(5, schedule.ReduceOnPlateau(patience=0)),
    **schedule.SCHEDULES,
}


def trainer(
    backend="numpy", optimizer="adamw", sched="none", norm="batch", stop=True, dtype="float32", seed=0, **options
):
    """Initial weights differ from call to call, so that only what is loaded can agree."""
    tn.manual_seed(next(SEEDS))
    model = nn.multilayer_perceptron(6, (16, 8), 3, dropout=0.2, norm=norm).to(dtype)
    make = optim.OPTIMIZERS[optimizer]
    return tn.Trainer(
        model, nn.CrossEntropyLoss(), make(model.parameters(), lr=1e-2), backend, seed, SCHEDULES[sched](), clip_norm=1.0,
        callbacks=[tn.EarlyStopping(100)] if stop else [], progress=False, **options,
    )  # fmt: skip


def bits(target):
    """The whole state of anything that can be saved, but for clocks."""
    tensors, state = contents(target)
    arrays = {name: (a.dtype, a.shape, a.tobytes()) for name, a in tensors.items() if name != "history.seconds"}
    state = json.loads(json.dumps(state, default=str))
    for name in ("compile_seconds", "kernels_compiled", "stopped"):
        state.get("trainer", {"history": {}})["history"].pop(name, None)
    return arrays, state


def cut(run, epochs, steps, **options):
    """Trains, a step or so at a time, until it has come so far in the middle of an epoch."""
    while run.step < steps:
        run.fit(X, LABELS, epochs=epochs - run.epoch, batch_size=8, time_limit=1e-9, **options)
    assert run.position.rows_done


# ---- round trips ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", nn.NORMS)
@pytest.mark.parametrize("optimizer", optim.OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_trainer_comes_back_whole(tmp_path, optimizer, norm, dtype):
    path = tmp_path / "run.safetensors"
    a, b = (trainer(optimizer=optimizer, norm=norm, dtype=dtype) for _ in range(2))
    tn.save_checkpoint(path, a)  # before the first step
    tn.load_checkpoint(path, b)
    assert bits(a) == bits(b)
    a.fit(X, LABELS, epochs=2, batch_size=8)
    b.fit(X[:9], LABELS[:9])
    tn.save_checkpoint(path, a, {"rate": 0.1, "none": None, "list": [1, "x", float("inf")]})
    assert tn.load_checkpoint(path, b) == {"rate": 0.1, "none": None, "list": [1, "x", float("inf")]}
    assert bits(a) == bits(b)
    assert a.history.train_loss == b.history.train_loss and b.callbacks[0].best == a.callbacks[0].best
    first, second = (run.fit(X, LABELS, epochs=2, batch_size=8) for run in (a, b))
    assert first.step_loss == second.step_loss and bits(a) == bits(b)


@pytest.mark.parametrize("sched", SCHEDULES)
@pytest.mark.parametrize("where", [8, 14])
def test_every_schedule_goes_on(tmp_path, sched, where):
    """From the middle of an epoch of 7 steps and from its edge; all know how long the whole run is."""
    path, data = tmp_path / "run.safetensors", {"validation_data": (X[:20], LABELS[:20])}
    a, b, whole = (trainer(sched=sched) for _ in range(3))
    tn.save_checkpoint(path, a)
    tn.load_checkpoint(path, whole)
    whole.fit(X, LABELS, epochs=6, batch_size=8, **data)
    if where % 7:
        cut(a, 6, where, **data)
    else:
        a.callbacks = (*a.callbacks, lambda trainer, history: trainer.step >= where)
        a.fit(X, LABELS, epochs=6, batch_size=8, **data)
    tn.save_checkpoint(path, a)
    tn.load_checkpoint(path, b)
    b.fit(X, LABELS, epochs=6 - b.epoch, batch_size=8, **data)
    assert bits(b) == bits(whole)


@pytest.mark.parametrize("steps", [4 * 7, 4 * 7 + 3])
def test_a_run_whose_best_epoch_is_past_goes_on_where_training_was(tmp_path, steps):
    """Between fits the model has the best weights; a checkpoint holds the last ones, too."""
    data = {"validation_data": (X[:20], (LABELS[:20] + 1) % 3)}  # the more is learned, the worse
    a, b, whole = (trainer() for _ in range(3))
    for run in (a, b, whole):
        run.optimizer.groups[0]["lr"] = 0.03
    tn.manual_seed(2)
    a.model.load_state_dict(nn.multilayer_perceptron(6, (16, 8), 3, dropout=0.2, norm="batch").state_dict())
    tn.save_checkpoint(tmp_path / "start", a)
    tn.load_checkpoint(tmp_path / "start", whole)
    cut(a, 8, steps, **data) if steps % 7 else a.fit(X, LABELS, epochs=4, batch_size=8, **data)
    stop = a.callbacks[0]
    assert stop.waited and a.evaluate(*data["validation_data"]) == pytest.approx(stop.best, rel=1e-6)
    tn.save_checkpoint(tmp_path / "cut", a)
    tn.load_checkpoint(tmp_path / "cut", b)
    assert bits(b.model) == bits(a.model)
    b.fit(X, LABELS, epochs=8 - b.epoch, batch_size=8, **data)
    whole.fit(X, LABELS, epochs=8, batch_size=8, **data)
    assert bits(b) == bits(whole)


def test_models_and_optimizers_by_themselves(tmp_path):
    a, b = trainer(optimizer="adam"), trainer(optimizer="adam")
    a.fit(X, LABELS)
    tn.save_checkpoint(tmp_path / "model", a.model)
    tn.save_checkpoint(str(tmp_path / "optimizer"), a.optimizer)
    tn.load_checkpoint(tmp_path / "model", b.model)
    tn.load_checkpoint(str(tmp_path / "optimizer"), b.optimizer)
    assert bits(a.model) == bits(b.model) and bits(a.optimizer) == bits(b.optimizer)
    tn.save_checkpoint(tmp_path / "all", a)
    c = trainer(optimizer="adam")
    tn.load_checkpoint(tmp_path / "all", c.model)
    assert bits(a.model) == bits(c.model) and c.step == 0
    with pytest.raises(tn.CheckpointError, match=r"it holds no trainer, but model$"):
        tn.load_checkpoint(tmp_path / "model", b)
    for function in (tn.save_checkpoint, tn.load_checkpoint):
        with pytest.raises(TypeError, match="target is a dict, expected a Module"):
            function(tmp_path / "model", {})


def test_other_programs_can_read_it(tmp_path):
    run = trainer()
    tn.save_checkpoint(tmp_path / "x.safetensors", run)
    with safe_open(tmp_path / "x.safetensors", "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("model.0.weight"), run.model.state_dict()["0.weight"])
        assert file.metadata()["format"] == "tinynet checkpoint" and file.metadata()["tinynet"] == tn.__version__


def test_files_are_those_of_the_library(tmp_path):
    """Byte for byte, where it spells texts alike."""
    arrays = {
        "b": np.ones((3, 4), np.float32), "a": np.arange(5.0), "c": np.arange(7, dtype=np.uint8), "zero": np.zeros((0, 2)),
        "scalar": np.array(3, np.int32), "half": np.ones(3, np.float16), "view": np.arange(12, dtype=np.int16).reshape(3, 4).T,
    }  # fmt: skip
    write_tensors(tmp_path / "x", arrays, {})
    content = (tmp_path / "x").read_bytes()
    with safe_open(tmp_path / "x", "numpy") as file:
        metadata = file.metadata()
    assert content == save({name: array.copy("C") for name, array in arrays.items()}, metadata)
    assert int.from_bytes(content[:8], "little") % 8 == 0
    for name, array in read_tensors(tmp_path / "x")[0].items():
        assert array.dtype == arrays[name].dtype and np.array_equal(array, arrays[name])


def test_dropout_goes_on_with_the_seed_that_was_loaded(tmp_path):
    """A recorded step holds the seed as a constant, so it is recorded again."""
    a, b = trainer(), trainer()
    a.fit(X, LABELS, epochs=2)
    b.fit(X, LABELS, epochs=2)
    tn.save_checkpoint(tmp_path / "a", a)
    tn.load_checkpoint(tmp_path / "a", b)
    assert a.fit(X, LABELS, epochs=2).step_loss == b.fit(X, LABELS, epochs=2).step_loss


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_trained_trainer_goes_back_to_its_start(tmp_path, backend):
    """Recorded steps update the averages that there are then, not those of before."""
    run = trainer(loaded(backend))
    tn.save_checkpoint(tmp_path / "start", run)
    first = run.fit(X, LABELS, epochs=4)
    tn.load_checkpoint(tmp_path / "start", run)
    assert run.fit(X, LABELS, epochs=4).step_loss == first.step_loss
    assert bits(run.optimizer)[0]["optimizer.0.first"] and run.history.steps == first.steps


# ---- resuming -------------------------------------------------------------------------------------------------------

CASES = [
    (backend, compiled, where) for backend in ("numpy", "numba") for compiled in (True, False) for where in (14, 24)
]


def named(folder, backend, compiled, where):
    return folder / f"{backend}-{compiled}-{where}"


def test_resumed_in_a_new_process_bit_for_bit(tmp_path):
    """N epochs, then N more elsewhere, are 2N epochs: eager and recorded, at an epoch's edge and in its middle."""
    expected = {}
    for case in CASES:
        backend, compiled, where = case
        run, whole = (trainer(loaded(backend), sched="plateau", compile=compiled) for _ in range(2))
        tn.save_checkpoint(tmp_path / "start", run)
        tn.load_checkpoint(tmp_path / "start", whole)
        whole.fit(X, LABELS, epochs=6, batch_size=8)
        expected[case] = whole
        if where % 7:
            cut(run, 6, where)
        else:
            run.fit(X, LABELS, epochs=where // 7, batch_size=8)
        tn.save_checkpoint(named(tmp_path, *case), run)
    body = f"""
        import pathlib
        import test_checkpoint as t
        for case in t.CASES:
            run, path = t.trainer(case[0], sched="plateau", compile=case[1]), t.named(pathlib.Path({str(tmp_path)!r}), *case)
            t.tn.load_checkpoint(path, run)
            run.fit(t.X, t.LABELS, epochs=6 - run.epoch, batch_size=8)
            t.tn.save_checkpoint(path, run)
    """
    finished(python(body), env={**ENVIRONMENT, "PYTHONPATH": path_to(__file__)}, check=True)
    for case, whole in expected.items():
        run = trainer(sched="plateau")
        tn.load_checkpoint(named(tmp_path, *case), run)
        assert run.history.step_loss == whole.history.step_loss, case
        assert bits(run) == bits(whole), case


@pytest.mark.parametrize("at", [1, 9, 10, 14])
def test_ctrl_c_in_the_middle_of_a_step_or_a_validation(tmp_path, at):
    """The step is finished first; a validation that was cut short comes again."""

    class Interrupting(nn.CrossEntropyLoss):
        calls = 0

        def forward(self, logits, target):
            self.calls += 1
            if self.calls == at:
                signal.raise_signal(signal.SIGINT)
            return super().forward(logits, target)

    data = {"batch_size": 8, "validation_data": (X[:20], LABELS[:20])}
    a, whole = (trainer(sched="plateau", compile=False) for _ in range(2))
    tn.save_checkpoint(tmp_path / "start", whole)
    a.loss_function = Interrupting()
    tn.load_checkpoint(tmp_path / "start", a.model), tn.load_checkpoint(tmp_path / "start", a.optimizer)
    assert a.fit(X, LABELS, epochs=3, **data).stopped == "interrupted"
    a.loss_function = nn.CrossEntropyLoss()
    tn.save_checkpoint(tmp_path / "cut", a)
    b = trainer(sched="plateau", compile=False)
    tn.load_checkpoint(tmp_path / "cut", b)
    b.fit(X, LABELS, epochs=3 - b.epoch, **data)
    whole.fit(X, LABELS, epochs=3, **data)
    assert bits(b) == bits(whole)


# ---- what does not fit ----------------------------------------------------------------------------------------------

REFUSED = {
    "another optimizer": ({"optimizer": "adam"}, "its optimizer is .*AdamW.*, here it is .*Adam"),
    "another norm": ({"norm": "layer"}, "it has 1.running_mean, 1.running_variance, .*which the model lacks"),
    "no norm": ({"norm": "none"}, "the model has .*which it lacks"),
    "another dtype": ({"dtype": "float64"}, "its .* has dtype float32, the model expects float64"),
    "another schedule": ({"sched": "cosine"}, r"its schedule is None, here it is Cosine\(floor=0.0\)"),
    "another seed": ({"seed": 1}, "its seed is 0, here it is 1"),
    "no early stopping": ({"stop": False}, "its early stopping is "),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_and_nothing_changed(tmp_path, what):
    options, said = REFUSED[what]
    a, b = trainer(), trainer(**options)
    a.fit(X, LABELS)
    tn.save_checkpoint(tmp_path / "a", a)
    before = bits(b)
    with pytest.raises(tn.CheckpointError, match="a does not fit: .*" + said) as error:
        tn.load_checkpoint(tmp_path / "a", b)
    assert bits(b) == before and "\n" not in str(error.value)


def test_wrong_shapes_are_refused(tmp_path):
    tn.save_checkpoint(tmp_path / "a", nn.Linear(4, 3))
    model = nn.Linear(4, 5)
    before = bits(model)
    with pytest.raises(tn.CheckpointError, match=r"its weight has shape \(4, 3\), the model expects \(4, 5\)"):
        tn.load_checkpoint(tmp_path / "a", model)
    assert bits(model) == before


def dense(*between):
    return nn.Sequential(nn.Linear(3, 4), *between, nn.Linear(4, 2))


def fused(activation):
    return nn.Linear(3, 2, activation=activation)


FUNCTIONS = {
    "activation": (dense(nn.ReLU()), dense(nn.Tanh()), r"odule 1 is 'ReLU\(\)', here it is 'Tanh\(\)'"),
    "fused activation": (fused("relu"), fused("tanh"), r"odel is .*activation='relu'.*here it is .*activation='tanh'"),
    "slope": (dense(nn.LeakyReLU()), dense(nn.LeakyReLU(0.2)), r"negative_slope=0.01.*, here it is .*negative_slope=0.2"),
    "alpha": (dense(nn.ELU()), dense(nn.ELU(2.0)), r"'ELU\(alpha=1.0\)', here it is 'ELU\(alpha=2.0\)'"),
    "approximation": (dense(nn.GELU()), dense(nn.GELU("tanh")), r"'GELU\(\)', here it is .*approximate='tanh'"),
    "eps": (dense(nn.LayerNorm(4)), dense(nn.LayerNorm(4, eps=1e-3)), "eps=1e-05.*, here it is .*eps=0.001"),
    "momentum": (dense(nn.BatchNorm1d(4)), dense(nn.BatchNorm1d(4, momentum=0.5)), "momentum=0.1.*, here it is .*momentum=0.5"),
    "dropout": (dense(nn.Dropout(0.1)), dense(nn.Dropout(0.5)), "p=0.1.*, here it is .*p=0.5"),
    "container": (nn.Residual(fused("relu")), nn.Residual(nn.Linear(3, 2)), "odule inner is .*"),
    "one less": (nn.Sequential(nn.Linear(3, 2), nn.ReLU()), nn.Sequential(nn.Linear(3, 2)), "odule 1 is .*ReLU.*, here it is 'none'"),
    "one more": (nn.Sequential(nn.Linear(3, 2)), nn.Sequential(nn.Linear(3, 2), nn.ReLU()), "odule 1 is 'none', here it is .*ReLU"),
}  # fmt: skip


@pytest.mark.parametrize("what", FUNCTIONS)
def test_another_function_of_the_same_arrays_is_refused(tmp_path, what):
    a, b, said = FUNCTIONS[what]
    tn.save_checkpoint(tmp_path / "a", a)
    before = bits(b)
    with pytest.raises(tn.CheckpointError, match="a does not fit: its m.*" + said) as error:
        tn.load_checkpoint(tmp_path / "a", b)
    assert bits(b) == before and "\n" not in str(error.value)
    tensors, texts = read_tensors(tmp_path / "a")
    state = json.loads(texts["state"])
    del state["model"]["modules"]  # as versions wrote it that noted none
    write_tensors(tmp_path / "a", tensors, {**texts, "state": json.dumps(state)})
    tn.load_checkpoint(tmp_path / "a", b)
    assert bits(b)[0] == bits(a)[0]


def test_what_is_no_checkpoint_is_refused_unread(tmp_path, monkeypatch):
    path, model = tmp_path / "other", nn.Linear(2, 2)

    class Evil:
        def __reduce__(self):
            return os.abort, ()

    contents = {"is a pickle": [pickle.dumps(Evil(), protocol) for protocol in (2, 3, 4, 5)]}
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    np.save(tmp_path / "x.npy", np.zeros(3))
    contents["is a zip archive"] = [(tmp_path / "x.npz").read_bytes()]
    contents["is an .npy file"] = [(tmp_path / "x.npy").read_bytes()]
    contents["is not a safetensors file"] = [b"", b"{}", b"\0" * 100, pickle.dumps(Evil(), 0), b"\xff" * 8 + b"{"]
    contents["is empty"] = [b""]
    contents["is cut short"] = [(1000).to_bytes(8, "little") + b"{}"]
    contents["is damaged"] = [
        (2).to_bytes(8, "little") + b"{}",
        (5000).to_bytes(8, "little") + b'{"a":' + b"[" * 4995,
        (8).to_bytes(8, "little") + b"{" + b"\xff" * 7,
    ]
    for said, files in contents.items():
        for content in files:
            path.write_bytes(content)
            with pytest.raises(tn.CheckpointError, match=said):
                tn.load_checkpoint(path, model)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", ".", "device"):
        with pytest.raises(tn.CheckpointError, match="is not a regular file"):
            tn.load_checkpoint(tmp_path / name, model)
    with pytest.raises(FileNotFoundError):
        tn.load_checkpoint(tmp_path / "nowhere", model)
    with pytest.raises(tn.CheckpointError, match=r"'a\\x00b' holds a zero byte"):
        tn.load_checkpoint("a\0b", model)
    write_tensors(path, {}, {"format": "tinynet checkpoint", "format_version": "2"})
    with pytest.raises(tn.CheckpointError, match=r"version 2, expected 'tinynet checkpoint', version 1"):
        tn.load_checkpoint(path, model)


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    path, model = tmp_path / "x", nn.Linear(2, 2)
    circular: dict = {}
    circular["x"] = circular
    for notes, said in [
        ({"x": object()}, "object is nothing that JSON holds"),
        ({"x": {"nonfinite": "y"}}, "the keys 'nonfinite' would not be read as they are"),
        ({"nonfinite": 1.0}, "the keys 'nonfinite' would not be read as they are"),
        ({"x": {1: "a", "1": "b"}}, "the keys 1, '1' would not be read as they are"),
        (circular, "they are nested in each other more than 100 times"),
        ({"x": 10**5000}, "Exceeds the limit"),
    ]:
        with pytest.raises(tn.CheckpointError, match=f"the state of Linear or the notes: {said}"):
            tn.save_checkpoint(path, model, notes)
    for notes in ([1], "ab", 1):
        with pytest.raises(TypeError, match=r"notes is a .*, expected a mapping"):
            tn.save_checkpoint(path, model, notes)
    with pytest.raises(tn.CheckpointError, match=r"the names and notes take more than"):
        tn.save_checkpoint(path, model, {"x": "y" * LONGEST_HEADER})
    model.mask = np.zeros(3, bool)
    with pytest.raises(tn.CheckpointError, match=r"model.mask has dtype bool"):
        tn.save_checkpoint(path, model)
    assert not path.exists()


# ---- damage ---------------------------------------------------------------------------------------------------------


def test_mutations_are_refused_or_without_effect(tmp_path):
    def tiny():
        model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
        return tn.Trainer(model, nn.MSELoss(), optim.Adam(model.parameters()), "numpy", progress=False)

    rng, path, a = random.Random(0), tmp_path / "x", tiny()
    a.fit(X[:, :2], X[:, 2:4])
    tn.save_checkpoint(path, a)
    content, wanted, b = path.read_bytes(), bits(a), tiny()
    before, equal = bits(b), 0
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(content, rng))
        try:
            tn.load_checkpoint(path, b)
        except tn.CheckpointError:
            continue
        assert bits(b) == wanted
        b, equal = tiny(), equal + 1
        before = bits(b)
    assert bits(b) == before and equal < MUTATIONS / 10


def test_states_put_together_by_others_are_refused_or_restored(tmp_path):
    """With a digest that is right, anything may be in the state; what is refused changes nothing."""
    rng, path, a = random.Random(0), tmp_path / "x", trainer(sched="plateau")
    a.fit(X, LABELS)
    tn.save_checkpoint(path, a)
    tensors, texts = read_tensors(path)
    b = trainer(sched="plateau")
    before, refused = bits(b), 0
    for _ in range(1000):
        state, arrays = json.loads(texts["state"]), dict(tensors)
        forge(state, {}, rng)
        name = rng.choice(list(arrays))
        if rng.random() < 0.3:
            arrays[name] = rng.choice([np.zeros(0), np.zeros((2, 3)), np.full(arrays[name].shape, np.nan)])
        write_tensors(path, arrays, {**texts, "state": json.dumps(state)})
        try:
            tn.load_checkpoint(path, b)
        except tn.CheckpointError:
            refused += 1
            assert bits(b) == before
            continue
        before = bits(b)
    assert refused > 500


def test_headers_put_together_by_others_are_refused(tmp_path):
    """Shapes that NumPy cannot count, though they have no bytes; offsets and texts that are none."""
    path = tmp_path / "x"

    def row(shape, offsets, dtype="F32"):
        return {"dtype": dtype, "shape": shape, "data_offsets": offsets}

    rows = [
        row([0, 1 << 31, 1 << 31, 1 << 31], [0, 0]), row([0] * 65, [0, 0]), row([-1], [0, 0]), row([1 << 40], [0, 0]),
        row([True], [0, 4]), row([0.0], [0, 0]), row([10**400], [0, 0]), row([0], [0]), row([0], ["0", "0"]),
        row([0], [0, 0, 0]), row([0], [1, 1]), row([0], [-1, -1]), row("0", [0, 0]), row([0], [0, 0], "F4"),
        row([0], [0, 0], ["F32"]), row([[]], [0, 0]), {}, [], None, 1, "x",
    ]  # fmt: skip
    headers = [{"__metadata__": {"a": "b"}, "x": row} for row in rows]
    headers += [{"__metadata__": texts} for texts in ([], None, 1, "x", {"a": 1}, {"a": None})] + [{}]
    for header in headers:
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text)
        with pytest.raises(tn.CheckpointError, match=f"{path} is damaged"):
            tn.load_checkpoint(path, nn.ReLU())
    for state in ("", "[]", "1", '{"notes": 1}', '{"notes": [1]}', "[" * 10_000, "9" * 5000, f'{{"nonfinite": {10**400}}}',
                  '{"nonfinite": "x"}', '{"nonfinite": null}', "NaN", '{"notes": {"nonfinite": "1"}}'):  # fmt: skip
        write_tensors(path, {}, {"format": "tinynet checkpoint", "format_version": "1", "state": state})
        with pytest.raises(tn.CheckpointError, match=f"{path} holds no state that can be read"):
            tn.load_checkpoint(path, nn.ReLU())


FOUND = {  # in a file whose digest is right
    "its 3.counter is [nan], expected counts": lambda arrays, state: arrays["model.3.counter"].fill(np.nan),
    "its 3.counter is [-1.], expected counts": lambda arrays, state: arrays["model.3.counter"].fill(-1),
    "waited is [1], expected a whole number": lambda arrays, state: state["schedule"]["after"].update(waited=[1]),
    "current is 2, expected a number in [0, 1]": lambda arrays, state: state["schedule"]["after"].update(current=2),
    "could not convert string to float": lambda arrays, state: state["schedule"]["after"].update(best="x"),
}


@pytest.mark.parametrize("said", FOUND)
def test_counts_and_schedules_of_others_are_checked(tmp_path, said):
    """They were met in the next step, or at an epoch's end."""
    path, a = tmp_path / "x", trainer(sched="warmup_plateau")
    a.fit(X, LABELS)
    tn.save_checkpoint(path, a)
    arrays, texts = read_tensors(path)
    state = json.loads(texts["state"])
    FOUND[said](arrays, state["trainer"])
    write_tensors(path, arrays, {**texts, "state": json.dumps(state)})
    before = bits(a)
    with pytest.raises(tn.CheckpointError, match=re.escape(said)):
        tn.load_checkpoint(path, a)
    assert bits(a) == before


def test_reading_takes_less_than_twice_the_file(tmp_path):
    path = tmp_path / "x"
    model = nn.Linear(1000, 2000)
    run = tn.Trainer(model, nn.MSELoss(), optim.Adam(model.parameters()), "numpy", progress=False)
    run.optimizer.averages_of_all()
    tn.save_checkpoint(path, run)
    size, content = path.stat().st_size, path.read_bytes()
    assert size > 20e6

    def peak(file, target):
        tracemalloc.start()
        try:
            tn.load_checkpoint(file, target)
        except tn.CheckpointError:
            pass
        finally:
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return most

    assert peak(path, run) < 1.1 * size
    fresh = tn.Trainer(model, nn.MSELoss(), optim.Adam(model.parameters()), "numpy", progress=False)
    assert peak(path, fresh) < 1.9 * size  # with the optimizer's averages, which are made
    for cut_at in (1000, size // 2, size - 1):
        (tmp_path / "cut").write_bytes(content[:cut_at])
        assert peak(tmp_path / "cut", run) < max(cut_at, 100_000)
    (tmp_path / "cut").write_bytes((1 << 62).to_bytes(8, "little") + content[8:2000])
    assert peak(tmp_path / "cut", run) < 100_000


# ---- writing --------------------------------------------------------------------------------------------------------


def test_killed_while_saving(tmp_path):
    """Whenever it is killed, there is a whole checkpoint, never an older one than before, and after a save nothing else."""
    path = tmp_path / "x"
    body = f"""
        import glob, itertools, os, random, signal, time
        import tinynet as tn
        model = tn.nn.Linear(200, 300)
        def save(number):
            model.weight.data[...] = model.bias.data[...] = number
            tn.save_checkpoint({str(path)!r}, model, {{"number": number}})
        started = time.perf_counter()
        for last in range(1, 11):
            save(last)
        one = (time.perf_counter() - started) / 10
        rng, midway = random.Random(0), 0
        for _ in range({KILLS}):
            child = os.fork()
            if not child:
                for number in itertools.count(last):
                    save(number)
            time.sleep(rng.random() * 6 * one)  # some three saves, however slow the disk
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            now = tn.load_checkpoint({str(path)!r}, model)["number"]
            assert now >= last and (model.weight.data == now).all() and (model.bias.data == now).all()
            last = now
            midway += bool(glob.glob({str(tmp_path / ".x.*.tmp")!r}))
        tn.save_checkpoint({str(path)!r}, model)
        print(last, midway)
    """
    done = finished(python(body), 400, env={**ENVIRONMENT, "OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    last, midway = map(int, done.stdout.split())
    assert last > KILLS / 4 and midway > KILLS / 20 and os.listdir(tmp_path) == ["x"], done.stdout


@pytest.mark.parametrize("why", ["no space", "a limit", "fsync", "rename"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, why):
    path, model = tmp_path / "x", nn.Linear(200, 100)
    tn.save_checkpoint(path, model)
    before = path.read_bytes()

    def fails(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    model.weight.data += 1
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if why == "a limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    elif why == "no space":
        monkeypatch.setattr("tinynet.files.open", fails, raising=False)
    else:
        monkeypatch.setattr(os, {"fsync": "fsync", "rename": "replace"}[why], fails)
    try:
        with pytest.raises(OSError, match=r"No space|File too large"):
            tn.save_checkpoint(path, model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["x"]
    read_checkpoint(path)


def test_saving_takes_no_memory(tmp_path):
    """With less than another copy would take; where one must be made, there is a sentence and the old file."""
    path = tmp_path / "x"
    body = f"""
        import resource
        import numpy as np
        import tinynet as tn
        model = tn.nn.Linear(4000, 2500)
        tn.save_checkpoint({str(path)!r}, model)
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + 20_000_000, resource.RLIM_INFINITY))
        model.weight.data[0, 0] = 5
        tn.save_checkpoint({str(path)!r}, model)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        model.weight.data = np.asfortranarray(model.weight.data)
        resource.setrlimit(resource.RLIMIT_AS, (taken + 20_000_000, resource.RLIM_INFINITY))
        try:
            tn.save_checkpoint({str(path)!r}, model)
        except MemoryError as error:
            print(error)
        try:
            tn.load_checkpoint({str(path)!r}, model)
        except tn.CheckpointError as error:
            print(error)
    """
    done = finished(python(body), env={**ENVIRONMENT, "OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{path} was not written: there is too little memory",
        f"{path} takes more memory than there is",
    ]
    assert read_checkpoint(path).tensors["model.weight"][0, 0] == 5 and os.listdir(tmp_path) == ["x"]


def test_a_read_only_folder_leaves_the_old_file(tmp_path, monkeypatch):
    path, model = tmp_path / "x", nn.Linear(2, 2)
    tn.save_checkpoint(path, model)
    before = path.read_bytes()
    tmp_path.chmod(0o555)
    if os.geteuid() == 0:  # who may write everywhere
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    try:
        with pytest.raises(PermissionError, match="which cannot be written"):
            tn.save_checkpoint(path, model)
    finally:
        tmp_path.chmod(0o755)
    assert path.read_bytes() == before
    for missing, error in [(tmp_path / "no" / "x", FileNotFoundError), (tmp_path, IsADirectoryError)]:
        with pytest.raises(error):
            tn.save_checkpoint(missing, model)
