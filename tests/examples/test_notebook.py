"""The notebook runs from top to bottom, and its values show themselves as HTML."""

import os

import pytest
from repository import ROOT

NOTEBOOK = ROOT / "examples/notebook.ipynb"


def test_the_notebook_runs():
    needed = "the notebook is executed by nbclient and ipykernel, of the extra 'test'"
    nbformat = pytest.importorskip("nbformat", reason=needed)
    nbclient = pytest.importorskip("nbclient", reason=needed)
    pytest.importorskip("ipykernel", reason=needed)
    book = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells)  # the repository has no outputs
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(ROOT / "examples")}}).execute()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output.data.get("text/html", "") for output in outputs if output.output_type == "execute_result"]
    for html, what in zip([shown[0], shown[1], *shown[-4:]], ["Tensor of shape (1347, 64)", "8,320", "<svg", "matmul",
                                                             "of roof", "<pre"], strict=True):  # fmt: skip
        assert what in html
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    widget = [output for output in outputs if "widget-view" in str(output.get("data", ""))]
    assert "epoch 20, loss" in said or widget  # the bar
