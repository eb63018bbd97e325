"""Data sets in text: what is read, what is a class and what a quantity, and what is refused with which words."""

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import said, written

from tinynet import data

SIX = "width,height,answer\n1,2,no\n3,4,yes\n5,6,no\n7,8,yes\n9,10,no\n11,12,yes\n"
X = np.arange(1.0, 13.0).reshape(6, 2)


def with_target(cells: list[object]) -> str:
    return "x,y\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))


@pytest.mark.parametrize(
    "content",
    [
        SIX,
        SIX.replace("\n", "\r\n"),
        SIX.replace("\n", "\r"),
        SIX.replace(",", ";"),
        SIX.replace(",", "\t"),
        SIX.replace(",", " , "),
        "\ufeff" + SIX,
        "\n\n" + SIX.replace("yes\n", "yes\n\n") + "  \n",
        SIX.removesuffix("\n"),
        SIX.replace("width", '"width"').replace("yes", '"yes"').replace("5", '"5"'),
        SIX.replace("1,2", "1e0,+2.0"),
    ],
    ids=[
        "plain",
        "crlf",
        "cr",
        "semicolon",
        "tab",
        "spaces",
        "bom",
        "blank lines",
        "no last newline",
        "quotes",
        "forms",
    ],
)
def test_csv_dialects(content: str, tmp_path: Path) -> None:
    dataset = data.load(written(tmp_path, content), target="answer")
    np.testing.assert_array_equal(dataset.features, X)
    assert (dataset.name, dataset.task, dataset.classes) == ("table", "classification", ("no", "yes"))
    assert (dataset.feature_names, dataset.target_names) == (("width", "height"), ("answer",))
    assert dataset.target.tolist() == [0, 1] * 3
    assert dataset.features.flags.c_contiguous
    assert dataset.features.flags.writeable


@pytest.mark.parametrize(("target", "column"), [("0", 0), ("2", 2), ("-1", 2), ("-3", 0), ("c", 2)])
def test_target_by_position(target: str, column: int, tmp_path: Path) -> None:
    dataset = data.load(written(tmp_path, "a,b,c\n0,1,2\n1,2,1\n0,1,2\n1,2,1\n"), target=target)
    assert dataset.target_names == ("abc"[column],)


def test_a_name_goes_before_a_position(tmp_path: Path) -> None:
    content = "1,2,3\n" + "5,6,7\n8,9,10\n" * 2
    assert data.load(written(tmp_path, content), target="1").feature_names == ("2", "3")


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff\0"), max_size=8)
names = text.map(lambda end: ("n" + end).strip())
numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    header=st.lists(names, min_size=2, max_size=5, unique=True),
    delimiter=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig"]),
    ending=st.sampled_from(["\n", "\r\n"]),
    draw=st.data(),
)
@settings(deadline=None, max_examples=100)
def test_csv_round_trip(header: list[str], delimiter: str, encoding: str, ending: str, draw: st.DataObject) -> None:
    rows = draw.draw(st.lists(st.tuples(*[numbers] * (len(header) - 1)), min_size=2, max_size=8))
    labels = draw.draw(st.lists(names, min_size=len(rows), max_size=len(rows)).filter(lambda all_: len(set(all_)) > 1))
    position = draw.draw(st.integers(0, len(header) - 1))
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, delimiter=delimiter, quoting=csv.QUOTE_NONNUMERIC, lineterminator=ending)
    writer.writerow(header)
    for row, label in zip(rows, labels, strict=True):
        writer.writerow([*row[:position], label, *row[position:]])
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), sink.getvalue().encode(encoding))
        dataset = data.load(path, target=header[position])
    np.testing.assert_array_equal(dataset.features, np.array(rows))
    assert [dataset.classes[code] for code in dataset.target] == labels
    assert list(dataset.classes) == sorted(set(labels))
    assert list(dataset.feature_names) == header[:position] + header[position + 1 :]


# Is it a class or a quantity?


