"""Rows: what was measured, as numbers for JSON and as text for people."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log
from typing import Any

from shared.clock import STEADY, Timing

from kernels.hardware import LEVELS
from kernels.hardware.peak import level_of

from .cases import FAMILIES
from .contenders import Contender
from .problem import Problem

Row = dict[str, Any]

SHARED = 0.9  # several threads of which one ran less than this part of the time make a row that does not count


def row(problem: Problem, threads: int) -> Row:
    """What is known before anything runs."""
    line = problem.line
    return {
        "kernel": line.kernel, "family": line.family, "shape": list(line.shape), "label": line.label,
        "size": line.size, "variant": line.variant, "dtype": problem.dtype.name, "threads": threads,
        "flops": problem.flops, "bytes": problem.bytes, "touched_bytes": problem.touched,
        "level": level_of(problem.touched, threads),
    }  # fmt: skip


def filled(
    row: Row,
    problem: Problem,
    contenders: Mapping[str, Contender],
    timings: Mapping[str, Timing],
    peaks: Mapping[str, float],
    cpu_share: float,
) -> Row:
    """The row with times, ratios, rate and share of the machine's peak."""
    times = {
        role: {"name": contenders[role].name, "us": timing.best * 1e6, "spread": timing.spread}
        for role, timing in timings.items()
    }
    best = timings["backend"].best
    is_product = problem.flops > 0
    rate = (problem.flops if is_product else problem.bytes) / best / 1e9
    top = peaks["gflops" if is_product else row["level"]]
    return {
        **row,
        "times": times,
        "ratios": {role: timings[role].best / best for role in ("numpy", "torch") if role in timings},
        "rate": rate,
        "unit": "GFLOP/s" if is_product else "GB/s",
        "percent_of_peak": 100 * rate / top,
        "cpu_share": cpu_share,
        "shared": row["threads"] > 1 and cpu_share < SHARED,
        "unsteady": any(timing.spread > STEADY for timing in timings.values()),
    }


def mean_ratio(rows: list[Row], peer: str) -> float | None:
    """The geometric mean of the ratios to a peer, or None where there are none."""
    ratios = [r["ratios"][peer] for r in rows if peer in r.get("ratios", {})]
    return exp(sum(map(log, ratios)) / len(ratios)) if ratios else None


def means(rows: list[Row]) -> list[dict[str, Any]]:
    """Geometric means by family and number of threads; family "all" is over every row.

    Rows that had to share the CPUs with other processes are left out.
    """
    found = []
    for threads in sorted({r["threads"] for r in rows}):
        here = [r for r in rows if r["threads"] == threads and not r.get("shared")]
        for family in (*FAMILIES, "all"):
            of_family = [r for r in here if family in (r["family"], "all")]
            ratios = {peer: mean_ratio(of_family, peer) for peer in ("numpy", "torch")}
            if ratios["numpy"]:
                found.append({"family": family, "threads": threads, "rows": len(of_family), **ratios})
    return found


# ---- for people ---------------------------------------------------------------------------------------------------


def print_peaks(peaks: Mapping[int, Mapping[str, float]], dtype: str) -> None:
    """A line for each number of threads."""
    for threads, figures in peaks.items():
        copies = ", ".join(f"{level} {figures[level]:,.0f}" for level in LEVELS)
        top = f"{figures['gflops']:,.0f} GFLOP/s {dtype}"
        print(f"peak, {threads} thread{'s' * (threads > 1)}: {top}; GB/s copied: {copies}")
    print()


def print_heading(backend: str, with_torch: bool) -> None:
    """Over the rows."""
    torch = f"{'torch us':>11}" if with_torch else ""
    ratio = f"{'x torch':>8}" if with_torch else ""
    name = f"{backend[:8]} us"
    print(
        f"{'kernel':<22} {'shape':<22}{'thr':>4}{name:>11}{'NumPy us':>11}{torch}{'x NumPy':>9}{ratio}"
        f"{'rate':>16}{'% peak':>11}{'spread':>8} "
    )


def print_row(row: Row, with_torch: bool) -> None:
    """One measured row, or why there is no measurement."""
    start = f"{row['kernel']:<22} {row['label']:<22}{row['threads']:>4}"
    if "refused" in row:
        print(f"{start}  REFUSED, {row['refused']}", flush=True)
        return
    times, ratios = row["times"], row["ratios"]
    torch = ratio = ""
    if with_torch:
        torch = f"{times['torch']['us']:>11.2f}" if "torch" in times else f"{'-':>11}"
        ratio = f"{ratios['torch']:>8.2f}" if "torch" in ratios else f"{'-':>8}"
    rate = f"{row['rate']:.1f} {row['unit']}"
    share = f"{row['percent_of_peak']:.0f} {'FMA' if row['flops'] else row['level'].replace('memory', 'mem')}"
    mark = "!" if row["shared"] else "~" if row["unsteady"] else " "
    spread = f"{max(t['spread'] for t in times.values()):.2f}{mark}"
    print(
        f"{start}{times['backend']['us']:>11.2f}{times['numpy']['us']:>11.2f}{torch}{ratios['numpy']:>9.2f}{ratio}"
        f"{rate:>16}{share:>11}{spread:>9}" + ("  <" if ratios["numpy"] < 1 else ""),
        flush=True,
    )


def print_summary(rows: list[Row], found: list[dict[str, Any]]) -> None:
    """Geometric means, then whatever is slower than NumPy, absent or wrong."""
    print("\ngeometric means (above 1: the backend is faster)")
    print(f"{'family':<16}{'threads':>8}{'rows':>6}{'x NumPy':>9}{'x torch':>9}")
    for mean in found:
        torch = f"{mean['torch']:.2f}" if mean["torch"] else "-"
        print(f"{mean['family']:<16}{mean['threads']:>8}{mean['rows']:>6}{mean['numpy']:>9.2f}{torch:>9}")
    timed = [r for r in rows if "times" in r]
    steady = [r for r in timed if not r["shared"]]
    slower = sorted((r for r in steady if r["ratios"]["numpy"] < 1), key=lambda r: r["ratios"]["numpy"])
    listed(
        "slower than NumPy",
        [f"{r['ratios']['numpy']:.2f}  {_named(r)}  ({r['times']['numpy']['name']})" for r in slower],
    )
    listed(
        "not counted, as other processes had part of the CPUs (!): measure again",
        [f"{_named(r)}: ran {r['cpu_share']:.0%} of the time" for r in timed if r["shared"]],
    )
    listed(f"spread above {STEADY}: measure again", [f"{_named(r)}: {_unsteady(r)}" for r in steady if r["unsteady"]])
    listed("without PyTorch", [f"{_named(r)}: {r['torch_absent']}" for r in rows if "torch_absent" in r])
    listed("REFUSED: wrong results", [f"{_named(r)}: {r['refused']}" for r in rows if "refused" in r])


def _unsteady(row: Row) -> str:
    """Who, and by how much."""
    return ", ".join(f"{t['name']} {t['spread']:.2f}" for t in row["times"].values() if t["spread"] > STEADY)


def listed(title: str, items: list[str]) -> None:
    """A heading with the items below it, if there are any."""
    if items:
        print(f"\n{title}: {len(items)} of the rows")
        print("\n".join(f"  {item}" for item in items))


def _named(row: Row) -> str:
    return f"{row['kernel']} {row['label']}, {row['threads']} thread{'s' * (row['threads'] > 1)}"
