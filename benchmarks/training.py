"""Microseconds a training step of the same MLP takes in tinynet, NumPy by hand, scikit-learn, PyTorch and JAX.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/training.py
    python benchmarks/training.py --sizes small32,medium --threads 2 --json report.json --picture report.png
    python benchmarks/training.py --sweep width --picture width.png
    python benchmarks/training.py --isa avx2 --peers tinynet-numba,jax-scan

Each contender's first losses are compared with a float64 reference before it is timed; one that differs gets no time
and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# The project's folder first: in this folder, ``kernels`` is the kernels' benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from of_training import isa, report
from of_training.contest import SHARED, contest
from of_training.isa import ISAS
from of_training.peers import Contender, contenders
from of_training.problem import SIZES, Size
from of_training.sweeps import CONTENDERS, SWEEPS
from shared.options import BadOption, check_output, words, write_json

from kernels import hardware
from kernels.hardware import peak
from kernels.spelling import did_you_mean
from tinynet.files import output_path

PACKAGES = ("numpy", "numba", "scikit-learn", "torch", "jax", "optax")
PEAK_SECONDS = 0.3  # for each number of threads, if the budget is as long


def parser() -> argparse.ArgumentParser:
    """The options and what they mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--sizes", type=words, default=[], metavar="A,B", help=f"of {','.join(SIZES)} (default: all)")
    add(
        "--contenders", "--peers", type=words, default=[], metavar="A,B", help="who takes part (default: all installed)"
    )
    add("--threads", type=words, default=[], metavar="1,2", help="numbers of threads; default: one and all")
    add("--rounds", type=int, default=5, help="turns that each contender gets (default: 5)")
    add("--budget", type=float, default=1.0, metavar="SECONDS", help="for each, over all rounds (default: 1)")
    add("--sweep", metavar="DIMENSION", help=f"instead of sizes, along one of {','.join(SWEEPS)}")
    add("--points", type=words, default=[], metavar="8,16", help="of the sweep; default: as suits the dimension")
    add("--isa", metavar="SET", help=f"holds all contenders to an instruction set, one of {', '.join(ISAS)}")
    add("--json", type=output_path, metavar="PATH", help="write everything to this file; - for standard output")
    add("--picture", type=Path, metavar="PATH", help="draw bars, or the sweep's lines, to this file")
    return parser


def one_of(option: str, name: str, known: Iterable[str]) -> None:
    """Refuses a name that is not known."""
    known = list(known)
    if name not in known:
        raise BadOption(f"--{option} got {name!r}: {did_you_mean(name, known)}")


def whole_numbers(option: str, given: list[str]) -> list[int]:
    """Sorted, each once."""
    if not all(word.isdecimal() and int(word) > 0 for word in given):
        raise BadOption(f"--{option} got {','.join(given)!r}, expected whole numbers above 0, such as 1,2")
    return sorted({int(word) for word in given})


def checked(options: argparse.Namespace) -> argparse.Namespace:
    """The options with threads and points as numbers; BadOption where one makes no sense."""
    for name in options.sizes:
        one_of("sizes", name, SIZES)
    for name in options.contenders:
        one_of("contenders", name, contenders())
    if options.sweep is not None:
        one_of("sweep", options.sweep, SWEEPS)
    if options.sweep and options.sizes:
        raise BadOption("--sizes cannot be combined with --sweep, which makes its own")
    if options.isa is not None:
        one_of("isa", options.isa, ISAS)
    if options.points and not options.sweep:
        raise BadOption("--points needs --sweep")
    if options.sweep == "threads" and options.threads:
        raise BadOption("--threads cannot be combined with --sweep threads: name its --points")
    options.threads, options.points = whole_numbers("threads", options.threads), whole_numbers("points", options.points)
    if not 1 <= options.rounds <= 1000:
        raise BadOption(f"--rounds got {options.rounds}, expected a whole number from 1 to 1000")
    if not 0 < options.budget <= 3600:
        raise BadOption(f"--budget got {options.budget}, expected seconds above 0")
    check_output("json", options.json)
    check_output("picture", options.picture)
    if options.picture and not importlib.util.find_spec("matplotlib"):
        raise BadOption("--picture needs matplotlib, which is not installed: pip install matplotlib")
    return options


def present(names: list[str], usual: Iterable[str]) -> tuple[list[Contender], list[str]]:
    """Those who take part, and a sentence for each who cannot. BadOption if none is left."""
    known = contenders()
    chosen = [known[name] for name in names or usual]
    skipped = [reason for contender in chosen if (reason := contender.absent())]
    found = [contender for contender in chosen if not contender.absent()]
    if not found:
        raise BadOption(f"--contenders leaves no one: {'; '.join(skipped)}")
    return found, skipped


def lines(options: argparse.Namespace) -> list[tuple[int | None, Size, list[int]]]:
    """What is measured: the sweep's value or None, the network, the numbers of threads."""
    all_cpus = hardware.cpu_count()
    if not options.sweep:
        threads = options.threads or sorted({1, all_cpus})
        return [(None, SIZES[name], threads) for name in options.sizes or SIZES]
    sweep = SWEEPS[options.sweep]
    by_threads = options.sweep == "threads"
    return [
        (value, sweep.size(value), [value] if by_threads else options.threads or [all_cpus])
        for value in options.points or sweep.values
    ]


def run(options: argparse.Namespace) -> int:
    """Measures, prints, writes. The exit status is 1 if a contender was refused; no time decides it."""
    usual = CONTENDERS if options.sweep else [name for name, one in contenders().items() if one.usual]
    entrants, skipped = present(options.contenders, usual)
    described = hardware.description(PACKAGES)
    hardware.print_description(described)
    for reason in skipped:
        print(f"skipped: {reason}")
    wanted = lines(options)
    peaks = dict.fromkeys(sorted({n for _, _, counts in wanted for n in counts}), 0.0)
    found: list[dict[str, Any]] = []
    for value, size, counts in wanted:
        report.print_heading(size)
        for n in counts:  # again for each size, as a moment in which others have the CPUs must not decide
            peaks[n] = max(peaks[n], peak.gflops("float32", n, min(PEAK_SECONDS, options.budget)))
        pairs = [(contender, threads) for contender in entrants for threads in counts]
        rows, share = contest(size, pairs, options.rounds, options.budget, {n: peaks[n] for n in counts})
        shared = max(counts) > 1 and share < SHARED
        report.print_table(rows, shared)
        if shared:
            print(f"!: other processes had part of the CPUs, busy threads ran {share:.0%} of the time: measure again")
        found.append(
            {
                "value": value, "size": size.as_json(), "label": size.label, "flops": size.flops,
                "parameters": size.parameters, "cpu_share": share, "shared": shared, "rows": rows,
            }
        )  # fmt: skip
    report.print_peaks(peaks)
    if options.sweep:
        report.print_sweep(options.sweep, found)
    document = {
        "command": ["benchmarks/training.py", *sys.argv[1:]],
        "machine": described, "isa": options.isa, "sweep": options.sweep, "rounds": options.rounds,
        "budget": options.budget,
        "peaks": peaks, "skipped": skipped, "measured": found,
    }  # fmt: skip
    if options.json:
        write_json(options.json, document)
    if options.picture:
        from of_training import picture

        picture.draw(document, options.picture)
    return int(any("refused" in row for entry in found for row in entry["rows"]))


def main() -> int:
    """The exit status: 0, 1 for a contender refused, 2 for options that make no sense."""
    try:
        options = checked(parser().parse_args())
        if options.isa and not isa.holds(options.isa):
            isa.start_again(options.isa)
        return run(options)
    except BadOption as error:
        print(f"training.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
