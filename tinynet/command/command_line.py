"""The command ``tinynet``, and ``python train.py``: train, compare backends, report."""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import kernels
from kernels import Backend
from kernels.contract.dtypes import EITHER_FLOAT, FLOAT_NAMES
from kernels.loader import attempts
from kernels.text import aligned

from .. import data
from ..checkpoints.checkpoint import read_checkpoint
from ..checkpoints.tensor_files import CheckpointError
from ..checks import check_above_0, check_at_least_0, check_fraction, check_positive, check_whole
from ..experiments import ladder
from ..experiments.comparison import table
from ..experiments.experiment import (
    RATE_AND_DECAY,
    Experiment,
    Keeping,
    Options,
    Run,
    Rung,
    fastest_profiled,
    other_ceilings,
    results,
)
from ..experiments.ladder import rungs
from ..experiments.table import TableExperiment
from ..files import STANDARD_OUTPUT, check_writable, output_path, write_atomically
from ..nn import ACTIVATIONS, NORMS
from ..optim import OPTIMIZERS
from ..plots import check_picture, plot_roofline, plot_runs, require_matplotlib
from ..precision import AUTO, PRECISIONS, faster
from ..report import write_report
from ..schedule import SCHEDULES
from ..training.stepping import NonFiniteLoss
from ..version import __version__
from . import predicting, warming
from .arguments import Parser, one_of, option, refuse, share, widths
from .models import (
    MODELS,
    add_table_options,
    check_model,
    columns_listing,
    table_experiment,
    table_options,
    trains_tables,
)
from .termination import Termination

BUDGET = 20  # seconds


