"""Files as they are written: what is at their place keeps its kind, and nothing is left beside them."""

import fcntl
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from children import ENVIRONMENT, finished, python, started
from repository import ROOT
from safetensors import safe_open

import tinynet as tn
from tinynet import files, nn
from tinynet.command.command_line import main
from tinynet.files import STANDARD_OUTPUT, check_writable, open_file, write_atomically

LIMIT = 60  # seconds that any child may take
SMALL = ["--dataset", "iris", "--backend", "numpy", "--hidden", "4", "--epochs", "1", "--quiet"]
OPENS = re.compile(r"write_text|write_bytes|savefig\((?!content|buffer)|\bopen\([^)]*[\"'][rb]*[wxa]")


def saved(path):
    tn.save_checkpoint(path, nn.Linear(3, 2))


def exported(path):
    pytest.importorskip("onnx")
    tn.export_onnx(nn.Linear(3, 2), path)


def commanded(option):
    return lambda path: main([*SMALL, option, str(path)])


WRITERS = {
    "bytes": (lambda path: write_atomically(Path(path), b"content"), ""),
    "pieces": (lambda path: write_atomically(Path(path), iter([b"con", memoryview(b"tent")])), ""),
    "checkpoint": (saved, ""),
    "onnx": (exported, ".onnx"),
    "json": (commanded("--json"), ".json"),
    "plot": (commanded("--plot"), ".png"),
    "save": (commanded("--save"), ""),
}


@pytest.fixture(params=WRITERS)
def writer(request):
    """A function that writes to a path, and how the path has to end."""
    return WRITERS[request.param]


# ---- what stays -----------------------------------------------------------------------------------------------------


def test_a_link_stays_and_its_target_is_replaced_with_its_mode(tmp_path, writer):
    write, ending = writer
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target", tmp_path / f"link{ending}"
    target.write_bytes(b"before")
    target.chmod(0o604)
    link.symlink_to(Path("there", "target"))
    before = target.stat().st_ino
    write(link)
    assert link.is_symlink() and target.is_file() and not target.is_symlink()
    assert target.stat().st_ino != before and target.stat().st_size > 6  # replaced as a whole, not written over
    assert stat.S_IMODE(target.stat().st_mode) == 0o604
    assert os.listdir(tmp_path / "there") == ["target"] and len(os.listdir(tmp_path)) == 2


def test_a_link_to_nothing_makes_its_target(tmp_path, writer):
    write, ending = writer
    link = tmp_path / f"link{ending}"
    link.symlink_to("target")
    write(link)
    assert link.is_symlink() and (tmp_path / "target").stat().st_size


def test_a_device_stays(tmp_path, writer):
    write, ending = writer
    link = tmp_path / f"link{ending}"
    link.symlink_to("/dev/null")
    write(link)
    assert link.is_symlink() and os.stat(link).st_rdev == os.stat("/dev/null").st_rdev
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode) and len(os.listdir(tmp_path)) == 1


def test_a_pipe_is_written_through(tmp_path, writer):
    write, ending = writer
    pipe, plain = tmp_path / f"pipe{ending}", tmp_path / f"plain{ending}"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(pipe)
    reader.join(LIMIT)
    write(plain)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert got[0][:4] == plain.read_bytes()[:4] and len(got[0]) > 6


def test_a_new_file_has_the_mode_that_umask_says(tmp_path, writer):
    write, ending = writer
    before = os.umask(0o027)
    try:
        write(tmp_path / f"x{ending}")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / f"x{ending}").stat().st_mode) == 0o640


