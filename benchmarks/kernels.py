"""Every kernel of the contract on the numba backend beside the best NumPy expression, and PyTorch where installed.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/kernels.py
    python benchmarks/kernels.py --kernels matmul,adam --threads 1 --json report.json --plot report.png

A result is compared with a float64 reference before it is timed; a wrong one gets no time and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The project's folder first: in this folder, ``kernels`` is this file.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from of_kernels import report
from of_kernels.cases import SIZES, Timed, chosen
from of_kernels.contenders import Contender, Refused, of_backend, of_numpy, of_torch, torch_module
from of_kernels.problem import Problem
from shared import clock
from shared.options import BadOption, check_output, words, write_json
from shared.quiet import cpu_share
from threadpoolctl import ThreadpoolController

import kernels
from kernels import hardware
from kernels.hardware import peak
from tinynet.files import output_path

PEAK_SECONDS = 0.3  # for each figure of the machine, if the budget is as long


def parser() -> argparse.ArgumentParser:
    """The options and what they mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--kernels", type=words, default=[], metavar="A,B", help="these kernels only")
    add(
        "--shapes", type=words, default=[], metavar="SIZES", help="of small,medium,large; default: as suits each kernel"
    )
    add("--dtype", default="float32", help="float32 (default) or float64")
    add("--threads", type=words, default=[], metavar="1,2", help="numbers of threads; default: one and all")
    add("--simd-width", type=int, metavar="LANES", help="lanes the backend uses; default: the host's best")
    add("--backend", default="numba", help="the backend to time; it must take threads= (default: numba)")
    add("--layout", default="own", help="own: arrays as the backend allocates them (default); contiguous: as NumPy's")
    add("--budget", type=float, default=0.2, metavar="SECONDS", help="time for each measurement (default: 0.2)")
    add("--json", type=output_path, metavar="PATH", help="write everything to this file; - for standard output")
    add("--plot", type=Path, metavar="PATH", help="draw the ratios and the products' share of the peak to this file")
    return parser


def one_of(option: str, value: str, known: Any) -> None:
    """Refuses a value that is not known."""
    if value not in known:
        raise BadOption(f"--{option} got {value!r}, expected one of {', '.join(known)}")


def checked(options: argparse.Namespace) -> argparse.Namespace:
    """The options with threads as numbers; BadOption where one makes no sense."""
    for name in options.kernels:
        one_of("kernels", name, kernels.DECLARATIONS)
    for size in options.shapes:
        one_of("shapes", size, SIZES)
    one_of("dtype", options.dtype, ("float32", "float64"))
    one_of("layout", options.layout, ("own", "contiguous"))
    if not all(count.isdecimal() and int(count) > 0 for count in options.threads):
        raise BadOption(f"--threads got {','.join(options.threads)!r}, expected whole numbers above 0, such as 1,2")
    if not 0 < options.budget <= 3600:
        raise BadOption(f"--budget got {options.budget}, expected seconds above 0")
    check_output("json", options.json)
    check_output("plot", options.plot)
    if options.plot and not importlib.util.find_spec("matplotlib"):
        raise BadOption("--plot needs matplotlib, which is not installed: pip install matplotlib")
    options.threads = sorted({int(count) for count in options.threads} or {1, hardware.cpu_count()})
    return options


def loaded(options: argparse.Namespace) -> dict[int, kernels.Backend]:
    """The backend for each number of threads."""
    width = {} if options.simd_width is None else {"simd_width": options.simd_width}
    try:
        return {threads: kernels.load(options.backend, threads=threads, **width) for threads in options.threads}
    except (ValueError, TypeError, kernels.BackendUnavailable) as error:
        raise BadOption(str(error)) from error


class Session:
    """What all lines share: backends, the machine's peaks, the controls of other libraries' threads."""

    def __init__(self, options: argparse.Namespace):
        self.options, self.backends, self.torch = options, loaded(options), torch_module()
        self.pools = ThreadpoolController()
        self.peaks: dict[int, dict[str, float]] = {}

    def measure_peaks(self) -> None:
        budget = min(PEAK_SECONDS, self.options.budget)
        for threads in self.options.threads:
            copies = {level: peak.gigabytes(level, threads, budget) for level in hardware.LEVELS}
            self.peaks[threads] = {"gflops": peak.gflops(self.options.dtype, threads, budget), **copies}

    def rows(self, line: Timed) -> Iterator[dict[str, Any]]:
        """A row for each number of threads."""
        with self.pools.limit(limits=1, user_api="blas"):
            problem = Problem(line, self.options.dtype)
        for threads, backend in self.backends.items():
            if self.torch:
                self.torch.set_num_threads(threads)
            with self.pools.limit(limits=threads, user_api="blas"):
                yield self.row(problem, threads, backend)

    def row(self, problem: Problem, threads: int, backend: kernels.Backend) -> dict[str, Any]:
        """The measured row, or one that says under "refused" who is wrong and how."""
        row = report.row(problem, threads)
        try:
            contenders = self.contenders(problem, backend, row)
        except Refused as refusal:
            return {**row, "refused": str(refusal)}
        before = cpu_share(threads)  # this waits for a quiet process
        timings = clock.contest({role: c.call for role, c in contenders.items()}, self.options.budget, threads)
        share = min(before, cpu_share(threads))
        return report.filled(row, problem, contenders, timings, self.peaks[threads], share)

    def contenders(self, problem: Problem, backend: kernels.Backend, row: dict[str, Any]) -> dict[str, Contender]:
        """By role. PyTorch is a guest: where it cannot take part, the row says why."""
        try:
            found = {"backend": of_backend(problem, backend, self.options.layout == "contiguous")}
        except Refused as refusal:
            raise Refused(f"{backend.name}: {refusal}") from None
        found["numpy"] = of_numpy(problem, self.options.budget / clock.ROUNDS)
        if self.torch:
            try:
                guest = of_torch(problem)
            except Refused as refusal:
                guest, row["torch_absent"] = None, str(refusal)
            found.update({"torch": guest} if guest else {})
        return found


def run(options: argparse.Namespace) -> int:
    """Measures, prints, writes. The exit status is 1 if a result was wrong; no time decides it."""
    session, described = Session(options), hardware.description()
    hardware.print_description(described)
    lines = chosen(options.kernels, options.shapes)
    if not lines:
        raise BadOption(f"--shapes got {','.join(options.shapes)}, of which the chosen kernels have none")
    session.measure_peaks()
    report.print_peaks(session.peaks, options.dtype)
    report.print_heading(options.backend, bool(session.torch))
    rows = []
    for line in lines:
        for row in session.rows(line):
            report.print_row(row, bool(session.torch))
            rows.append(row)
    means = report.means(rows)
    report.print_summary(rows, means)
    document = {
        "command": ["benchmarks/kernels.py", *sys.argv[1:]],
        "machine": described,
        "backend": {"name": options.backend, "options": {"threads": options.threads, "simd_width": options.simd_width}},
        "dtype": options.dtype, "layout": options.layout, "budget": options.budget, "rounds": clock.ROUNDS,
        "peaks": session.peaks, "rows": rows, "means": means,
    }  # fmt: skip
    if options.json:
        write_json(options.json, document)
    if options.plot:
        from of_kernels import picture

        picture.draw(document, options.plot)
    return int(any("refused" in row for row in rows))


def main() -> int:
    """The exit status: 0, 1 for a wrong result, 2 for options that make no sense."""
    try:
        return run(checked(parser().parse_args()))
    except BadOption as error:
        print(f"kernels.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