def parser() -> Parser:
    """The command line."""
    default = {option.name: option.default for option in fields(Options)}
    result = Parser(prog="tinynet", description=__doc__, allow_abbrev=False)
    add = result.add_argument

    def setting(name: str, parse: Callable[[str], Any], text: str, shown: str | None = None) -> None:
        value = default[name.replace("-", "_")]
        add(f"--{name}", type=parse, default=value, help=f"{text} (default: {shown or value})", metavar="X")

    add("--backend", default=None, metavar="NAME", help="kernels to train on (default: numba where it is installed)")
    setting(
        "dataset",
        str,
        "a name, with options as in moons:samples=500, or a file: .csv, .parquet, .arrow, .npz, or a "
        "pattern, 'logs/*.parquet'",
    )
    add("--model", type=one_of("model", MODELS), metavar="X",
        help="tabular: the best nets for tables as they come (default for a table's file); mlp: the net that the other "
        "options say (default for all else)")  # fmt: skip
    add("--target", default=None, metavar="COLUMN", help="the file's target column")
    setting("hidden", option(widths), "widths of the hidden layers", "128,64")
    setting("activation", one_of("activation", ACTIVATIONS), f"of the hidden layers: {', '.join(ACTIVATIONS)}")
    setting("dropout", option(check_fraction, float), "share of hidden units dropped, in [0, 1)")
    setting("norm", one_of("norm", NORMS), f"normalisation before each hidden activation: {', '.join(NORMS)}")
    setting("optimizer", one_of("optimizer", OPTIMIZERS), f"one of {', '.join(OPTIMIZERS)}")
    suited = [", ".join(f"{name} {row[column]}" for name, row in RATE_AND_DECAY.items()) for column in (0, 1)]
    setting("lr", option(check_above_0, float), "learning rate", suited[0])
    setting("weight-decay", option(check_at_least_0, float), "of adamw; of the others an L2 penalty", suited[1])
    setting("schedule", one_of("schedule", SCHEDULES), f"of the learning rate: {', '.join(SCHEDULES)}")
    setting("batch-size", option(check_positive, int), "rows a step")
    setting("epochs", option(check_positive, int), "passes over the training rows")
    setting("seed", option(check_whole, int), "of the split, the weights, the order and the dropout")
    setting("dtype", one_of("dtype", FLOAT_NAMES), EITHER_FLOAT)
    setting(
        "precision",
        one_of("precision", PRECISIONS),
        "of products in training: float32 (as the dtype is), bfloat16 (factors rounded to it), auto (the faster)",
    )
    add("--threads", type=option(check_positive, int), metavar="X", help="threads of the numba backend")
    add("--simd-width", type=option(check_positive, int), metavar="X",
        help="lanes of float32 in the numba backend's vectors: 1 (scalar code), 4, 8 or 16")  # fmt: skip
    setting("test-size", option(share, float), "share of the rows kept for the test score")
    add("--eager", action="store_true", help="call kernels one by one from Python instead of replaying a recorded step")
    add("--program", action="store_true", help="print the recorded step: kernels, operands, FLOPs, bytes")
    add("--explain", action="store_true",
        help="then time a recorded step kernel by kernel, beside what the machine can do at most")  # fmt: skip
    add("--compare", nargs="?", const="", metavar="A,B", help="train on each of these backends (alone: on all)")
    add("--ladder", action="store_true",
        help="with --compare: one technique more at a time, from plain Python to SIMD on all threads")  # fmt: skip
    add("--budget", type=option(check_above_0, float), metavar="S",
        help=f"seconds of training a backend gets in a comparison (default: {BUDGET})")  # fmt: skip
    add("--save", type=output_path, metavar="PATH",
        help="write a checkpoint there at the end, also after Ctrl-C or SIGTERM; - for standard output")  # fmt: skip
    add(
        "--checkpoint-every",
        type=option(check_positive, int),
        metavar="N",
        help="with --save: after every N epochs too",
    )
    add("--resume", type=Path, metavar="PATH",
        help="go on from this checkpoint, with its options, until there are --epochs in all")  # fmt: skip
    add("--json", type=output_path, metavar="PATH", help="write the results there; - for standard output alone")
    add("--plot", type=Path, metavar="PATH", help="draw loss curves and speeds there (.png, .svg, .pdf)")
    add("--roofline", type=Path, metavar="PATH",
        help="draw a recorded step's kernels there, under the machine's measured roof (.png, .svg, .pdf)")  # fmt: skip
    add("--report", type=output_path, metavar="PATH",
        help="write a page there: pictures, a step's timeline and listing, the machine, the command")  # fmt: skip
    add_table_options(add)
    add("--list-datasets", action="store_true", help="print the data sets and stop")
    add("--list-backends", action="store_true", help="print the backends and stop")
    add("--quiet", action="store_true", help="print errors only")
    add("--version", action="version", version=f"tinynet {__version__}")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 2 for bad input, 130 after Ctrl-C, 143 after SIGTERM."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["predict"]:
        return predicting.main(arguments[1:])
    if arguments[:1] == ["warm"]:
        return warming.main(arguments[1:], main)
    parsed = parser().parse_args(arguments)
    if parsed.list_datasets or parsed.list_backends:
        print("\n\n".join(text() for asked, text in
              ((parsed.list_datasets, datasets_table), (parsed.list_backends, backends_table)) if asked))  # fmt: skip
        return 0
    if not parsed.quiet and not sys.stderr.isatty():  # on a terminal the bar says it
        tell_of_compilation()
    with Termination() as stop:
        try:
            return _run(parsed, arguments, stop)
        except KeyboardInterrupt:  # while a table was read, say: nothing is trained yet
            return stop.status


def _run(parsed: argparse.Namespace, arguments: Sequence[str], stop: Termination) -> int:
    """All but the lists; returns the exit status, of an interruption too where something was trained by then."""
    try:
        asked = given(arguments)
        check_model(parsed, asked)
        if parsed.columns:
            print(columns_listing(table_options(parsed, asked)))
            return 0
        keeping = kept(parsed)
        chosen = contenders(parsed)
        check_outputs(parsed)
        experiment = (
            table_experiment(table_options(parsed, asked)) if trains_tables(parsed) else plain(parsed, asked, keeping)
        )
    except (ValueError, TypeError, OSError, ImportError) as error:
        return refuse(str(error))
    try:
        runs = train(experiment, chosen, parsed, keeping)
    except (NonFiniteLoss, CheckpointError, ValueError, TypeError, OSError, MemoryError) as error:
        return refuse(str(error))
    try:
        report(runs, parsed, reproduce(arguments))
    except (OSError, MemoryError) as error:  # a disk that is full by now
        return refuse(str(error))
    except KeyboardInterrupt:
        print("tinynet: interrupted before everything that was asked for was written", file=sys.stderr)
        return stop.status
    return stop.status if any(run.interrupted for run in runs) else 0


