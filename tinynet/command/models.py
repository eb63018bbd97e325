"""Which model is trained, and which options are its own."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ..checks import check_above_0, check_positive
from ..experiments.source import SourceExperiment, in_blocks, source_of
from ..experiments.table import TableExperiment, TableOptions, is_table, read_features
from ..files import printable
from .arguments import column_names, option

TABULAR, PLAIN = "tabular", "mlp"
MODELS: Mapping[str, tuple[str, ...]] = {
    TABULAR: ("members", "time_limit", "metric", "calibrate", "categorical", "numeric", "ignore", "columns", "window"),
    PLAIN: (
        "norm", "optimizer", "schedule", "dtype", "eager", "program", "explain", "roofline", "ladder", "resume",
        "checkpoint_every",
    ),
}  # fmt: skip
"""The models, and the options that are for one alone."""


def add_table_options(add: Callable[..., Any]) -> None:
    """The options of the tabular model alone."""
    add("--members", type=option(check_positive, int), metavar="N", help="tabular: nets whose outputs are averaged")
    add("--time-limit", type=option(check_above_0, float), metavar="S",
        help="tabular: seconds of training; the best nets within them")  # fmt: skip
    add("--metric", metavar="NAME", help="tabular: what decides which epoch is best: accuracy, log_loss, roc_auc; "
        "squared_error, absolute_error")  # fmt: skip
    add("--calibrate", action="store_true", help="tabular: make probabilities fit rows that nothing is learned from")
    for name, what in (("categorical", "categories"), ("numeric", "numbers"), ("ignore", "nothing")):
        add(f"--{name}", type=option(column_names), metavar="A,B",
            help=f"tabular: columns that hold {what}, whatever they look like")  # fmt: skip
    add("--window", type=option(check_positive, int), metavar="N",
        help="tabular: read the file in blocks (row groups), N of which are shuffled together; a pattern such as "
        "'logs/*.parquet', and a file that is large for the memory, are read so anyway")  # fmt: skip
    add("--columns", action="store_true", help="print what each column of the table is taken for, and stop")


def trains_tables(parsed: argparse.Namespace) -> bool:
    """Whether the estimators of tables are trained."""
    if parsed.model is not None:
        return bool(parsed.model == TABULAR)
    return bool(parsed.columns) or (is_table(parsed.dataset) and not parsed.resume)


def check_model(parsed: argparse.Namespace, asked: set[str]) -> None:
    """Refuses options of the other model."""
    model, other = (TABULAR, PLAIN) if trains_tables(parsed) else (PLAIN, TABULAR)
    for name in MODELS[other]:
        if name in asked:
            dataset = printable(str(parsed.dataset))
            raise ValueError(
                f"--{name.replace('_', '-')} is for --model {other}, but {dataset} is trained with --model "
                f"{model}{'' if parsed.model else f', as --model {other} is not asked for'}"
            )
    if parsed.compare is not None and parsed.time_limit:
        raise ValueError("--time-limit goes with a single run; in a comparison --budget says how long each trains")


def table_options(parsed: argparse.Namespace, asked: set[str]) -> TableOptions:
    """The options that were asked for; those that were not are left to the table."""
    names = {field.name for field in fields(TableOptions)} & asked
    return TableOptions(**{name: getattr(parsed, name) for name in names})


def table_experiment(options: TableOptions) -> TableExperiment:
    """What trains on a table, in memory or in blocks."""
    if in_blocks(options.dataset, options.window):
        return SourceExperiment(options)
    if options.window is not None:
        raise ValueError(
            f"--window is {options.window}, but {options.dataset} has no blocks: Parquet and Arrow files do"
        )
    return TableExperiment(options)


def columns_listing(options: TableOptions) -> str:
    """What --columns prints."""
    from ..tables import columns_text, describe_columns
    from ..tables.summary import summary_of

    told = (options.categorical or (), options.numeric or (), options.ignore or ())
    if in_blocks(options.dataset, options.window):
        source = source_of(options)
        return columns_text(summary_of(source.frames(), source.block_rows, told[0]).described(*told))
    return columns_text(describe_columns(read_features(options), *told))
