"""Files as they are written: whole or not at all, through what is no regular file, under the name that was meant.

A regular file is written to a temporary file beside it, synced, then renamed; a symbolic link stays, and its target is
what is replaced. Devices, pipes and open files (/dev/stdout, /dev/fd/3) are written through, since replacing one by a
file would take it away from whoever else holds it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

POSIX = (
    os.name == "posix"
)  # elsewhere files have no locks of this kind and no modes, and stay as their writers left them
if POSIX:
    import fcntl

Content = bytes | Iterable[bytes | memoryview]

STANDARD_OUTPUT = Path("/dev/stdout")
LONGEST_STEM = 100  # bytes of a temporary file's name; file systems take 143 at least
MOST_LINKS = 40  # as the kernel allows in one name


def printable(name: str) -> str:
    """The text with U+FFFD for what no encoding can write: bytes of a file's name that are not UTF-8 (PEP 383)."""
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", name)


def output_path(text: str) -> Path:
    """The path that an option names; - is standard output."""
    return STANDARD_OUTPUT if text == "-" else Path(text)


def check_writable(name: str, path: Path) -> None:
    """Raises OSError or ValueError unless a file could be written at path, or what is there be written through."""
    said = f"{name} is {str(path)!r}, which"
    if "\0" in str(path):
        raise ValueError(f"{name} is {str(path)!r}, expected a file name, which holds no zero byte")
    if (descriptor := open_file(path)) is not None:
        if not _takes_bytes(descriptor):
            raise PermissionError(f"{said} is not open for writing")
        return
    target = _target(path)
    folder = target.parent
    if target.is_dir():
        raise IsADirectoryError(f"{said} is a folder, expected a file name")
    if not folder.is_dir():
        raise FileNotFoundError(f"{name} is {str(path)!r}, but the folder {str(folder)!r} does not exist")
    if target.is_socket():
        raise OSError(f"{said} is a socket, expected a file name")
    replaced = target.is_file() or not target.exists()
    if (replaced and not os.access(folder, os.W_OK)) or (target.exists() and not os.access(target, os.W_OK)):
        raise PermissionError(f"{said} cannot be written")


def write_atomically(path: Path, content: Content) -> None:
    """Writes bytes, or pieces one after the other, whole or not at all, even if the machine stops in the middle.

    An existing file's owner and mode stay; otherwise umask says who may read it. What is no regular file is written
    through. Raises OSError, which names the path.
    """
    try:
        with _opened(path) as file:
            for piece in [content] if isinstance(content, bytes) else content:
                file.write(piece)
    except OSError as error:
        if error.errno and error.filename is None:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from None
        raise


def is_replaced(path: Path) -> bool:
    """Whether a file at path is written from scratch; else it may be a pipe, whose reader is waited for."""
    return open_file(path) is None and (path.is_file() or not path.exists())


def open_file(path: Path) -> int | None:
    """The descriptor that a name such as /dev/stdout or /dev/fd/3 stands for.

    It is written to itself: opened by that name, a file would be written from its beginning, over what is there.
    """
    if path == STANDARD_OUTPUT:  # whatever is there
        return 1
    name, listed = os.fspath(path), os.path.realpath("/dev/fd")
    for _ in range(MOST_LINKS):
        folder, last = os.path.split(name)
        folder = os.path.realpath(folder)
        if folder == listed and last.isdecimal():
            return int(last)
        if not os.path.islink(name):
            return None
        name = os.path.join(folder, os.readlink(name))
    return None


def _target(path: Path) -> Path:
    """Where the symbolic links lead, whether or not there is anything yet."""
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


def _takes_bytes(descriptor: int) -> bool:
    if not POSIX:
        return True
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:  # closed
        return False


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file to write to; it takes its place when the block ends well."""
    descriptor = open_file(path)
    if descriptor is not None:
        with _standard_output() if descriptor == 1 else open(os.dup(descriptor), "wb") as file:
            yield file
    elif is_replaced(path):
        with _temporary(_target(path)) as file:
            yield file
    else:
        with open(path, "wb") as file:
            yield file


@contextmanager
def _standard_output() -> Iterator[Any]:
    """Behind what was printed; descriptor 1 itself where sys.stdout takes no bytes, as in notebooks."""
    sys.stdout.flush()
    if hasattr(sys.stdout, "buffer"):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with open(os.dup(1), "wb") as file:
            yield file


# ---- temporary files ------------------------------------------------------------------------------------------------


@contextmanager
def _temporary(target: Path) -> Iterator[BinaryIO]:
    """A locked file beside the target, which it replaces at the end."""
    before = os.stat(target) if target.exists() else None
    _remove_stale(target)
    file, temporary = _locked(target)
    try:
        with file:
            if POSIX and before is not None:  # before there is anything to read in it
                with suppress(OSError):  # only root gives files away
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not POSIX:
                file.close()  # what is open cannot be renamed
            os.replace(temporary, target)  # while it is locked: nobody takes it for a killed one's
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _stem(target: Path) -> str:
    """How the target's temporary files begin; never longer than file systems take, however long its own name is."""
    name = os.fsencode(target.name)
    return f".{target.name}." if len(name) <= LONGEST_STEM else f".{hashlib.sha256(name).hexdigest()[:32]}."


def _locked(target: Path) -> tuple[BinaryIO, Path]:
    """A new file, locked as long as its writer lives."""
    while True:
        temporary = target.with_name(f"{_stem(target)}{secrets.token_hex(8)}.tmp")
        file = open(temporary, "xb")  # noqa: SIM115 - its writer closes it
        if POSIX:
            with suppress(OSError):  # some file systems have no locks: then nobody removes what it cannot lock
                fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file, temporary
        file.close()  # another writer came between opening and locking, and took it for a killed one's


def _remove_stale(target: Path) -> None:
    """Removes temporary files whose writers were killed: those that nobody holds locked."""
    if not POSIX:
        return
    ours = re.compile(re.escape(_stem(target)) + r"[0-9a-f]{16}\.tmp")
    with suppress(OSError):
        for name in filter(ours.fullmatch, os.listdir(target.parent)):
            _remove_unlocked(target.with_name(name))


def _remove_unlocked(temporary: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(temporary, os.O_RDWR | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(temporary)
        finally:
            os.close(descriptor)
