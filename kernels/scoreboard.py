"""A backend beside others: is each kernel right, how fast is it, and how near the roof of the machine.

Right is what the conformance suite says, over all its cases. Time is the best of several rounds in which the contenders
take turns, on one call of usual size, on one thread of those whose threads can be told. The roof is the time that
operations and bytes take at least, by ceilings measured here.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np

from . import hardware
from .contract import DECLARATIONS, Backend
from .explanation.functions.naming import named_module
from .explanation.operands import declaration_of, operands_of
from .loader import BackendUnavailable, from_module, load, names
from .program.work import operations
from .testing import trials
from .text import aligned

ROUNDS = 5
# Kernels that PyTorch has under another name, or with other arguments; the elementwise ones have the same.
TORCH = {
    "absolute": "abs", "divide": "true_divide", "power": "pow", "greater": "gt", "matmul": "mm", "sum": "sum",
}  # fmt: skip
TORCH_SAME = (
    "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "erf", "sign", "sigmoid", "add", "subtract",
    "multiply", "maximum", "minimum",
)  # fmt: skip


@dataclass(frozen=True)
class Score:
    """A kernel's line. own: whether it is no composition. faults: what the conformance suite found.

    seconds: of a call, by contender. roof: seconds that it takes at least.
    """

    kernel: str
    shape: str
    own: bool
    faults: tuple[str, ...]
    seconds: dict[str, float]
    roof: float

    def share(self, contender: str) -> float:
        """The part of the roof that a contender reaches."""
        return self.roof / self.seconds[contender]

    def as_json(self) -> dict[str, Any]:
        """The line as JSON holds it."""
        return {
            "kernel": self.kernel,
            "shape": self.shape,
            "own": self.own,
            "faults": list(self.faults),
            "seconds": dict(self.seconds),
            "share_of_roof": {name: self.share(name) for name in self.seconds},
        }


def contender(name: str) -> Backend:
    """The backend of a registered name, or of a module or a file: its ``backend``, else its functions.

    Raises ValueError for what is neither, BackendUnavailable with the reason for what cannot be imported.
    """
    if name in names():
        return load(name)
    if not name.endswith(".py") and "." not in name and importlib.util.find_spec(name) is None:
        return load(name)  # which says what there is
    try:
        module = named_module(name)
    except ValueError as error:
        if isinstance(error.__cause__, ImportError):
            raise BackendUnavailable(str(error)) from error
        raise
    found = getattr(module, "backend", None)
    return found if isinstance(found, Backend) else from_module(module, Path(name).stem)


def scores(
    backend: Backend, dtype: str = "float32", kernels: Sequence[str] = (), budget: float = 0.05
) -> Iterator[Score]:
    """A line for each kernel, or for each of those named. budget: seconds that each contender gets for a kernel."""
    peers = {backend.name: backend}
    for name, options in (("numpy", {}), ("numba", {"threads": 1})):
        if name != backend.name:
            try:
                peers[name] = load(name, **options)
            except BackendUnavailable:
                continue
    for kernel in kernels or DECLARATIONS:
        declaration = declaration_of(kernel)
        faults = tuple(str(f) for trial in trials() if trial.kernel == kernel for f in trial.run(backend))
        operands = operands_of(declaration, dtype, None, {})
        count = len(declaration.inputs)
        results = {o.name: value for o, value in zip(declaration.results, operands[count:], strict=True)}
        calls = {name: _call(getattr(peer, kernel), operands[:count], results) for name, peer in peers.items()}
        calls |= _torch(kernel, operands)
        largest = max((o for o in operands if isinstance(o, np.ndarray)), key=lambda array: array.size)
        shape = "x".join(map(str, largest.shape))
        with hardware.one_blas_thread():
            seconds = _raced(calls, budget)
        yield Score(kernel, shape, kernel in backend.native, faults, seconds, _roof(kernel, operands, dtype))


def _call(method: Callable[..., Any], inputs: Sequence[Any], results: dict[str, Any]) -> Callable[[], Any]:
    return lambda: method(*inputs, **results)


def _torch(kernel: str, operands: Sequence[Any]) -> dict[str, Callable[[], Any]]:
    """PyTorch's function for a kernel on the same memory, where it is installed and has one."""
    if kernel not in TORCH and kernel not in TORCH_SAME:
        return {}
    try:
        import torch  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return {}
    torch.set_num_threads(1)
    arrays = [torch.from_numpy(o) for o in operands if isinstance(o, np.ndarray)]
    function, inputs, out = getattr(torch, TORCH.get(kernel, kernel)), arrays[:-1], arrays[-1]
    if kernel in ("sum", "greater"):  # of another shape or dtype than ours: PyTorch allocates it
        return {"torch": lambda: function(*inputs)}
    return {"torch": lambda: function(*inputs, out=out)}


