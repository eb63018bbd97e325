"""What a newcomer's first commands meet: versions, misspelt options, quiet runs, logs, warming, foreign packages."""

import json
import signal
import sys
import textwrap

import pytest
from children import ENVIRONMENT, finished, started
from repository import ROOT

import tinynet as tn
from tinynet.command_line import main


def run(capsys, *arguments):
    try:
        status = main(list(arguments))
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"tinynet {tn.__version__}\n", "")


def test_python_m_tinynet():
    done = finished([sys.executable, "-m", "tinynet", "--version"], env=ENVIRONMENT)
    assert (done.returncode, done.stdout) == (0, f"tinynet {tn.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["--eppochs", "3"], "unknown option --eppochs: did you mean '--epochs'"),
        (["--lrr=3"], "unknown option --lrr: did you mean '--lr'"),
        (["predict", "a", "b", "--outptu", "c"], "unknown option --outptu: did you mean '--output'"),
        (["iris"], "unrecognized arguments: iris"),
    ],
)
def test_an_unknown_option_is_answered_with_the_nearest(capsys, arguments, nearest):
    status, out, said = run(capsys, *arguments)
    assert status == 2 and out == "" and nearest in said and said.count("\n") == 1


SHORT = ("--dataset", "iris", "--backend", "numpy", "--epochs", "2", "--hidden", "4")


def test_quiet_is_quiet_and_the_program_is_in_json(capsys, tmp_path):
    out = tmp_path / "out.json"
    assert run(capsys, *SHORT, "--quiet", "--program", "--explain", "--json", str(out)) == (0, "", "")
    (result,) = json.loads(out.read_text())["runs"]
    assert any("matmul" in line for line in result["program"]) and "profile" in result


def test_json_to_standard_output():
    done = finished([sys.executable, "train.py", *SHORT, "--json", "-"], env=ENVIRONMENT, cwd=ROOT)
    assert done.returncode == 0 and json.loads(done.stdout)["runs"][0]["backend"] == "numpy"
    assert "samples/s" in done.stderr


def test_a_log_says_that_kernels_are_compiled(tmp_path):
    """Off a terminal, where nothing is compiled yet; what a run needs is then there for others."""
    environment = {**ENVIRONMENT, "TINYNET_CACHE_DIR": str(tmp_path)}
    options = ["--dataset", "iris", "--hidden", "4", "--optimizer", "sgd", "--backend", "numba", "--threads", "1"]
    command = [sys.executable, "-m", "tinynet"]
    cold = finished([*command, *options, "--epochs", "1"], 300, env=environment)
    assert cold.returncode == 0 and cold.stderr.count("compiling kernels for this CPU") == 1, cold.stderr
    warmed = finished([*command, "warm", *options], 300, env=environment)
    assert warmed.returncode == 0 and warmed.stdout == "", warmed.stderr
    assert warmed.stderr.startswith("0 kernels compiled in 0.0 s") and str(tmp_path) in warmed.stderr


def test_warm_refuses_what_is_no_option(capsys):
    status, _, said = run(capsys, "warm", "--eppochs", "3")
    assert status == 2 and "did you mean '--epochs'" in said
    status, said, _ = run(capsys, "warm", "--help")
    assert status == 0 and "usage: tinynet warm" in said


def test_ctrl_c_while_the_command_is_imported_ends_in_silence():
    """The interrupt comes from the import itself, so it is always in the middle of it."""
    body = """
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)
        import tinynet

        class Interrupting:
            def find_spec(self, name, path=None, target=None):
                if name == "tinynet.command.command_line":
                    signal.raise_signal(signal.SIGINT)

        sys.meta_path.insert(0, Interrupting())
        from tinynet.command_line import main
        sys.exit(main(["--list-datasets"]))
    """
    done = finished([sys.executable, "-c", textwrap.dedent(body)], env=ENVIRONMENT)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_sigterm_with_save_leaves_a_checkpoint(tmp_path):
    path = tmp_path / "run.safetensors"
    command = [sys.executable, "-m", "tinynet", "--dataset", "digits", "--backend", "numpy", "--epochs", "100000"]
    with started([*command, "--save", str(path), "--checkpoint-every", "1"], env=ENVIRONMENT) as process:
        assert "digits" in process.stderr.readline()
        while not path.exists():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait() == 143 and f"{path} holds what was trained" in said


# ---- another project's package of the same name -------------------------------------------------------------------------


FOREIGN = {
    "theirs": "__version__ = '0.1'\n",
    "theirs, which needs what is not installed": "import a_package_that_nobody_has\n",
    "a folder that lost its first file": None,
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_another_projects_kernels_are_named_in_a_sentence(tmp_path, content):
    folder = tmp_path / "kernels"
    folder.mkdir()
    (folder / "layer.py").write_text("")
    if content is not None:
        (folder / "__init__.py").write_text(content)
    (tmp_path / "tinynet").symlink_to(ROOT / "tinynet")
    done = finished([sys.executable, "-P", "-c", "import tinynet"], env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)},
                    cwd=tmp_path)  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and last.startswith("ImportError: the package 'kernels' at ")
    assert str(folder) in last and "is not tinynet's" in last and "pip uninstall kernels tinynet" in last


def test_what_our_own_kernels_lack_is_said_as_it_is(tmp_path):
    (tmp_path / "kernels").symlink_to(ROOT / "kernels")
    (tmp_path / "tinynet").symlink_to(ROOT / "tinynet")
    body = "import sys; sys.modules['numpy'] = None; import tinynet"
    done = finished([sys.executable, "-P", "-c", body], env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
    assert "numpy" in done.stderr.strip().splitlines()[-1] and "not tinynet's" not in done.stderr
