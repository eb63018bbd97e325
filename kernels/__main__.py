"""``python -m kernels``: what the kernels are, and what they run on the machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import DECLARATIONS, BackendUnavailable, explain, hardware
from .contract.dtypes import EITHER_FLOAT, FLOAT_NAMES
from .text import aligned

if TYPE_CHECKING:
    from .explanation import Explanation

REFUSED, UNAVAILABLE = 2, 1  # exit statuses


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m kernels", description="The kernels, and what they run on the machine."
    )
    commands = top.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="every kernel with its formula")
    listing.set_defaults(run=show_list)
    machine = commands.add_parser("machine", help="what the CPU is, and what it can do at most, measured")
    machine.set_defaults(run=show_machine)
    machine.add_argument("--dtype", choices=FLOAT_NAMES, default=FLOAT_NAMES[0], help="(default: %(default)s)")
    command = commands.add_parser(
        "explain", help="what a kernel, or any function that Numba compiled, became: its loops, disassembled"
    )
    command.set_defaults(run=show_explanation)
    command.add_argument("kernel", help="a kernel of the contract, such as matmul or exp; or module:function")
    command.add_argument("--backend", default="numba", help="numba (default), numpy, naive or another")
    command.add_argument("--dtype", default=FLOAT_NAMES[0], help=f"{EITHER_FLOAT} (default: %(default)s)")
    command.add_argument("--shape", type=lengths, help="lengths, such as 256x128; of a product m, k and n: 256x128x64")
    command.add_argument("--simd-width", type=int, help="numba: lanes of float32 in a vector: 1, 4, 8 or 16")
    command.add_argument("--threads", type=int, help="numba: threads that share large calls")
    command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", type=assignment,
                         help="an argument of the kernel, such as activation=gelu or axis=1")  # fmt: skip
    command.add_argument("--arguments", metavar="EXPRESSIONS",
                         help="of module:function: arguments of a call, in Python with np for NumPy and its module's "
                              "names, such as 'np.ones(1000, \"f4\"), 3.0'; else the module's example_arguments"
                              "[name], or the types it was compiled for")  # fmt: skip
    command.add_argument("--loops", choices=("main", "all"), default="main", help="which loops to show in full")
    command.add_argument(
        "--json", type=Path, metavar="PATH", help="write it as JSON as well; - for standard output only"
    )
    board = commands.add_parser("scoreboard", help="a backend beside NumPy, PyTorch and numba: right, how fast")
    board.set_defaults(run=show_scoreboard)
    board.add_argument("backend", help="a registered backend, a module, or a file such as examples/c_backend.py")
    board.add_argument("--dtype", choices=FLOAT_NAMES, default=FLOAT_NAMES[0], help="(default: %(default)s)")
    board.add_argument("--kernels", default="", metavar="NAMES", help="these only, such as exp,matmul (default: all)")
    board.add_argument("--budget", type=positive, default=0.05, metavar="SECONDS",
                       help="for each contender and kernel (default: %(default)s)")  # fmt: skip
    board.add_argument("--picture", type=Path, metavar="PATH", help="a picture as well, by matplotlib")
    board.add_argument("--json", type=Path, metavar="PATH", help="write it as JSON as well")
    return top


def positive(written: str) -> float:
    """Seconds above 0."""
    try:
        seconds = float(written)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{written!r} is no number of seconds, expected one above 0")
    return seconds


def lengths(written: str) -> tuple[int, ...]:
    """256x128 as (256, 128)."""
    try:
        return tuple(int(part) for part in written.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{written!r} is no shape, expected lengths such as 256x128") from None


def assignment(written: str) -> tuple[str, str]:
    """NAME=VALUE as a pair."""
    name, equals, value = written.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{written!r} is no assignment, expected NAME=VALUE such as axis=1")
    return name, value


def show_list(arguments: argparse.Namespace) -> int:
    """Prints the kernels; returns the exit status."""
    width = max(map(len, DECLARATIONS))
    for name, declaration in DECLARATIONS.items():
        print(f"{name:<{width}}  {declaration.formula}")
    return 0


def show_machine(arguments: argparse.Namespace) -> int:
    """Prints description and ceilings; returns the exit status."""
    print("\n".join(hardware.as_lines(hardware.description())))
    try:
        alone, *others = [hardware.measure(arguments.dtype, threads) for threads in sorted({1, hardware.cpu_count()})]
    except ImportError as error:
        print(f"python -m kernels: {error}", file=sys.stderr)
        return UNAVAILABLE
    head = ("", *(f"{found.threads} thread{'s' * (found.threads > 1)}" for found in (alone, *others)))
    rows = [(f"GFLOP/s, {lanes} lane{'s' * (lanes > 1)}", *(f"{found.gflops[lanes]:.0f}" for found in (alone, *others)))
            for lanes in alone.gflops]  # fmt: skip
    if alone.bfloat16 is not None:
        rows += [("GFLOP/s, products in bfloat16", *(f"{found.bfloat16:.0f}" for found in (alone, *others)))]
    rows += [(f"GB/s, {level}", *(f"{found.gigabytes[level]:.0f}" for found in (alone, *others)))
             for level in hardware.LEVELS]  # fmt: skip
    print(aligned([head, *rows]))
    return 0


def show_explanation(arguments: argparse.Namespace) -> int:
    """Prints an explanation; returns the exit status."""
    asked = {"simd_width": arguments.simd_width, "threads": arguments.threads}
    options = {name: value for name, value in asked.items() if value is not None}
    try:
        if ":" in arguments.kernel:
            from .explanation.functions.naming import named_function

            function, values = named_function(arguments.kernel, arguments.arguments)
            return write(explain(function, *values), arguments)
        if arguments.arguments is not None:
            raise ValueError(f"--arguments is for module:function, and {arguments.kernel} is a kernel: --shape")
        found = explain(
            arguments.kernel, arguments.backend, arguments.dtype, arguments.shape, dict(arguments.set), **options
        )
    except BackendUnavailable as error:
        # The formula and what it is composed of need no backend.
        declaration = DECLARATIONS[arguments.kernel]
        print(f"{declaration.name}: {declaration.doc}")
        print(f"python -m kernels: {error}", file=sys.stderr)
        return UNAVAILABLE
    return write(found, arguments)


def write(found: Explanation, arguments: argparse.Namespace) -> int:
    """Prints an explanation as the options say; returns the exit status."""
    if str(arguments.json) == "-":
        print(found.json())
        return 0
    if arguments.json is not None:
        arguments.json.write_text(found.json())
    print(found.text(arguments.loops))
    return 0


def show_scoreboard(arguments: argparse.Namespace) -> int:
    """Prints a scoreboard; returns the exit status: 0 where every kernel is right."""
    from . import scoreboard

    try:
        backend = scoreboard.contender(arguments.backend)
        names = [name for name in arguments.kernels.split(",") if name]
        found = list(scoreboard.scores(backend, arguments.dtype, names, arguments.budget))
        if arguments.picture is not None:
            scoreboard.draw(found, arguments.picture)
    except ImportError as error:
        print(f"python -m kernels: {error}", file=sys.stderr)
        return UNAVAILABLE
    if arguments.json is not None:
        document = {"machine": hardware.description(), "backend": backend.name, "dtype": arguments.dtype,
                    "kernels": [score.as_json() for score in found]}  # fmt: skip
        arguments.json.write_text(json.dumps(document, indent=1))
    print("\n".join([*hardware.as_lines(hardware.description()), "", scoreboard.table(found)]))
    return UNAVAILABLE if any(score.faults for score in found) else 0


def main(words: Sequence[str] | None = None) -> int:
    """Runs the command; refusals are one sentence on standard error and exit status 2."""
    arguments = parser().parse_args(words)
    try:
        return int(arguments.run(arguments))
    except BrokenPipeError:
        sys.stdout = None  # what reads the output has seen enough
        return 0
    except OSError as error:
        print(f"python -m kernels: {error.filename or '--json'} cannot be written: {error.strerror}", file=sys.stderr)
        return REFUSED
    except (ValueError, TypeError) as error:
        print(f"python -m kernels: {error}", file=sys.stderr)
        return REFUSED


if __name__ == "__main__":
    sys.exit(main())
