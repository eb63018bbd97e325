"""``tinynet predict MODEL TABLE``: what a saved estimator says of each row of a table, as a table."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kernels

from ..backends import running_on
from ..checkpoints.checkpoint import Checkpoint, read_checkpoint
from ..checks import check_positive
from ..data.sources import scan
from ..experiments.source import in_blocks
from ..files import STANDARD_OUTPUT, check_writable, output_path, write_atomically
from ..tables.writing import csv, parquet
from .arguments import Parser, option, refuse
from .termination import Termination

if TYPE_CHECKING:
    import polars as pl


def parser() -> Parser:
    """The command line after ``predict``."""
    result = Parser(prog="tinynet predict", description=__doc__, allow_abbrev=False)
    add = result.add_argument
    add("model", type=Path, metavar="MODEL", help="what --save, or tn.save_checkpoint of an estimator, has written")
    add("table", type=Path, metavar="TABLE",
        help="a .csv, .parquet, .arrow or .feather file; columns in any order. Several, by a pattern such as "
        "'new/*.parquet', and a file that is large for the memory, are read and written block by block")  # fmt: skip
    add("--output", type=output_path, default=STANDARD_OUTPUT, metavar="PATH",
        help="where predictions go: CSV, or Parquet by its suffix (default: standard output, as CSV)")  # fmt: skip
    add("--proba", action="store_true", help="probabilities, a column a class, in place of the likeliest class")
    add("--backend", metavar="NAME", help="kernels to predict on (default: those that it was trained on)")
    add("--threads", type=option(check_positive, int), metavar="N", help="threads of the numba backend")
    return result


def main(arguments: Sequence[str]) -> int:
    """Runs ``tinynet predict``; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C, 143 after SIGTERM."""
    parsed = parser().parse_args(arguments)
    with Termination() as stop:
        try:
            check_writable("--output", parsed.output)
            checkpoint = read_checkpoint(parsed.model)
            estimator = _estimator(checkpoint, parsed.backend, parsed.threads)
            if parsed.proba and not hasattr(estimator, "predict_proba"):
                raise ValueError(f"--proba is for classes, and {parsed.model} predicts quantities")
            from ..tables import read_table

            dataset, target = str(parsed.table), _target(checkpoint)
            tables = scan(dataset).frames() if in_blocks(dataset) else iter([read_table(parsed.table)])
            frames = (_predictions(estimator, table, target, parsed.proba) for table in tables)
            as_parquet = parsed.output.suffix.lower() == ".parquet"
            write_atomically(parsed.output, parquet(frames) if as_parquet else csv(frames))
        except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
            return refuse(str(error))
        except KeyboardInterrupt:
            return stop.status
    return 0


def _estimator(checkpoint: Checkpoint, backend: str | None, threads: int | None) -> Any:
    if "estimator" not in checkpoint.state:
        raise ValueError(
            f"{checkpoint.path} holds a run without column names and scales, expected a saved estimator: train with "
            "--model tabular --save PATH"
        )
    from ..estimators.exchange.checkpoint import estimator_of

    estimator = estimator_of(checkpoint)
    if threads is not None:
        name = backend or getattr(estimator.backend, "name", estimator.backend) or "numba"
        if name != "numba":
            raise ValueError(f"--threads is {threads}, but only the numba backend takes it")
        estimator.backend, estimator.threads = kernels.load("numba", threads=threads), threads
    elif backend is not None:
        estimator.backend = kernels.load(backend)
    return estimator


def _target(checkpoint: Checkpoint) -> str:
    return str(checkpoint.notes.get("target", "prediction"))


def _predictions(estimator: Any, table: pl.DataFrame, target: str, proba: bool) -> pl.DataFrame:
    """A row a row of the table; of the target, or of each class."""
    import polars as pl

    X: Any = table if hasattr(estimator, "encoder_") else _numbers(estimator, table)
    with running_on(None if estimator.backend is None else estimator.backend), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        found = estimator.predict_proba(X) if proba else estimator.predict(X)
    if found.ndim == 1:
        return pl.DataFrame({target: found.tolist()})
    if proba:
        names = [str(each).lower() if isinstance(each, bool) else str(each) for each in estimator.classes_.tolist()]
    else:
        outputs = estimator.quantiles if getattr(estimator, "loss", "") == "quantile" else range(found.shape[1])
        names = [f"{target}_{output}" for output in outputs]
    return pl.DataFrame({name: found[:, i].tolist() for i, name in enumerate(names)})


def _numbers(estimator: Any, table: pl.DataFrame) -> Any:
    """The columns of an estimator that takes numbers alone."""
    import polars as pl

    from ..tables.columns import numbers

    names = [str(name) for name in getattr(estimator, "feature_names_in_", table.columns)]
    for name in names:
        if name not in table.columns:
            raise ValueError(f"the table lacks the column {name!r}, which was there in fit; add it")
    if len(names) != estimator.n_features_in_:
        raise ValueError(
            f"the table has {len(names)} columns, but the model was fitted without names to {estimator.n_features_in_}"
        )
    columns = [numbers(table[name]) for name in names]
    for column in columns:
        if column.null_count():
            row = int(column.is_null().arg_true()[0])
            raise ValueError(f"column {column.name!r} is blank in row {row}, and this model takes no blanks; fill it")
    return pl.DataFrame(columns).to_numpy()
