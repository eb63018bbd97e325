"""Tables that are damaged, hostile, or no files: one sentence that names the path, never a raw error, a crash or a wait."""

import io
import os
import random
import zipfile
from functools import cache

import numpy as np
import pytest
from children import ENVIRONMENT, finished, python
from refusals import mutated, said, written

from tinynet import data
from tinynet.data.files import READERS

MUTATIONS = 1500
X, ANSWERS = np.arange(12.0).reshape(6, 2), ["no", "yes"] * 3
CSV = b"width,height,y\n" + b"".join(b"%d,%d,%s\n" % (i, 2 * i, ANSWERS[i].encode()) for i in range(6))
CHARACTERS = b"0123456789-,:\"'[]{}()eE. \t\\\n#fiuUSVOb<>|"
PIECES = [b"9" * 20, b"(", b"-", b"'", b"[", b"\\", b"0x", b"**", b"\0", b"V", b"O"]


def npz(rng, save=np.savez):
    """Its arrays' headers changed, with the checksums of an archive that somebody meant to write."""
    whole, changed = io.BytesIO(), io.BytesIO()
    save(whole, X=X, y=np.array(ANSWERS))
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(changed, "w") as archive:
        for name in source.namelist():
            content = bytearray(source.read(name))
            for _ in range(rng.randint(0, 3)):
                place = rng.randrange(128)
                if rng.random() < 0.5:
                    content[place : place + 1] = bytes([rng.choice(CHARACTERS)])
                else:
                    content[place:place] = rng.choice(PIECES)
            archive.writestr(name, bytes(content))
    return changed.getvalue()


@cache
def frame():
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    whole = io.BytesIO()
    pandas.DataFrame({"a": X[:, 0], "b": range(6), "y": ANSWERS}).to_parquet(whole)
    return whole.getvalue()


MADE = {
    "headers.npz": npz,
    "bytes.npz": lambda rng: mutated(npz(random.Random(0)), rng),
    "packed.npz": lambda rng: mutated(npz(random.Random(0), np.savez_compressed), rng),
    "bytes.parquet": lambda rng: mutated(frame(), rng),
    "bytes.csv": lambda rng: mutated(CSV, rng),
}


@pytest.mark.parametrize("name", MADE)
def test_mutations_are_read_or_refused_in_a_sentence(tmp_path, name):
    rng, refused = random.Random(0), 0
    path = tmp_path / name
    for _ in range(MUTATIONS):
        path.write_bytes(MADE[name](rng))
        try:
            data.load(path, target=None if path.suffix == ".npz" else rng.choice(["y", "0"]))
        except ValueError as error:
            refused += 1
            assert str(error).startswith(str(path)) and "\n" not in str(error)  # noqa: PT017 - some are read
    assert refused > MUTATIONS / 2


def test_a_header_that_is_no_python_is_refused(tmp_path):
    """NumPy's reader raises tokenize.TokenError, which is no ValueError."""
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (6, 2"
        for name in ("X", "y"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    message = said(lambda: data.load(tmp_path / "x.npz"))
    assert message.startswith(f"{tmp_path / 'x.npz'}: array 'X' is damaged (")


@pytest.mark.parametrize(
    "noted", [b"{", b"\xff", b"[1]", b'{"index_columns": 1}', b'{"index_columns": [1, null]}', b"[" * 5000]
)
def test_what_others_noted_in_a_parquet_file_is_not_believed(tmp_path, noted):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table({"x": range(6), "y": ANSWERS}).replace_schema_metadata({b"pandas": noted})
    pq.write_table(table, tmp_path / "x.parquet")
    if noted.endswith(b"null]}"):
        assert data.load(tmp_path / "x.parquet", target="y").feature_names == ("x",)
    else:
        assert "x.parquet: not a Parquet file, or a damaged one" in said(
            lambda: data.load(tmp_path / "x.parquet", target="y")
        )


def test_whole_numbers_beyond_float64_are_refused(tmp_path):
    rows = "".join(f"{i},{10**400 + i}\n" for i in range(30))
    message = said(lambda: data.load(written(tmp_path, f"x,y\n0,1\n{rows}"), target="y"))
    assert "table.csv: target 'y' in line 3 is too large for a 64-bit number" in message


def test_a_target_is_a_name(tmp_path):
    path = written(tmp_path, CSV)
    assert "its position as text, got 2" in said(lambda: data.load(path, target=2), TypeError)


@pytest.mark.parametrize("suffix", READERS)
def test_what_is_no_file_is_refused_unopened(tmp_path, suffix):
    pipe, device, empty = (tmp_path / f"{name}{suffix}" for name in ("pipe", "device", "empty"))
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    empty.symlink_to("/dev/null")
    for path in (pipe, device, empty):
        assert f"{path}: not a regular file" in said(lambda path=path: data.load(path, target="y"))


def test_a_table_that_takes_too_much_memory_is_refused(tmp_path):
    """A hundred columns of a million equal numbers take a few kilobytes in the file."""
    path = tmp_path / "x.parquet"
    pytest.importorskip("pyarrow")
    body = f"""
        import resource
        import pyarrow as pa, pyarrow.parquet as pq
        from tinynet import data
        column = pa.array([1.0]).take(pa.array([0] * 1_000_000))
        pq.write_table(pa.table({{str(i): column for i in range(100)}}), {str(path)!r})
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + 900_000_000, resource.RLIM_INFINITY))
        try:
            data.load({str(path)!r}, target="0")
        except ValueError as error:
            print(error)
    """
    done = finished(python(body), env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert path.stat().st_size < 1e6 and done.stdout == f"{path}: the table takes more memory than there is\n"
