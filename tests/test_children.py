"""Processes that tests start end with them, hear Ctrl-C, and are started in one place."""

import ast
import os
import select
import signal
import sys

import pytest
from children import LIMIT, finished, started
from repository import ROOT, TESTS

SLEEPS = "import os, time; os.write(1, b'ready\\n'); time.sleep(1000)"


def test_what_takes_longer_than_its_limit_is_ended():
    assert finished([sys.executable, "-c", SLEEPS], limit=0.5).returncode == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_a_process_started_ends_with_it():
    reading, writing = os.pipe()
    try:
        with started([sys.executable, "-c", f"import os; os.fork(); {SLEEPS}"], pass_fds=(writing,)) as process:
            os.close(writing)
            assert [process.stdout.readline() for _ in "12"] == ["ready\n"] * 2
        assert select.select([reading], [], [], LIMIT)[0] and os.read(reading, 1) == b""  # nobody holds the other end
    finally:
        os.close(reading)


def test_a_failing_test_ends_what_it_started():
    def fails():
        with started([sys.executable, "-c", SLEEPS]) as process:
            running.append(process)
            raise RuntimeError("the test fails")

    running = []
    with pytest.raises(RuntimeError, match="the test fails"):
        fails()
    assert running[0].returncode == -signal.SIGKILL


def test_ctrl_c_is_heard():
    with started([sys.executable, "-c", SLEEPS]) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate()[1]


def test_ctrl_c_is_heard_where_a_script_runs_the_tests_in_the_background():
    """There a shell has them ignore it, which what they start would inherit."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        __file__,
        "-k",
        "test_ctrl_c_is_heard and not where",
    ]
    code = f"import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv({sys.executable!r}, {command!r})"
    done = finished([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_all_processes_are_started_here():
    """Code that a new process is given as text may do as it likes: it ends with the process."""
    elsewhere = [
        f"{path.name}: {ast.unparse(node)}"
        for path in sorted(TESTS.rglob("*.py"))
        if path.name != "children.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in STARTS
    ]
    assert elsewhere == []


STARTS = {"subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_call", "subprocess.check_output",
          "os.fork", "os.system", "os.popen", "os.posix_spawn", "multiprocessing.Process"}  # fmt: skip