@pytest.mark.parametrize(
    ("cells", "options", "task", "classes"),
    [
        ([0, 1, 1, 0], {}, "classification", (0, 1)),
        ([7, -3, 7, -3], {}, "classification", (-3, 7)),
        (["1.0", "2", "1", "2.0"], {}, "classification", (1, 2)),
        ([0.5, 1.5] * 5, {}, "regression", ()),
        (list(range(20)) * 2, {}, "classification", tuple(range(20))),
        (list(range(21)) * 2, {}, "regression", ()),
        ([1, 2, 3, 4], {}, "regression", ()),
        ([1, 2, 3, 4], {"task": "classification"}, "classification", (1, 2, 3, 4)),
        ([0, 1, 1, 0], {"task": "regression"}, "regression", ()),
        (["a", "b", "c"], {}, "classification", ("a", "b", "c")),
        (["True", "False"], {}, "classification", ("False", "True")),
        (["1", "b", "1"], {}, "classification", ("1", "b")),
        (["1_0", "2_0"], {}, "classification", ("1_0", "2_0")),
        ([f"id{i:02}" for i in range(25)] * 2, {}, "classification", tuple(f"id{i:02}" for i in range(25))),
        ([2**53, 2**53 + 1] * 2, {}, "classification", (2**53, 2**53 + 1)),
        ([10**30, 10**30 + 1] * 2, {}, "classification", (10**30, 10**30 + 1)),
        ([10**30, -(10**18), 5], {"task": "regression"}, "regression", ()),
        ([0, 10**18] * 3, {}, "classification", (0, 10**18)),
    ],
)
def test_task(cells: list[object], options: Any, task: str, classes: tuple[object, ...], tmp_path: Path) -> None:
    dataset = data.load(written(tmp_path, with_target(cells)), target="y", **options)
    assert (dataset.task, dataset.classes) == (task, classes)
    if task == "regression":
        assert dataset.target.tolist() == [float(str(cell)) for cell in cells]
    else:
        assert [str(dataset.classes[code]) for code in dataset.target] == [str(c).removesuffix(".0") for c in cells]
        assert dataset.target.dtype == np.int64


