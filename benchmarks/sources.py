"""Rows a second that are learned from, read in blocks while steps run, beside the same rows in memory.

    python benchmarks/sources.py
    python benchmarks/sources.py --rows 600000 --hidden 256,128 --json report.json

The files are written to a folder that is removed after, and are in the operating system's cache when they are read:
what is measured is decoding, copying and the reading thread's share of the CPUs, not the disk. Contenders take turns;
the best of the rounds counts. Each fit is one epoch, after a short one that compiles and records.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The project's folder first: in this folder, ``kernels`` is the kernels' benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import polars as pl
from shared.options import BadOption, check_output, write_json

import tinynet as tn
from kernels import hardware
from tinynet import nn, optim
from tinynet.command.arguments import option, widths
from tinynet.files import output_path

PACKAGES = ("numpy", "numba", "polars", "pyarrow")


def written(folder: Path, X: Any, y: Any, block_rows: int) -> dict[str, Callable[[int], tuple[Any, ...]]]:
    """The contenders: what fit takes, for so many blocks a window."""
    frame = pl.DataFrame({**{f"x{i}": X[:, i] for i in range(X.shape[1])}, "y": y})
    frame.write_parquet(folder / "rows.parquet", row_group_size=block_rows)
    frame.write_ipc(folder / "rows.arrow", record_batch_size=block_rows, compat_level=pl.CompatLevel.oldest())
    np.save(folder / "X.npy", X), np.save(folder / "y.npy", y)
    pair = str(folder / "X.npy"), str(folder / "y.npy")
    return {
        "memory": lambda window: (X, y),
        "npy": lambda window: (tn.scan(pair, block_rows=block_rows, window=window),),
        "arrow": lambda window: (tn.scan(folder / "rows.arrow", target="y", window=window),),
        "parquet": lambda window: (tn.scan(folder / "rows.parquet", target="y", window=window),),
    }


def fitted(data: tuple[Any, ...], X: Any, y: Any, options: argparse.Namespace) -> tuple[float, float]:
    """Rows a second of one epoch, and the share of it in which rows were waited for."""
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(X.shape[1], options.hidden, 2)
    trainer = tn.Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(model.parameters()), "numba", progress=False)
    trainer.fit(X[: 20 * options.batch_size], y[: 20 * options.batch_size], batch_size=options.batch_size)
    started = time.perf_counter()
    history = trainer.fit(*data, batch_size=options.batch_size)
    seconds = time.perf_counter() - started
    return len(X) / seconds, history.waiting_seconds / seconds


def parser() -> argparse.ArgumentParser:
    """The options and what they mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--rows", type=int, default=2_000_000, help="rows (default: 2000000)")
    add("--columns", type=int, default=32, help="columns of float32 (default: 32)")
    add("--block-rows", type=int, default=100_000, help="rows of a row group, or block (default: 100000)")
    add("--window", type=int, default=2, help="blocks a window (default: 2)")
    add("--hidden", type=option(widths), default=(128, 64), metavar="A,B", help="hidden layers (default: 128,64)")
    add("--batch-size", type=int, default=256, help="rows a step (default: 256)")
    add("--rounds", type=int, default=3, help="fits of each contender (default: 3)")
    add("--json", type=output_path, metavar="PATH", help="write everything to this file; - for standard output")
    return parser


def checked(options: argparse.Namespace) -> argparse.Namespace:
    """The options; BadOption where one makes no sense."""
    for name in ("rows", "columns", "block_rows", "window", "batch_size", "rounds"):
        if getattr(options, name) < 1:
            raise BadOption(f"--{name.replace('_', '-')} got {getattr(options, name)}, expected a whole number >= 1")
    check_output("json", options.json)
    return options


def measured(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row a contender: rows a second in each round, and the share of the best one that was waited."""
    random = np.random.default_rng(0)
    X = random.standard_normal((options.rows, options.columns), np.float32)
    y = (X[:, 0] > 0).astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        contenders = written(Path(folder), X, y, options.block_rows)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        for _ in range(options.rounds):
            for name, data in contenders.items():
                found[name].append(fitted(data(options.window), X, y, options))
    best = {name: max(rounds) for name, rounds in found.items()}
    return [
        {
            "rows from": name,
            "rows_a_second": [speed for speed, _ in rounds],
            "of_memory": best[name][0] / best["memory"][0],
            "waiting": best[name][1],
        }
        for name, rounds in found.items()
    ]


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, or 2 for options that make no sense. Speed does not decide it."""
    try:
        options = checked(parser().parse_args(arguments))
    except BadOption as error:
        print(f"sources: {error}", file=sys.stderr)
        return 2
    described = hardware.description(PACKAGES)
    hardware.print_description(described)
    rows = measured(options)
    print(f"\n{'rows from':<12}{'rows/s':>12}{'of memory':>12}{'waiting':>10}")
    for row in rows:
        print(
            f"{row['rows from']:<12}{max(row['rows_a_second']):>12,.0f}{row['of_memory']:>12.0%}{row['waiting']:>10.0%}"
        )
    if options.json:
        write_json(options.json, {"rows": rows, "options": vars(options) | {"json": None}, "machine": described})
    return 0


if __name__ == "__main__":
    sys.exit(main())
