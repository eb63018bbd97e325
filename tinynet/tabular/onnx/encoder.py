"""What a TableEncoder computes, as nodes of a graph that takes an input a column.

An input has the name of its column and the shape (rows, 1). Numbers are float64 whatever they were in fit, so that what
a file takes does not depend on the values in a table, and the difference of a large number and the median is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import polars as pl

from ...exchange.onnx.composing import Composer
from ...exchange.onnx.graph import LEARNING, Edge, Graph, Value, beside, element_type, joined
from ...tables import Column, TableEncoder
from ...tables.cells import level
from ...tables.encoding import Encoding
from ...tables.levels import Levels
from ...tables.scaling import LARGEST, SATURATED
from ...tensor import Array
from .dates import date_part


def inputs(encoder: TableEncoder) -> list[Edge]:
    """An input for each column that is read, in the table's order.

    float64 for numbers, NaN where they are blank, and for dates, seconds since 1970; bool for truth values without
    blanks in fit; else text, empty where it is blank.

    Raises:
        ValueError: a column that ONNX has no operators for; the sentence names it.
    """
    forms = {number.name: number.form for number in encoder._encoding.numbers}
    found = []
    for column in encoder.columns_:
        if column.kind == "ignored":
            continue
        if forms.get(column.name):
            raise ValueError(
                f"column {column.name!r} holds dates as text, which ONNX has no operators for: make it one of dates "
                f"before fit (the file then takes seconds since 1970), or leave it out with ignore=[{column.name!r}]"
            )
        found.append(Edge(column.name, np.dtype(_taken(column)), 1))
    return found


def _taken(column: Column) -> type:
    if column.kind in ("number", "date"):
        return np.float64
    truths = column.kind == "boolean" and column.reason != "text" and not column.missing
    return bool if truths else object


def encoded(graph: Graph, path: str, encoder: TableEncoder) -> Value:
    """What transform gives, of the graph's dtype, from its inputs."""
    encoding = encoder._encoding
    parts = _numbers(graph, path, encoding) if encoding.numbers else []
    for levels, values in zip(encoding.levels, encoding.level_values, strict=True):
        inside = joined(path, levels.name)
        table = graph.array(joined(inside, "values"), _by_code(values).astype(graph.dtype))
        parts.append(Value(graph.node(inside, "Gather", table, _codes(graph, inside, levels)), 1))
        if values.ndim > 1:
            columns = levels.count
            shape = graph.array(joined(inside, "shape"), np.array([-1, columns]))
            parts[-1] = Value(graph.node(inside, "Reshape", parts[-1].name, shape), columns)
    for levels in encoding.coded:
        inside = joined(path, levels.name)
        codes = _codes(graph, inside, levels)
        parts.append(Value(graph.node(inside, "Cast", codes, to=element_type(graph.dtype)), 1))
    return beside(graph, path, parts)


def _numbers(graph: Graph, path: str, encoding: Encoding) -> list[Value]:
    """Numbers by scale and clip, as `smooth_clip` computes them, and indicators of those that were blank in fit."""
    compose = Composer(graph, path, np.float64)
    columns = [
        date_part(compose, number.name, number.part) if number.is_date else number.name for number in encoding.numbers
    ]
    block = beside(graph, path, [Value(name, 1) for name in columns])
    blank = Value(graph.node(path, "IsNaN", block.name), block.columns)

    centre, factor = (graph.array(joined(path, name), getattr(encoding, name)) for name in ("centre", "factor"))
    moved = compose.node("Clip", compose.subtract(block.name, centre), -LARGEST, LARGEST)
    z = compose.node("Clip", compose.multiply(moved, factor), -SATURATED, SATURATED)
    third = compose.divide(z, 3.0)
    clipped = compose.divide(z, compose.sqrt(compose.add(compose.multiply(third, third), 1.0)))
    known = compose.node("Where", blank.name, 0.0, clipped)
    found = [Value(compose.cast(known, graph.dtype), block.columns)]
    if encoding.blanks:
        places = graph.array(joined(path, "blanks"), np.array(encoding.blanks))
        which = graph.node(path, "Gather", blank.name, places, axis=1)
        there, absent = (
            graph.array(joined(path, f"indicators.{name}"), encoding.indicators[:, i].astype(graph.dtype))
            for i, name in enumerate(("there", "blank"))
        )
        found.append(Value(graph.node(path, "Where", which, absent, there), len(encoding.blanks)))
    return found


def _by_code(values: Array) -> Array:
    """What comes out for each code: of two levels (3,), of others (codes, levels)."""
    if values.ndim == 1:
        return values
    off, on = values
    return np.vstack([off, np.where(np.eye(len(on), dtype=bool), on, off)])


def _codes(graph: Graph, path: str, levels: Levels) -> str:
    """int64 (rows, 1): the code of each cell, 0 for a blank or a level never seen."""
    if graph.inputs[levels.name].dtype == bool:
        codes = graph.array(joined(path, "codes"), levels.codes(pl.Series([False, True])))
        return graph.node(path, "Gather", codes, graph.node(path, "Cast", levels.name, to=element_type(np.int64)))
    texts = {text: code for code, text in enumerate(levels.known, 1)}
    texts |= dict.fromkeys(levels.rare, len(levels.known) + 1)
    codes_of = {spelling: code for text, code in texts.items() for spelling in _spellings(text)}
    return graph.node(
        path, "LabelEncoder", levels.name, domain=LEARNING,
        keys_strings=list(codes_of), values_int64s=list(codes_of.values()), default_int64=0,
    )  # fmt: skip


def _spellings(text: str) -> Iterator[str]:
    """A level's text, and others of the same meaning: true and false in any case, a whole number as Python's float."""
    others = (
        map("".join, product(*zip(text, text.upper(), strict=True))) if text in ("true", "false") else [f"{text}.0"]
    )
    yield text
    yield from (other for other in others if other != text and level(other) == text)