Contender = tuple[Backend, bool | None, Rung | None]
"""A backend; whether steps run eagerly there, None: as the options say; the ladder's rung that it is."""


def contenders(parsed: argparse.Namespace) -> list[Contender]:
    """The backends to train on, loaded."""
    asked = {"threads": parsed.threads, "simd_width": parsed.simd_width}
    given = {name: value for name, value in asked.items() if value is not None}
    if parsed.ladder:
        if parsed.compare != "" or given or parsed.eager or parsed.backend:
            raise ValueError("--ladder goes with --compare, and chooses backends, threads, lanes and --eager itself")
        return [(rung.backend, rung.eager, rung) for rung in rungs()]
    if parsed.budget and parsed.compare is None:
        raise ValueError("--budget goes with --compare: a single run trains for --epochs")
    names = [name.strip() for name in (parsed.compare or "").split(",") if name.strip()]
    if parsed.compare is None:
        names = [parsed.backend or default_backend()]
    elif not names:
        names = kernels.available()
    if parsed.backend and parsed.backend not in names:
        names.append(parsed.backend)
    if given and "numba" not in names:
        option, value = next(iter(given.items()))
        raise ValueError(f"--{option.replace('_', '-')} is {value}, but only the numba backend takes it")
    return [(kernels.load(name, **(given if name == "numba" else {})), None, None) for name in names]


def default_backend() -> str:
    """numba, or numpy where Numba cannot be loaded."""
    try:
        return kernels.load("numba").name
    except kernels.BackendUnavailable:
        return "numpy"


def check_outputs(parsed: argparse.Namespace) -> None:
    """Refuses what could not be written, before any training."""
    for name, path in (("--plot", parsed.plot), ("--roofline", parsed.roofline)):
        if path:
            check_picture(name, path)
    if parsed.plot or parsed.roofline or parsed.report:
        require_matplotlib()
    for name in ("json", "plot", "roofline", "report"):
        if path := getattr(parsed, name):
            check_writable(f"--{name}", path)
    if parsed.roofline and parsed.eager:
        raise ValueError("--roofline shows a recorded step, and --eager records none")


def tell_of_compilation() -> None:
    """Has the first kernel that is compiled said on standard error, as a log has no bar."""
    log = logging.getLogger("kernels")
    for handler in [each for each in log.handlers if isinstance(each, _Told)]:
        log.removeHandler(handler)  # of an earlier call in this process, whose standard error may be closed
    log.addHandler(_Told(sys.stderr))
    log.setLevel(logging.INFO)


class _Told(logging.StreamHandler[Any]):
    """The command's own handler."""


def reproduce(arguments: Sequence[str] | None) -> str:
    """The command that asks for the same, as a shell takes it."""
    program = ["python", "train.py"] if Path(sys.argv[0]).name == "train.py" else ["tinynet"]
    return shlex.join([*program, *(sys.argv[1:] if arguments is None else arguments)])


def plain(parsed: argparse.Namespace, asked: set[str], keeping: Keeping) -> Experiment:
    """What is trained without the estimators of tables."""
    options = Options(**{name.name: getattr(parsed, name.name) for name in fields(Options)})
    options = keeping.options(options, asked & {name.name for name in fields(Options)})
    parser().parse_args(as_arguments(options))  # a checkpoint's options are checked like any others
    return Experiment(options)


def given(arguments: Sequence[str] | None) -> set[str]:
    """Names of the options that were asked for rather than left at their defaults."""
    missing = object()
    names = vars(parser().parse_args(arguments))
    parsed = parser().parse_args(arguments, argparse.Namespace(**dict.fromkeys(names, missing)))
    return {name for name in names if getattr(parsed, name) is not missing}


def as_arguments(options: Options) -> list[str]:
    """The command line that asks for these options."""
    given = {name: value for name, value in vars(options).items() if value is not None and not isinstance(value, bool)}
    texts = {name: ",".join(map(str, value)) if isinstance(value, tuple) else value for name, value in given.items()}
    return [f"--{name.replace('_', '-')}={text}" for name, text in texts.items()]


