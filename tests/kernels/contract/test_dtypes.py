"""The table of dtypes: its rows are what NumPy, LLVM and safetensors say, and nobody else lists those trained in."""

import ast
import json
import shutil
import sys

import numpy as np
import pytest
from children import finished
from repository import ROOT
from safetensors.numpy import save

from kernels.contract.dtypes import DTYPES, EITHER_FLOAT, FLOAT_NAMES, FLOATS
from kernels.numba_backend import simd
from kernels.testing import trials
from tinynet import Tensor

TABLE = ROOT / "kernels" / "contract" / "dtypes.py"
ROWS = [pytest.param(row, id=name) for name, row in DTYPES.items()]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_what_numpy_says(row):
    assert row.numpy == np.dtype(row.name) and row.numpy.isnative and row.bytes == row.numpy.itemsize
    if row.numpy.kind == "f":
        known = np.finfo(row.name)
        assert (row.eps, row.tiny, row.largest) == (known.eps, known.tiny, known.max)
        assert (row.exponent, row.mantissa, row.bias) == (known.nexp, known.nmant, known.maxexp - 1)
        assert 1 + row.exponent + row.mantissa == 8 * row.bytes
    else:
        assert (row.exponent, row.mantissa, row.trained) == (0, 0, False)


@pytest.mark.parametrize("row", ROWS)
def test_vectors_have_the_lanes_that_a_row_says(row):
    if row.llvm:
        vector = simd.vector(row.name, 4)
        assert (str(vector.scalar_llvm), vector.bits, vector.format) == (row.llvm, 8 * row.bytes, row)
    else:
        with pytest.raises(TypeError, match=row.name):
            simd.vector(row.name, 4)


@pytest.mark.parametrize("row", ROWS)
def test_files_call_a_row_as_safetensors_does(row):
    file = save({"x": np.zeros(2, row.numpy)})
    assert json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")])["x"]["dtype"] == row.safetensors


def test_those_trained_in():
    assert list(FLOATS) == [np.float32, np.float64] and EITHER_FLOAT == "float32 or float64"
    assert {trial.dtype for trial in trials()} == set(FLOAT_NAMES)
    assert [Tensor(np.ones(2, dtype)).dtype for dtype in FLOATS] == list(FLOATS)
    assert Tensor([1, 2]).dtype == FLOATS[0]  # the first is the default


ADDED = """
import sys, tinynet, numpy as np
from pathlib import Path
from kernels.contract.dtypes import DTYPES, FLOAT_NAMES
from kernels.numba_backend import simd
from tinynet.checkpoints.tensor_files import read_tensors, write_tensors

row = DTYPES["bfloat16"]
assert (row.bytes, row.eps, row.tiny) == (2, 2**-7, DTYPES["float32"].tiny) and "bfloat16" not in FLOAT_NAMES
assert np.float32(row.largest).view(np.uint32) == 0x7F7F0000  # the upper half of a float32 is a bfloat16
write_tensors(Path(sys.argv[1]), {"x": np.arange(3, dtype=np.uint16)}, {})
assert read_tensors(Path(sys.argv[1]))[0]["x"].dtype == np.uint16
assert simd.vector("uint32", 4).format is DTYPES["uint32"]
"""


def test_another_is_a_row(tmp_path, monkeypatch):
    """Of bfloat16, which NumPy does not have: it is held as the bits in uint16, for which nobody takes it."""
    for folder in ("kernels", "tinynet"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    table = tmp_path / TABLE.relative_to(ROOT)
    head, last, tail = table.read_text().rpartition('        Dtype("uint8"')
    table.write_text(f'{head}        Dtype("bfloat16", "u2", "", "", 8, 7),\n{last}{tail}')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finished([sys.executable, "-c", ADDED, str(tmp_path / "x.safetensors")], check=True, cwd=tmp_path)


# ---- nobody else lists them ---------------------------------------------------------------------------------------

TOGETHER = ast.Tuple | ast.List | ast.Set | ast.Dict | ast.BoolOp


def dtypes_within(node):
    """Names of trained dtypes among the texts and attributes of an expression, whatever library's they are."""
    found = {getattr(inside, "value", None) if isinstance(inside, ast.Constant) else getattr(inside, "attr", None)
             for inside in ast.walk(node)}  # fmt: skip
    return {
        row.name
        for row in DTYPES.values()
        if row.trained and {row.name, row.code, f"<{row.code}", row.safetensors} & found
    }


def spelled_out(tree):
    """Lines that list the dtypes trained in, as values or in a text that is no docstring."""
    documents = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if (isinstance(node, TOGETHER) and dtypes_within(node) == set(FLOAT_NAMES)) or (
            node not in documents and all(name in text for name in FLOAT_NAMES)
        ):
            yield node.lineno


def test_no_other_file_lists_them():
    files = {ROOT / "train.py", *(ROOT / "kernels").rglob("*.py"), *(ROOT / "tinynet").rglob("*.py")} - {TABLE}
    places = [f"{path}:{line}" for path in sorted(files) for line in spelled_out(ast.parse(path.read_text()))]
    assert places == [], f"look them up in {TABLE}"


@pytest.mark.parametrize(
    "line, caught",
    [
        ("FLOATS = (np.dtype(np.float32), np.dtype('float64'))", True),
        ("known = {types.float32: 'float', types.float64: 'double'}", True),
        ("names = {'F64': 8, 'F32': 4}", True),
        ("if x.dtype == np.float32 or x.dtype == np.float64: pass", True),
        ("raise TypeError(f'{x.dtype}, expected float32 or float64')", True),
        ("def f(x):\n    '''x: float32 or float64.'''", False),
        ("total = x.astype(np.float64).sum(); small = np.zeros(3, np.float32)", False),
    ],
)
def test_a_list_of_them_is_caught(line, caught):
    assert bool(list(spelled_out(ast.parse(line)))) == caught