BAD_CSV: dict[str, tuple[str | bytes, dict[str, Any], list[str]]] = {
    "empty": ("", {}, ["empty"]),
    "only blank lines": ("\n\n \n", {}, ["empty"]),
    "only a mark": ("\ufeff", {}, ["empty"]),
    "header only": ("x,y\n", {}, ["no row"]),
    "one row": ("x,y\n1,a\n", {}, ["2 rows", "got 1"]),
    "one column": ("y\n1\n2\n", {}, ["single column 'y'"]),
    "no header": ("1.5,2\n3,4\n", {}, ["line 1", "header", "1.5"]),
    "nameless column": (",x,y\n0,1,a\n", {}, ["line 1", "column 1 of 3", "no name"]),
    "same names": ("x,y,x\n1,2,3\n", {}, ["line 1", "columns 1 and 3", "'x'"]),
    "short row": ("x,z,y\n1,2,a\n3,b\n", {}, ["line 3", "2 fields", "3 expected"]),
    "long row": ("x,y\n1,a\n3,b,\n", {}, ["line 3", "3 fields", "2 expected"]),
    "one field": ("x,y\n1,a\n3\n", {}, ["line 3", "1 field found", "2 expected"]),
    "after blank lines": ("x,y\n\n1,a\n\n3\n", {}, ["line 5"]),
    "after a long field": ('x,y\n1,"a\nb"\nq,c\n', {}, ["line 4", "'q'"]),
    "text": ("x,z,y\n1,2,a\n3,four,b\n", {}, ["line 3", "'z'", "'four'", "not a number"]),
    "long text": (f"x,y\n{'q' * 99},a\n", {}, ["line 2", "'x'", "qqq..."]),
    "decimal comma": ("x;y\n1,5;a\n", {}, ["line 2", "'x'", "'1,5'"]),
    "underscore": ("x,y\n1_0,a\n", {}, ["line 2", "'x'", "'1_0'"]),
    "blank": ("x,z,y\n1,2,a\n3,,b\n", {}, ["line 3", "'z'", "blank"]),
    "nan": ("x,z,y\n1,2,a\nNaN,4,b\n", {}, ["line 3", "'x'", "'NaN'", "finite"]),
    "inf": ("x,z,y\n1,2,a\n3,-inf,b\n", {}, ["line 3", "'z'", "'-inf'", "finite"]),
    "overflow": ("x,z,y\n1,2,a\n3,1e999,b\n", {}, ["line 3", "'z'", "'1e999'", "finite"]),
    "blank target": ("x,y\n1,a\n2,\n", {}, ["line 3", "'y'", "blank"]),
    "nan target": ("x,y\n1,2\n2,nan\n", {}, ["line 3", "y", "nan"]),
    "no target": (SIX, {"target": None}, ["target", "'width'", "'answer'"]),
    "near target": (SIX, {"target": "anwser"}, ["'anwser'", "did you mean 'answer'"]),
    "case of target": (SIX, {"target": "Answer"}, ["'Answer'", "did you mean 'answer'"]),
    "far target": (SIX, {"target": "qqq"}, ["'qqq'", "'width'"]),
    "empty target": (SIX, {"target": ""}, ["''", "'width'"]),
    "position too large": (SIX, {"target": "3"}, ["3", "3 columns"]),
    "position too small": (SIX, {"target": "-4"}, ["-4", "3 columns"]),
    "many columns": (",".join(f"q{i}" for i in range(99)), {"target": "zz"}, ["'zz'", "'q19' and 79 more"]),
    "single class": ("x,y\n1,a\n2,a\n", {}, ["'y'", "'a' in all 2 rows"]),
    "constant": ("x,y\n1,0.5\n2,0.5\n", {}, ["'y'", "0.5 in all 2 rows"]),
    "constant whole": ("x,y\n1,3\n2,3\n", {}, ["'y'", "3 in all 2 rows"]),
    "text as quantity": ("x,y\n1,2\n2,q\n", {"task": "regression"}, ["'y'", "'q' in line 3", "task=classification"]),
    "fractions as classes": ("x,y\n1,2\n2,2.5\n", {"task": "classification"}, ["'y'", "line 3", "2.5"]),
    "large floats as classes": ("x,y\n1,1e300\n2,0\n", {"task": "classification"}, ["'y'", "line 2", "1e+300"]),
    "mistyped quantity": (with_target([*range(30), "3l"]), {}, ["'y'", "31 different", "'3l' in line 32"]),
    "identifiers": (with_target([f"id{i}" for i in range(30)]), {}, ["30 different", "'id0'", "task=classification"]),
    "unknown task": (SIX, {"task": "clustering"}, ["'task'", "'clustering'"]),
    "unknown option": (SIX, {"taks": "regression"}, ["'taks'", "'task'"]),
    "latin-1": ("x,y\n1,a\n2,caf\xe9\n".encode("latin-1"), {}, ["line 3", "UTF-8"]),
    "utf-16": (SIX.encode("utf-16"), {}, ["line 1", "UTF-8"]),
    "late latin-1": (b"x,y\n" + b"1,a\n" * 9000 + b"2,\xe9\n", {}, ["line 9002", "UTF-8"]),
    "open quote": ('x,y\n1,a\n2,"b\n', {}, ["line 3", "told apart"]),
    "text after a quote": ('x,y\n1,"a"b\n', {}, ["line 2", "told apart"]),
    "huge field": ("x,y\n1," + "a" * 200_000 + "\n", {}, ["line 2", "told apart"]),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_csv_refuses(case: str, tmp_path: Path) -> None:
    content, options, words = BAD_CSV[case]
    path = written(tmp_path, content)
    message = said(lambda: data.load(path, **{"target": "y", **options}))
    assert message.startswith(str(path))
    assert [word for word in words if word not in message] == []