def kept(parsed: argparse.Namespace) -> Keeping:
    """Where checkpoints go and come from; refuses what could not be written or read, before any training."""
    if parsed.compare is not None and (parsed.save or parsed.resume):
        raise ValueError("--save and --resume go with a single run, not with --compare")
    if parsed.checkpoint_every and not parsed.save:
        raise ValueError("--checkpoint-every goes with --save, which says where")
    if parsed.save:
        check_writable("--save", parsed.save)
    return Keeping(parsed.save, parsed.checkpoint_every, read_checkpoint(parsed.resume) if parsed.resume else None)


def train(
    experiment: Experiment | TableExperiment, chosen: list[Contender], parsed: argparse.Namespace, keeping: Keeping
) -> list[Run]:
    """A run of each contender."""
    limit = None if parsed.compare is None else parsed.budget or BUDGET
    profiled = bool(parsed.explain or parsed.roofline or parsed.report)
    runs = []
    for backend, eager, rung in chosen:
        if not parsed.quiet:
            print(f"{experiment.summary} on {rung.name if rung else backend.name}", file=sys.stderr)
        choice = faster(backend) if parsed.precision == AUTO else None
        if choice and not parsed.quiet:
            print(f"precision: {choice.precision}; {choice.why}", file=sys.stderr)
        runs.append(
            experiment.run(backend, limit, progress=not parsed.quiet, eager=eager, keeping=keeping, explain=profiled)
        )
        runs[-1].rung = rung
        if parsed.program:
            runs[-1].more["program"] = runs[-1].listing.splitlines()
        if choice:
            runs[-1].more["precision"] = choice._asdict()
        if runs[-1].interrupted:
            if parsed.save and not parsed.quiet:
                more = "" if trains_tables(parsed) else ", and --resume goes on"
                print(f"tinynet: stopped; {parsed.save} holds what was trained{more}", file=sys.stderr)
            break
    return runs


def report(runs: list[Run], parsed: argparse.Namespace, command: str) -> None:
    """Table, JSON, pictures and page. command: what asked for them."""
    said = sys.stderr if STANDARD_OUTPUT in (parsed.json, parsed.report, parsed.save) else sys.stdout
    if not parsed.quiet:
        print(ladder.table(runs) if parsed.ladder else table(runs), file=said)
    for run in runs:
        title = f"\n{run.label}, a recorded step:"
        if parsed.program and not parsed.quiet:
            missing = "the steps ran eagerly" if run.options.eager else "training ended before a step was replayed"
            print(f"{title}\n{run.listing}" if run.program else f"{title} none, {missing}", file=said)
        if parsed.explain and not parsed.quiet:
            print(f"{title}\n{run.explanation}" if run.profile else f"{title} none, {run.unprofiled}", file=said)
    if parsed.json:
        write_atomically(parsed.json, json.dumps(results(runs), indent=1).encode() + b"\n")
    if parsed.plot and any(run.history.steps for run in runs):
        plot_runs(runs, parsed.plot)
    if parsed.roofline:
        roofline(runs, parsed.roofline)
    if parsed.report and any(run.history.steps for run in runs):
        write_report(runs, parsed.report, command)


def roofline(runs: list[Run], path: Path) -> None:
    """The fastest run's picture; a sentence where there is none to draw."""
    shown = fastest_profiled(runs)
    if shown is None or shown.profile is None or shown.profile.ceilings is None:
        print(
            "tinynet: no roofline was drawn: it needs recorded steps, and Numba to measure the machine", file=sys.stderr
        )
        return
    title = f"{shown.dataset} on {shown.label}: a step of {1e6 * shown.profile.seconds:,.1f} us"
    plot_roofline(shown.profile, other_ceilings(shown.profile), path, title)


def datasets_table() -> str:
    """What --list-datasets prints."""
    rows = [(row.name, row.task, row.size, row.about) for row in data.describe()]
    return aligned([("data set", "task", "rows x features", "what"), *rows])


def backends_table() -> str:
    """What --list-backends prints."""
    rows = [
        (name, f"{len(found.native)} of {len(kernels.DECLARATIONS)} kernels its own")
        if isinstance(found, Backend)
        else (name, " ".join(str(found).split()))
        for name, found in attempts()
    ]
    return aligned([("backend", "state"), *rows])
