"""Writes the tables of the documents that follow from the code: ``python docs/tables.py``."""

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sklearn.neural_network

import tinynet as tn
from kernels.environment import VARIABLES

ROOT = Path(__file__).parent.parent
ESTIMATORS = {
    tn.MLPClassifier: sklearn.neural_network.MLPClassifier,
    tn.MLPRegressor: sklearn.neural_network.MLPRegressor,
}


def parameters(scikit_learns: bool, estimators: Any = ESTIMATORS) -> Iterable[tuple[str, ...]]:
    """The estimators' parameters, each once: scikit-learn's, or those beyond them."""
    rows: dict[Any, None] = {("parameter", "meaning", "default"): None}
    for kind, theirs in estimators.items():
        for name, row in kind._rows.items():
            if (name in inspect.signature(theirs).parameters) == scikit_learns:
                everywhere = all(other._rows.get(name) == row for other in estimators)
                of = "" if everywhere else f" ({kind.__name__.removeprefix('MLP').lower()})"
                rows[f"`{name}`{of}", row.meaning, f"`{row.default!r}`"] = None
    return rows


def variables() -> Iterable[tuple[str, ...]]:
    """The environment variables."""
    yield "variable", "meaning", "where it is not set", "read by"
    for variable in VARIABLES:
        yield f"`{variable.name}`", variable.meaning, variable.default, variable.read_by


TABLES = {
    "README.md": {"environment variables": variables},
    "docs/scikit-learn.md": {
        "scikit-learn's parameters": lambda: parameters(True),
        "parameters beyond": lambda: parameters(False),
    },
}


def markdown(rows: Iterable[tuple[str, ...]]) -> str:
    """Rows, the first of them a header, as a table."""
    header, *body = rows
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, ("---",) * len(header), *body))


def written(path: str) -> str:
    """The document with its tables as the code has them now."""
    text = (ROOT / path).read_text()
    for name, rows in TABLES[path].items():
        before, begin, rest = text.partition(f"<!-- {name}: docs/tables.py -->\n")
        _, end, after = rest.partition("<!-- end -->\n")
        if not end:
            raise ValueError(f"{path} has no place for the table {name!r}")
        text = before + begin + markdown(rows()) + end + after
    return text


if __name__ == "__main__":
    for path in TABLES:
        (ROOT / path).write_text(written(path))
