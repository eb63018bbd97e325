"""The command: what it prints and writes, and that bad input gets one sentence and exit status 2."""

import json
import os
import signal
import sys
import textwrap
import time

import numpy as np
import pytest
from children import finished, started
from repository import ROOT

import kernels
from tinynet.checkpoints.checkpoint import read_checkpoint
from tinynet.checkpoints.tensor_files import write_tensors
from tinynet.command import command_line
from tinynet.command.command_line import main
from tinynet.command.termination import Termination
from tinynet.experiments import ladder
from tinynet.experiments.experiment import Options, Run, Rung
from tinynet.interrupts import uninterrupted
from tinynet.training.history import History


def run(capsys, *arguments):
    """Exit status, what was printed, what was complained about."""
    try:
        status = main(list(arguments))
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.mark.parametrize(
    ("dataset", "least", "backend"),
    [(d, s, b) for d, s in [("digits", 0.97), ("iris", 0.93), ("wine", 0.97), ("breast_cancer", 0.95), ("moons", 0.97),
                            ("diabetes", 0.40)] for b in ("numpy", "numba")]
    + [("iris", 0.93, "naive"), ("wine", 0.97, "naive")],
)  # fmt: skip
def test_every_data_set_is_learned_with_the_defaults(capsys, tmp_path, dataset, least, backend):
    out = tmp_path / "out.json"
    status, printed, _ = run(capsys, "--dataset", dataset, "--backend", backend, "--epochs", "30", "--json", str(out))
    (result,) = json.loads(out.read_text())["runs"]
    assert status == 0 and backend in printed and "samples/s" in printed
    assert result["test_score"] >= least
    assert result["score_name"] == ("R2" if dataset == "diabetes" else "accuracy")


def test_json_has_what_it_says(capsys, tmp_path):
    out = tmp_path / "out.json"
    status, printed, said = run(
        capsys,
        "--dataset",
        "iris",
        "--backend",
        "numpy",
        "--epochs",
        "3",
        "--json",
        str(out),
        "--quiet",
        "--hidden",
        "8",
    )
    (result,) = json.loads(out.read_text())["runs"]
    assert (status, printed, said) == (0, "", "")
    assert set(result) == {
        "backend", "options", "dataset", "epochs", "batch_size", "compile_seconds", "kernels_compiled", "seconds", "samples_per_second",
        "train_loss", "test_score", "score_name", "steps_timed",
    }  # fmt: skip
    assert result["backend"] == "numpy" and result["options"]["hidden"] == [8]
    assert len(result["train_loss"]) == len(result["seconds"]) == 3 and result["steps_timed"] == 12
    assert result["compile_seconds"] == 0 and result["samples_per_second"] > 0


@pytest.mark.parametrize(("options", "bound"), [([], 1e-4), (["--dtype", "float64", "--epochs", "2"], 1e-9)])
def test_compare_trains_the_same_net_everywhere(capsys, tmp_path, options, bound):
    """float64 over 2 epochs is 8 steps of iris."""
    plot, out = tmp_path / "plot.png", tmp_path / "out.json"
    status, printed, _ = run(
        capsys, "--compare", "--dataset", "iris", "--epochs", "10", *options, "--plot", str(plot), "--json", str(out)
    )
    lines = [line.split() for line in printed.splitlines()]
    assert status == 0 and [line[0] for line in lines[2:]] == ["naive", "numpy", "numba"]
    assert "speed-up" in printed and plot.read_bytes().startswith(b"\x89PNG")
    assert all(float(line[-1]) < bound for line in lines[2:4])
    losses = [result["train_loss"] for result in json.loads(out.read_text())["runs"]]
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=bound)


def test_compare_cuts_a_slow_backend_short_and_says_so(capsys, tmp_path):
    out = tmp_path / "out.json"
    status, printed, _ = run(capsys, "--compare", "naive,numpy", "--dataset", "digits", "--epochs", "2", "--budget", "1.5",
                             "--json", str(out))  # fmt: skip
    naive, numpy = json.loads(out.read_text())["runs"]
    assert status == 0 and "naive stopped after" in printed and "time limit" in printed
    assert 0 < naive["steps_timed"] < numpy["steps_timed"] == 90
    difference = float(printed.splitlines()[2].split()[-1])
    assert 0 <= difference < 1e-4


