"""What each remedy that `python -m kernels explain` names brings, on the fifteen loops of examples/loops.py.

`python benchmarks/explained_loops.py` times every loop and its remedied one in turns, on one thread and 4,096 elements
in cache, and prints a Markdown table. A remedy that brings less than it should ends the command with status 1.
"""

import argparse
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import loops
from shared.clock import contest
from shared.options import BadOption, check_output, write_json

import kernels
from kernels import hardware

FASTER = 1.0  # every remedy: what is promised is that it is faster; by how much is the machine's


def measured(name, budget):
    """A row: seconds before and after, and the lanes that the remedied loop has."""
    before, reason, after = loops.CASES[name]
    slow, fast = getattr(loops, name), getattr(loops, f"{name}_fast")
    calls = {"before": lambda: slow(*before), "after": lambda: fast(*after)}
    for call in calls.values():
        call()  # compiles
    times = contest(calls, budget, 1)
    verdicts = kernels.explain(fast, *after, measure=False).verdicts
    return {
        "loop": name,
        "reason": reason,
        "before": times["before"].best,
        "after": times["after"].best,
        "ratio": times["before"].best / times["after"].best,
        "spread": max(times["before"].spread, times["after"].spread),
        "lanes": max(verdict.lanes for verdict in verdicts),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=0.2, metavar="SECONDS", help="for each loop (default: 0.2)")
    parser.add_argument("--loops", default=",".join(loops.CASES), metavar="NAMES", help="which of them (default: all)")
    parser.add_argument("--json", type=pathlib.Path, metavar="PATH", help="everything as JSON")
    options = parser.parse_args()
    names = [name for name in options.loops.split(",") if name]
    unknown = [name for name in names if name not in loops.CASES]
    if unknown:
        parser.error(f"--loops got {unknown[0]!r}, expected among {', '.join(loops.CASES)}")
    try:
        check_output("json", options.json)
    except BadOption as error:
        parser.error(str(error))
    machine = hardware.description()
    print(hardware.as_lines(machine)[0], "", sep="\n")
    print(
        "| loop | reason | before, us | after, us | ratio | lanes |", "| --- | --- | --- | --- | --- | --- |", sep="\n"
    )
    rows = []
    for name in names:
        row = measured(name, options.budget)
        rows.append(row)
        print(f"| {name} | {row['reason']} | {row['before'] * 1e6:.2f} | {row['after'] * 1e6:.2f} | {row['ratio']:.1f} "
              f"| {row['lanes']} |", flush=True)  # fmt: skip
    if options.json:
        write_json(options.json, {"machine": machine, "rows": rows})
    slow = [row["loop"] for row in rows if row["ratio"] <= FASTER]
    if slow:
        print(f"no faster: {', '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
