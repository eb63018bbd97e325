"""The examples of docs/simd.md run and are right."""

import re
import runpy

import numpy as np
import scipy.special
from numba import njit
from repository import ROOT

from kernels.numba_backend import simd

DOCUMENT = ROOT / "docs" / "simd.md"


def test_examples_of_the_document(tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL))
    (tmp_path / "examples.py").write_text(code)
    names = runpy.run_path(str(tmp_path / "examples.py"))
    x, f32, gelu = names["x"], names["f32"], names["gelu"]
    np.testing.assert_allclose(names["out"], x * scipy.special.expit(x), rtol=1e-6)
    np.testing.assert_allclose(names["dot"](x, x), np.dot(x.astype(np.float64), x), rtol=1e-5)

    @njit
    def one_vector(x, out):
        simd.store(out, 0, gelu(f32.load(x, 500)))

    out = np.empty(f32.lanes, np.float32)
    one_vector(x, out)
    some = x[500 : 500 + f32.lanes].astype(np.float64)
    np.testing.assert_allclose(out, some * scipy.special.ndtr(some), rtol=1e-5, atol=1e-9)


def test_the_document_names_the_whole_interface():
    text = DOCUMENT.read_text()
    assert not [name for name in simd.__all__ if not re.search(rf"\b{name}\b", text)]
