"""The training benchmark's figures as text."""

from __future__ import annotations

from typing import Any

from shared.clock import STEADY

from .problem import Size

Row = dict[str, Any]


def counted(number: int, what: str) -> str:
    """1 thread, 2 threads."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def print_peaks(peaks: dict[int, float]) -> None:
    """Of each number of threads."""
    tops = ", ".join(f"{counted(threads, 'thread')} {gflops:,.0f}" for threads, gflops in peaks.items())
    print(f"\npeak of multiply-adds in registers, GFLOP/s float32: {tops}")


def print_heading(size: Size) -> None:
    """What is trained, before it is."""
    print(
        f"\n{size.name}: {size.label}; {counted(size.parameters, 'parameter')}, {counted(size.flops, 'FLOP')} a step, "
        f"{counted(size.steps, 'step')} an epoch",
        flush=True,
    )


def print_table(rows: list[Row], shared: bool) -> None:
    """A line a contender, fastest first; then those that did not take part, and the result in a sentence."""
    print(
        f"{'contender':<22}{'thr':>4}{'us/step':>11}{'median':>11}{'spread':>8} {'samples/s':>11}{'GFLOP/s':>9}"
        f"{'% peak':>8}{'x fastest peer':>16}{'warm-up s':>11}"
    )
    for row in rows:
        name = f"{row['contender']:<22}{row['threads']:>4}"
        if "refused" in row:
            print(f"{name}  REFUSED, {row['refused']}")
            continue
        mark = "!" if shared and row["threads"] > 1 else "~" if row["spread"] > STEADY else " "
        ratio = f"{row['times_fastest_peer']:.2f}" if row["times_fastest_peer"] else "-"
        print(
            f"{name}{row['us']:>11,.1f}{row['median_us']:>11,.1f}{row['spread']:>8.2f}{mark}"
            f"{row['samples_per_second']:>11,.0f}{row['gflops']:>9.1f}{row['percent_of_peak']:>8.1f}{ratio:>16}"
            f"{row['warm_up_seconds']:>11.1f}"
        )
    timed = [row for row in rows if "refused" not in row]
    own = next((row for row in timed if not row["peer"]), None)
    peer = next((row for row in timed if row["peer"]), None)
    if own and peer:
        print(f"{_named(own)} is {own['times_fastest_peer']:.2f} times as fast as the fastest peer, {_named(peer)}")
    print(end="", flush=True)


def print_sweep(name: str, points: list[dict[str, Any]]) -> None:
    """us a step, a line for each contender and a column for each point."""
    keys = list(dict.fromkeys((r["contender"], r["threads"]) for point in points for r in point["rows"]))
    if name == "threads":  # the points' own dimension
        keys = list(dict.fromkeys((contender, None) for contender, _ in keys))
    print(f"\nus a step by {name}\n{'contender':<22}{'thr':>4}" + "".join(f"{p['value']:>10,}" for p in points))
    for contender, threads in keys:
        cells = []
        for point in points:
            wanted = point["value"] if threads is None else threads
            found = [r for r in point["rows"] if (r["contender"], r["threads"]) == (contender, wanted)]
            cells.append(f"{found[0]['us']:>10,.1f}" if found and "us" in found[0] else f"{'-':>10}")
        print(f"{contender:<22}{threads or '':>4}" + "".join(cells), flush=True)


def _named(row: Row) -> str:
    return f"{row['contender']} ({counted(row['threads'], 'thread')})"