def test_the_ladder_has_a_rung_for_each_step(capsys, tmp_path):
    plot, out = tmp_path / "ladder.png", tmp_path / "ladder.json"
    arguments = ["--dataset", "iris", "--epochs", "3", "--plot", str(plot), "--json", str(out)]
    status, printed, _ = run(capsys, "--compare", "--ladder", *arguments)
    assert status == 0 and plot.exists()
    numba = kernels.load("numba")
    lanes = [f"SIMD, {width} lanes" for width in (4, 8, 16) if width <= numba.options["simd_width"]]
    threads = [f"{numba.options['threads']} threads"] if numba.options["threads"] > 1 else []
    expected = ["naive", "scalar", *lanes, "fused", "recorded", *threads, "numpy"]
    lines = printed.splitlines()[2:]
    assert [line[: len(name)] for line, name in zip(lines, expected, strict=True)] == expected
    assert all(float(line.split()[-1]) < 1e-4 for line in lines[:-1])
    runs = {found["rung"]: found for found in json.loads(out.read_text())["runs"]}
    assert list(runs) == expected
    for name, options in {
        "scalar": {"backend_simd_width": 1, "backend_fused": False, "backend_threads": 1, "eager": True},
        lanes[0]: {"backend_simd_width": 4, "backend_fused": False, "backend_threads": 1, "eager": True},
        "fused": {"backend_simd_width": numba.options["simd_width"], "backend_threads": 1, "eager": True},
        "recorded": {"backend_simd_width": numba.options["simd_width"], "backend_threads": 1, "eager": False},
    }.items():
        assert options.items() <= runs[name]["options"].items() and ("backend_fused" in options) == (
            "backend_fused" in runs[name]["options"]
        )


def test_gains_are_over_the_last_rung_and_skip_the_reference():
    def rung(seconds, **options):
        history = History(seconds=[9.0, seconds], samples=[100, 100])
        climbed = Rung("a", "b", kernels.load("naive"), True, **options)
        return Run(climbed.backend, Options(batch_size=10), "d", history, 0.0, "accuracy", rung=climbed)

    runs = [rung(4.0), rung(2.0), rung(3.0, reference=True), rung(0.5)]
    assert ladder.seconds_a_step(runs[0]) == pytest.approx(0.4)
    assert ladder.gains(runs) == [None, pytest.approx(2.0), None, pytest.approx(4.0)]


def test_eager_and_recorded_steps_give_the_same_losses(capsys, tmp_path):
    found = []
    for number, arguments in enumerate((["--eager"], [])):
        out = tmp_path / f"{number}.json"
        status, printed, _ = run(
            capsys, "--dataset", "iris", "--epochs", "3", "--program", "--json", str(out), *arguments
        )
        assert status == 0 and ("the steps ran eagerly" in printed) == bool(arguments)
        assert ("softmax_cross_entropy" in printed) != bool(arguments)
        found.append(json.loads(out.read_text())["runs"][0])
    assert found[0]["train_loss"] == found[1]["train_loss"] and found[0]["test_score"] == found[1]["test_score"]
    assert [run["options"]["eager"] for run in found] == [True, False]


@pytest.mark.parametrize("batch_size", [32, 100, 119, 120, 1000])
def test_the_listing_is_of_whole_batches(capsys, batch_size):
    """As --explain's is: iris has 120 rows to train on, so in the first three cases an epoch ends with fewer."""
    options = ["--dataset", "iris", "--epochs", "4", "--batch-size", str(batch_size), "--backend", "numpy", "--program"]
    status, printed, _ = run(capsys, *options)
    assert status == 0 and f"({min(batch_size, 120)}x128)" in printed


@pytest.mark.parametrize(
    ("more", "said"), [([], "none, training ended before a step was replayed"), (["--explain"], "matmul")]
)
def test_a_run_of_one_step_is_not_said_to_be_eager(capsys, monkeypatch, more, said):
    def without_numba(*arguments):
        raise ImportError("no ceilings, which take long to measure")

    monkeypatch.setattr("tinynet.experiments.experiment.ceilings", without_numba)
    options = ["--dataset", "iris", "--epochs", "1", "--batch-size", "1000", "--backend", "numpy", "--program", *more]
    status, printed, _ = run(capsys, *options)
    listing = printed.partition("numpy, a recorded step:")[2].partition("numpy, a recorded step:")[0]
    assert status == 0 and said in listing and "eagerly" not in listing