@pytest.mark.parametrize("letter", ["x", "\N{GREEK SMALL LETTER PI}"])
def test_names_as_long_as_the_file_system_takes(tmp_path, writer, letter):
    write, ending = writer
    longest = os.pathconf(tmp_path, "PC_NAME_MAX") - len(ending)
    path = tmp_path / (letter * (longest // len(letter.encode())) + ending)
    write(path)
    write(path)
    assert os.listdir(tmp_path) == [path.name]
    with pytest.raises(OSError, match="File name too long"):
        check_writable("path", path.with_name(path.name + "xx"))


def test_an_open_file_is_written_from_its_position_on(tmp_path):
    path = tmp_path / "x"
    with open(path, "wb", buffering=0) as file:
        file.write(b"before ")
        for name in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}"):
            check_writable("path", Path(name))
            write_atomically(Path(name), b"content ")
        file.write(b"behind")
    assert path.read_bytes() == b"before content content behind"
    with open(path, "rb") as file, pytest.raises(PermissionError, match=r"/dev/fd/\d+', which is not open for writing"):
        check_writable("path", Path(f"/dev/fd/{file.fileno()}"))
    with pytest.raises(PermissionError, match="which is not open for writing"):
        check_writable("path", Path("/dev/fd/1000000"))


# ---- standard output ------------------------------------------------------------------------------------------------


def command(*arguments, stdout):
    words = [sys.executable, str(ROOT / "train.py"), *SMALL[:-1], *arguments]
    done = finished(words, LIMIT, env=ENVIRONMENT, stdout=stdout)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_json_on_standard_output_is_there_alone(tmp_path):
    printed, said = command("--program", "--json", "-", stdout=subprocess.PIPE)
    assert len(json.loads(printed)["runs"]) == 1
    assert "samples/s" in said and "a recorded step:" in said
    with open(tmp_path / "out", "w+") as file:
        command("--json", "-", stdout=file)
    assert len(json.loads((tmp_path / "out").read_text())["runs"]) == 1
    assert open_file(STANDARD_OUTPUT) == 1


def test_a_checkpoint_on_standard_output_stands_there_alone(tmp_path):
    with open(tmp_path / "out", "w+") as file:
        _, said = command("--save", "-", stdout=file)
    assert "samples/s" in said and not Path("-").exists()
    with safe_open(tmp_path / "out", "numpy") as checkpoint:
        assert checkpoint.get_tensor("model.0.weight").size


@pytest.mark.parametrize("target", ["/dev/fd/1", "/dev/stdout"])
def test_standard_output_comes_after_what_was_printed(tmp_path, capsys, target):
    """Under another name, in a file that the shell opened. A writer that replaced it would only replace the link."""
    (tmp_path / "link").symlink_to(target)
    with open(tmp_path / "out", "w+") as file:
        command("--json", tmp_path / "link", stdout=file)
    table, _, document = (tmp_path / "out").read_text().partition("{")
    assert "samples/s" in table and len(json.loads("{" + document)["runs"]) == 1
    assert main([*SMALL, "--json", "-"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 1


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_loops_and_zero_bytes_are_refused(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    for call in (
        lambda: saved(loop),
        lambda: write_atomically(loop, b"x"),
        lambda: tn.load_checkpoint(loop, nn.ReLU()),
    ):
        with pytest.raises(OSError, match=r"Too many levels of symbolic links: '.*loop'"):
            call()
    assert loop.is_symlink() and os.listdir(tmp_path) == ["loop"]
    with pytest.raises(ValueError, match=r"path is 'a\\x00b', expected a file name, which holds no zero byte"):
        saved("a\0b")


def test_a_write_that_fails_names_the_file(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*link'"):
        write_atomically(link, b"content")
    assert link.is_symlink() and os.listdir(tmp_path) == ["link"]


def test_ctrl_c_ends_the_wait_for_a_pipe_that_nobody_reads(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    body = f"""
        import signal
        import tinynet as tn
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's children inherit that it is ignored
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            tn.save_checkpoint({str(tmp_path / "pipe")!r}, tn.nn.Linear(2, 2))
        except KeyboardInterrupt:
            print("interrupted")
    """
    done = finished(python(body), LIMIT, env=ENVIRONMENT)
    assert done.stdout == "interrupted\n", done.stderr


# ---- what is left over ----------------------------------------------------------------------------------------------


def test_files_of_killed_writers_go_and_those_of_living_ones_stay(tmp_path):
    for name in ("x", "x" * 200):
        path = tmp_path / name
        body = f"""
            import os
            from pathlib import Path
            from tinynet.files import write_atomically
            write_atomically(Path({str(path)!r}), (os.kill(os.getpid(), 9) for _ in range(1)))
        """
        finished(python(body), LIMIT, env=ENVIRONMENT)
        (killed,) = os.listdir(tmp_path)
        for other in (killed[:-1], f".y.{'0' * 16}.tmp", f".x.{'0' * 15}.tmp", f"a.x.{'0' * 16}.tmp"):
            (tmp_path / other).touch()
        alive = tmp_path / f"{killed[:-20]}{'0' * 16}.tmp"
        with open(alive, "xb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            before = set(os.listdir(tmp_path))
            write_atomically(path, b"content")
            assert set(os.listdir(tmp_path)) == before - {killed} | {name}
        write_atomically(path, b"content")
        assert not alive.exists()
        for left in tmp_path.iterdir():
            left.unlink()


def test_without_locks_and_modes_files_are_replaced_as_well(tmp_path, monkeypatch):
    """As on Windows, which renames no file that is open."""
    monkeypatch.setattr(files, "POSIX", False)
    monkeypatch.delattr(files, "fcntl")
    for name in ("fchmod", "fchown", "O_NONBLOCK"):
        monkeypatch.delattr(os, name)
    replace, written = os.replace, []
    monkeypatch.setattr(os, "replace", lambda source, target: (written.append(opened(source)), replace(source, target)))
    for content in (b"first", b"second"):
        check_writable("path", tmp_path / "x")
        write_atomically(tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == b"second" and os.listdir(tmp_path) == ["x"] and written == [False, False]


def opened(path):
    """Whether this process has the file open."""
    return str(path) in {os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")}


def test_writers_at_once_leave_one_whole_file(tmp_path):
    """Each removes what the others may just have made and not locked yet, which they then make again."""
    path = tmp_path / "x"
    body = f"""
        import sys
        from pathlib import Path
        from tinynet.files import write_atomically
        for number in range(300):
            write_atomically(Path({str(path)!r}), [sys.argv[1].encode() * 50] * 20)
    """
    slow = "import os; os.fsync = lambda descriptor: None\n"  # what the disk does is no matter here
    with ExitStack() as stack:
        words = python(body)
        children = [
            stack.enter_context(started([*words[:-1], slow + words[-1], letter], LIMIT, env=ENVIRONMENT))
            for letter in "abcd"
        ]
        until = time.monotonic() + LIMIT
        while any(child.poll() is None for child in children) and time.monotonic() < until:
            if path.exists():
                content = path.read_bytes()
                assert len(content) == 1000 and len(set(content)) == 1
        assert [child.poll() for child in children] == [0] * 4
    assert os.listdir(tmp_path) == ["x"]


def test_files_are_written_in_one_place():
    found = [
        f"{path.name}:{number}"
        for path in (ROOT / "tinynet").rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if path.name != "files.py" and OPENS.search(line)
    ]
    assert found == [] and OPENS.search('open(path, "wb")') and OPENS.search("figure.savefig(path, dpi=130)")