def _raced(calls: dict[str, Callable[[], Any]], budget: float) -> dict[str, float]:
    """Seconds a call of each, the best of rounds in which they take turns."""
    best, numbers = dict.fromkeys(calls, float("inf")), dict[str, int]()
    for name, call in calls.items():
        call()  # compiles
        start = time.perf_counter()
        call()
        numbers[name] = max(1, min(10_000, int(budget / ROUNDS / 4 / max(1e-9, time.perf_counter() - start))))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            until = time.perf_counter() + budget / ROUNDS
            while True:
                start = time.perf_counter()
                for _ in range(numbers[name]):
                    call()
                end = time.perf_counter()
                best[name] = min(best[name], (end - start) / numbers[name])
                if end > until:
                    break
    return best


def _roof(kernel: str, operands: Sequence[Any], dtype: str) -> float:
    """Seconds that a call takes at least on one thread."""
    arrays = [o for o in operands if isinstance(o, np.ndarray)]
    moved = sum(array.nbytes for array in arrays)
    described = tuple((o.shape, o.dtype) if isinstance(o, np.ndarray) else o for o in operands)
    gflops, gigabytes = hardware.roof(dtype, 1, hardware.level_of(moved, 1))
    return max(operations(kernel, described) / gflops, moved / gigabytes) / 1e9


def table(board: Sequence[Score]) -> str:
    """The lines as text: right, microseconds by contender, times as fast as each other, share of the roof."""
    contenders = list(dict.fromkeys(name for score in board for name in score.seconds))
    mine, *others = contenders
    head = ("kernel", "shape", "right", *(f"{name}, us" for name in contenders),
            *(f"x {name}" for name in others), "of roof")  # fmt: skip
    rows = [
        (
            score.kernel + ("" if score.own else " *"),
            score.shape,
            f"{len(score.faults)} faults" if score.faults else "yes",
            *(f"{score.seconds[name] * 1e6:.2f}" if name in score.seconds else "-" for name in contenders),
            *(f"{score.seconds[name] / score.seconds[mine]:.2f}" if name in score.seconds else "-" for name in others),
            f"{score.share(mine):.0%}",
        )
        for score in board
    ]
    return "\n".join([aligned([head, *rows]), *_summary(board, mine, others)])


def _summary(board: Sequence[Score], mine: str, others: Sequence[str]) -> list[str]:
    right = sum(not score.faults for score in board)
    lines = ["", f"{mine}: {right} of {len(board)} kernels are right"]
    for name in others:
        logs = [log(s.seconds[name] / s.seconds[mine]) for s in board if name in s.seconds]
        lines.append(
            f"{exp(sum(logs) / len(logs)):.2f} times as fast as {name} (geometric mean of {len(logs)} kernels)"
        )
    if not all(score.own for score in board):
        lines.append("* no kernel of its own: a composition of its others")
    first = next((fault for score in board for fault in score.faults), "")
    return [*lines, f"the first fault: {first}"] if first else lines


def draw(board: Sequence[Score], path: Path) -> None:
    """Writes a picture of each kernel's share of the roof, a dot a contender. Raises ImportError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("the picture needs matplotlib: pip install matplotlib") from None
    contenders = list(dict.fromkeys(name for score in board for name in score.seconds))
    figure = Figure(figsize=(8, 1.4 + 0.2 * max(8, len(board))), layout="constrained")
    axes = figure.subplots()
    order = list(reversed(board))
    for row in range(len(order)):
        axes.axhline(row, color="#e4e4e4", linewidth=0.8, zorder=0)
    for number, name in enumerate(reversed(contenders)):
        mine = name == contenders[0]
        points = [(score.share(name), row) for row, score in enumerate(order) if name in score.seconds]
        shares, rows = zip(*points, strict=True)
        axes.scatter(shares, rows, label=name, s=42 if mine else 26, zorder=3 + number,
                     color="#c1272d" if mine else ("#9a9a9a", "#3b6fb5", "#3f8f5f")[number % 3])  # fmt: skip
    axes.set_yticks(range(len(order)), [score.kernel + (" (wrong)" if score.faults else "") for score in order])
    axes.tick_params(axis="y", labelsize=8, length=0)
    axes.set_ylim(-0.7, len(order) - 0.3)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("share of the machine's roof on one thread (1: as fast as it can be)")
    axes.set_title(
        f"{contenders[0]} beside {', '.join(contenders[1:])}; {hardware.description(())['cpu']}", fontsize=10
    )
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=len(labels), fontsize=9)
    figure.savefig(path, dpi=110)