def test_explain_times_every_instruction(capsys, tmp_path):
    out = tmp_path / "r.json"
    status, text, _ = run(capsys, "--dataset", "iris", "--epochs", "2", "--explain", "--json", str(out))
    assert status == 0
    found = json.loads(out.read_text())["runs"][0]["profile"]
    assert {entry["part"] for entry in found["instructions"]} == {"forward", "backward", "optimizer"}
    for entry in found["instructions"]:
        assert f" {entry['kernel']} " in text
    for said in ("waiting for another thread", "between kernels", "timing costs", "measured ceilings", "in training a"):
        assert said in text


def test_what_was_trained_is_reported_when_the_timing_is_interrupted(capsys, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("tinynet.training.trainer.Trainer.profile", interrupted)
    out = tmp_path / "r.json"
    status, text, _ = run(capsys, "--dataset", "iris", "--epochs", "2", "--explain", "--json", str(out))
    assert status == 130 and "test accuracy" in text and "the timing was interrupted" in text
    assert len(json.loads(out.read_text())["runs"][0]["train_loss"]) == 2


def test_ctrl_c_while_the_page_is_written_gets_a_sentence(capsys, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "write_report", interrupted)
    out = tmp_path / "r.json"
    arguments = ["--dataset", "iris", "--epochs", "1", "--backend", "numpy", "--eager", "--json", str(out)]
    status, text, said = run(capsys, *arguments, "--report", str(tmp_path / "r.html"))
    assert status == 130 and "test accuracy" in text and "interrupted before" in said and out.exists()


def test_there_is_nothing_to_explain_of_eager_steps(capsys, tmp_path):
    out = tmp_path / "r.json"
    arguments = ["--dataset", "iris", "--epochs", "1", "--explain", "--eager", "--json", str(out)]
    status, text, _ = run(capsys, *arguments)
    assert status == 0 and "the steps ran eagerly" in text
    assert "profile" not in json.loads(out.read_text())["runs"][0]


def test_a_width_can_be_asked_for(capsys, tmp_path):
    out = tmp_path / "out.json"
    status, printed, _ = run(
        capsys, "--dataset", "iris", "--epochs", "2", "--simd-width", "4", "--threads", "1", "--json", str(out)
    )
    assert status == 0 and "numba, 4 lanes, 1 thread" in printed
    assert json.loads(out.read_text())["runs"][0]["options"]["backend_simd_width"] == 4


def test_lists(capsys):
    status, printed, _ = run(capsys, "--list-datasets", "--list-backends")
    assert status == 0
    assert all(name in printed for name in ("digits", "covtype", "naive", "numba", "kernels its own"))


@pytest.mark.parametrize("hidden", ["", "7", "4,3,2"])
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_nets_of_every_shape(capsys, hidden, norm):
    status, *_ = run(capsys, "--dataset", "iris", "--backend", "numpy", "--epochs", "1", "--hidden", hidden, "--norm", norm,
                     "--activation", "gelu", "--optimizer", "sgd", "--schedule", "one_cycle", "--quiet")  # fmt: skip
    assert status == 0


def test_a_file_of_ones_own(capsys, tmp_path):
    path, rng = tmp_path / "own.csv", np.random.default_rng(0)
    rows = [f"{a},{b},{'yes' if a + b > 0 else 'no'}" for a, b in rng.normal(size=(200, 2))]
    path.write_text("\n".join(["first,second,answer", *rows]))
    out = tmp_path / "out.json"
    status, *_ = run(capsys, "--dataset", str(path), "--target", "answer", "--backend", "numpy", "--json", str(out))
    assert status == 0 and json.loads(out.read_text())["runs"][0]["test_score"] > 0.9


def bad_file(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    return ["--dataset", str(tmp_path / name), "--target", "y", "--model", "mlp"]


BAD = {
    "backend": (["--backend", "nunba"], "unknown backend 'nunba': did you mean 'numba'"),
    "compared": (["--compare", "numpy,nunba"], "did you mean 'numba'"),
    "data set": (["--dataset", "digts"], "did you mean 'digits'"),
    "data set option": (["--dataset", "moons:rows=3"], "rows"),
    "target of a named set": (["--dataset", "iris", "--target", "x"], "target"),
    "activation": (["--activation", "rellu"], "unknown activation 'rellu': did you mean 'relu'"),
    "optimizer": (["--optimizer", "adamm"], "did you mean 'adam"),
    "schedule": (["--schedule", "cosin"], "did you mean 'cosine'"),
    "norm": (["--norm", "bach"], "did you mean 'batch'"),
    "dtype": (["--dtype", "float16"], "float16"),
    "hidden": (["--hidden", "12,x"], "'12,x', expected widths such as 128,64"),
    "hidden 0": (["--hidden", "0"], "expected widths"),
    "batch size": (["--batch-size", "0"], "--batch-size: it is 0, expected a whole number >= 1"),
    "epochs": (["--epochs", "-3"], "--epochs"),
    "epochs fraction": (["--epochs", "2.5"], "--epochs"),
    "lr": (["--lr", "0"], "--lr"),
    "lr text": (["--lr", "fast"], "--lr"),
    "lr nan": (["--lr", "nan"], "--lr"),
    "dropout": (["--dropout", "1"], "--dropout"),
    "weight decay": (["--weight-decay", "-1"], "--weight-decay"),
    "test size": (["--test-size", "1"], "--test-size"),
    "seed": (["--seed", "-1"], "--seed"),
    "threads": (["--threads", "0"], "--threads"),
    "threads of numpy": (["--threads", "2", "--backend", "numpy"], "only the numba backend takes it"),
    "width": (["--simd-width", "3"], "simd_width is 3, expected one of 1, 4, 8, 16"),
    "width of numpy": (["--simd-width", "4", "--backend", "numpy"], "only the numba backend takes it"),
    "ladder alone": (["--ladder"], "--ladder goes with --compare"),
    "ladder of some": (["--compare", "numpy", "--ladder"], "chooses backends"),
    "ladder of one": (["--compare", "--ladder", "--backend", "numpy"], "chooses backends"),
    "budget": (["--budget", "0"], "--budget"),
    "budget alone": (["--budget", "2"], "--budget goes with --compare"),
    "unknown option": (["--epoch", "3"], "--epoch"),
    "json folder": (["--json", "/nowhere/out.json"], "folder '/nowhere' does not exist"),
    "json is a folder": (["--json", "/tmp"], "is a folder"),
    "plot kind": (["--plot", "out.txt"], "expected a name that ends in .png"),
}  # fmt: skip
FILES = {
    "missing": ([], "there.csv"),
    "empty": ("", "empty"),
    "ragged": ("a,y\n1,2\n1,2,3\n", "line 3"),
    "text": ("a,y\n1,0\nx,1\n2,0\n3,1\n", "'x'"),
    "NaN": ("a,y\n1,0\nnan,1\n2,0\n3,1\n", "a"),
    "infinity": ("a,y\n1,0\ninf,1\n2,0\n3,1\n", "a"),
    "no target": ("a,z\n1,2\n", "'y'"),
}


@pytest.mark.parametrize(("arguments", "said"), BAD.values(), ids=BAD)
def test_bad_options_get_one_sentence_and_status_2(capsys, arguments, said):
    status, printed, complaint = run(capsys, *arguments)
    assert status == 2 and printed == ""
    assert said in complaint and complaint.count("\n") == 1 and complaint.startswith("tinynet: ")


@pytest.mark.parametrize(("content", "said"), FILES.values(), ids=FILES)
def test_bad_files_get_one_sentence_and_status_2(capsys, tmp_path, content, said):
    arguments = (
        bad_file(tmp_path, "bad.csv", content)
        if isinstance(content, str)
        else ["--dataset", str(tmp_path / "there.csv")]
    )
    status, printed, complaint = run(capsys, *arguments)
    assert status == 2 and printed == ""
    assert said in complaint and complaint.count("\n") == 1


def test_a_loss_that_explodes_gets_one_sentence(capsys):
    status, _, complaint = run(
        capsys, "--dataset", "diabetes", "--optimizer", "sgd", "--lr", "1e30", "--backend", "numpy"
    )
    assert status == 2 and "the loss became" in complaint and "learning rate 1e+30" in complaint


def test_without_numba_the_others_work(tmp_path):
    """A process in which Numba cannot be imported."""
    body = "import sys; sys.modules['numba'] = None; from tinynet.command.command_line import main; sys.exit(main(sys.argv[1:]))"

    def command(*arguments):
        return finished([sys.executable, "-c", body, *arguments], cwd=ROOT)

    refused = command("--backend", "numba")
    assert refused.returncode == 2 and "pip install numba" in refused.stderr and "Traceback" not in refused.stderr
    default = command("--dataset", "iris", "--epochs", "2")
    assert default.returncode == 0 and "numpy" in default.stdout
    compared = command("--dataset", "iris", "--epochs", "2", "--compare")
    assert compared.returncode == 0 and "naive" in compared.stdout and "numba" not in compared.stdout
    assert "pip install numba" in command("--list-backends").stdout


def test_train_py_is_the_command(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), "--dataset", "iris", "--epochs", "1", "--backend", "numpy"]
    done = finished(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0 and "numpy" in done.stdout


def test_unwritable_results_are_refused_before_training(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(command_line, "train", lambda *_: pytest.fail("trained before the check"))
    monkeypatch.setattr("tinynet.files.os.access", lambda *_: False)
    status, _, complaint = run(capsys, "--json", str(tmp_path / "out.json"))
    assert status == 2 and "cannot be written" in complaint


def test_a_plot_without_matplotlib_says_what_to_install(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, complaint = run(capsys, "--plot", str(tmp_path / "plot.png"))
    assert status == 2 and "pip install 'tinynet[plot]'" in complaint


# ---- checkpoints ----------------------------------------------------------------------------------------------------

SMALL = ["--dataset", "iris", "--backend", "numpy", "--hidden", "8", "--quiet"]


def losses(path):
    (found,) = json.loads(path.read_text())["runs"]
    return found["train_loss"], found["test_score"], found["epochs"]


def test_save_and_resume_are_one_run(capsys, tmp_path):
    half, whole, out = tmp_path / "half", tmp_path / "whole", tmp_path / "out.json"
    assert run(capsys, *SMALL, "--epochs", "4", "--save", str(whole), "--json", str(out)) == (0, "", "")
    expected = losses(out)
    assert run(capsys, *SMALL, "--epochs", "2", "--save", str(half)) == (0, "", "")
    again = ["--resume", str(half), "--save", str(half), "--backend", "numpy", "--quiet", "--json", str(out)]
    assert run(capsys, *again, "--epochs", "4", "--hidden", "8", "--eager") == (0, "", "")
    assert losses(out) == expected and len(expected[0]) == 4
    arrays = [
        {n: a for n, a in read_checkpoint(path).tensors.items() if n != "history.seconds"} for path in (half, whole)
    ]
    assert arrays[0].keys() == arrays[1].keys()
    for name, array in arrays[0].items():
        np.testing.assert_array_equal(array, arrays[1][name], name)
    status, _, said = run(capsys, *again)
    assert status == 2 and said.endswith("has 4 epochs, expected --epochs above that\n")


def test_checkpoints_every_few_epochs(capsys, tmp_path, monkeypatch):
    from tinynet.experiments import experiment

    epochs, save = [], experiment.save_checkpoint
    monkeypatch.setattr(
        experiment, "save_checkpoint", lambda path, t, notes: (epochs.append(t.epoch), save(path, t, notes))
    )
    assert run(capsys, *SMALL, "--epochs", "5", "--save", str(tmp_path / "x"), "--checkpoint-every", "2")[0] == 0
    assert epochs == [2, 4, 5] and read_checkpoint(tmp_path / "x").state["trainer"]["epoch"] == 5


def test_what_contradicts_the_checkpoint_is_refused(capsys, tmp_path):
    path, table = tmp_path / "x", tmp_path / "table.csv"
    rows = [f"{i % 7},{i % 5},{i % 2}" for i in range(40)]
    table.write_text("\n".join(["a,b,c", *rows]))
    train = (*SMALL[2:], "--dataset", str(table), "--target", "c", "--epochs", "1", "--save", str(path))
    assert run(capsys, *train)[::2] == (0, "")
    status, _, said = run(capsys, "--resume", str(path), "--epochs", "3")
    assert status == 2 and "holds an estimator, which is trained at one go" in said
    assert run(capsys, *train, "--model", "mlp")[::2] == (0, "")
    for options, expected in [
        (["--lr", "0.1"], f"--lr is 0.1, but the run in {path} has 0.003"),
        (["--hidden", "9"], f"--hidden is (9,), but the run in {path} has (8,)"),
        (["--compare"], "--save and --resume go with a single run"),
        (["--checkpoint-every", "1"], "--checkpoint-every goes with --save"),
        (["--save", str(tmp_path / "no" / "x")], "does not exist"),
    ]:
        status, printed, said = run(capsys, "--backend", "numpy", "--resume", str(path), "--epochs", "3", *options)
        assert (status, printed, said.count("\n")) == (2, "", 1) and expected in said, said
    table.write_text("\n".join(["a,b,c", *rows[:-1]]))
    status, _, said = run(capsys, "--backend", "numpy", "--resume", str(path), "--epochs", "3", "--quiet")
    assert status == 2 and "was trained on other rows" in said
    found = read_checkpoint(path)
    for name, value in [("optimizer", "x"), ("dropout", 5), ("hidden", [0]), ("hidden", 3), ("epochs", "many")]:
        found.state["notes"]["options"] = {**found.notes["options"], name: value}
        state = {"format": "tinynet checkpoint", "format_version": "1", "state": json.dumps(found.state)}
        write_tensors(tmp_path / "other", found.tensors, state)
        status, _, said = run(capsys, "--backend", "numpy", "--resume", str(tmp_path / "other"))
        assert (status, said.count("\n")) == (2, 1), said
        found = read_checkpoint(path)
    for wrong, expected in [(table, "is not a safetensors file"), (tmp_path / "none", "No such file")]:
        status, _, said = run(capsys, "--resume", str(wrong))
        assert (status, said.count("\n")) == (2, 1) and expected in said


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("ignoring", [(), ("INT",)], ids=["", "in the background"])
def test_a_run_that_is_stopped_leaves_a_checkpoint(capsys, tmp_path, sent, status, ignoring):
    """A shell has what it starts in the background ignore Ctrl-C, but not SIGTERM."""
    path, out = tmp_path / "x.safetensors", tmp_path / "out.json"
    options = ["--dataset", "iris", "--backend", "numpy", "--hidden", "8"]
    endless = [*options, "--epochs", "1000000", "--save", path, "--checkpoint-every", "5", "--json", out]
    before = f"import signal; signal.signal(signal.SIGINT, signal.{'SIG_IGN' if ignoring else 'default_int_handler'}); "
    body = before + "import sys; from tinynet.command.command_line import main; sys.exit(main(sys.argv[1:]))"
    with started([sys.executable, "-c", body, *map(str, endless)], cwd=ROOT) as process:
        while process.poll() is None and not path.exists():
            time.sleep(0.01)
        process.send_signal(sent)
        if ignoring and sent == signal.SIGINT:
            time.sleep(0.2)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            status = 143
        printed, said = process.communicate()
    assert process.returncode == status, said
    assert f"tinynet: stopped; {path} holds what was trained" in said and "test accuracy" in printed
    assert "Traceback" not in said
    trained = read_checkpoint(path).state["trainer"]["epoch"]
    assert trained >= 5 and len(losses(out)[0]) >= trained
    again = [*options, "--resume", str(path), "--epochs", str(trained + 2), "--json", str(out)]
    assert run(capsys, *again)[0] == 0 and len(losses(out)[0]) == trained + 2


def test_sigterm_is_as_before_when_the_command_has_ended(capsys):
    assert run(capsys, *SMALL, "--epochs", "1")[0] == 0
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with Termination():
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with Termination():
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN, signal.SIG_DFL])
def test_sigterm_waits_for_the_end_of_an_update(handler):
    def update():
        signal.raise_signal(signal.SIGTERM)
        done.append("after the signal")

    done, before = [], signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt), Termination() as stop, uninterrupted():
            update()
        assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["after the signal"] and stop.status == 143


def test_a_run_starts_without_what_nobody_asked_for():
    """Neither SciPy before the data need it, nor other backends, nor a count of operations for a listing."""
    body = """
        import sys
        from tinynet.command_line import main
        early = {"scipy", "sklearn", "pandas", "polars", "matplotlib", "numba", "kernels.naive"} & set(sys.modules)
        main(["--quiet", "--dataset", "iris", "--epochs", "4"])
        from kernels.program import work
        print(sorted(early), "kernels.naive" in sys.modules, work.operations.cache_info().misses)
    """
    done = finished([sys.executable, "-c", textwrap.dedent(body)], cwd=ROOT)
    assert (done.stdout, done.stderr) == ("[] False 0\n", "")
