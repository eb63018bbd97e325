"""What the results say: means, ranks, gaps and shares of time, of groups of tables.

A result is a dictionary that names table, contender, split and threads, and holds what was measured. Two contenders are
compared on the splits that both have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, log
from statistics import fmean
from typing import Any

from .contenders import HISTOGRAM, LIGHTGBM, TD, TD_S

Result = dict[str, Any]
Means = dict[str, dict[str, float]]  # table: contender: mean over splits

LARGE = 20_000  # rows from which on a table is large
TREES = (LIGHTGBM, HISTOGRAM)

GROUPS: tuple[tuple[str, Callable[[Result], bool]], ...] = (
    ("all tables", lambda r: True),
    (f"under {LARGE:,} rows", lambda r: r["rows"] < LARGE),
    (f"from {LARGE:,} rows on", lambda r: r["rows"] >= LARGE),
    (f"for development, under {LARGE:,} rows", lambda r: not r["held_back"] and r["rows"] < LARGE),
    (f"for development, from {LARGE:,} rows on", lambda r: not r["held_back"] and r["rows"] >= LARGE),
    (f"held back, under {LARGE:,} rows", lambda r: r["held_back"] and r["rows"] < LARGE),
    (f"held back, from {LARGE:,} rows on", lambda r: r["held_back"] and r["rows"] >= LARGE),
)


def key(result: Result) -> tuple[str, str, int, int]:
    """What makes a result one of its own: table, contender, split, threads."""
    return result["table"], result["contender"], result["split"], result["threads"]


def measured(results: Sequence[Result]) -> list[Result]:
    """Those that did not fail."""
    return [result for result in results if "error" not in result]


def names(results: Sequence[Result], what: str) -> list[str]:
    """The tables or contenders in results, in order."""
    return list(dict.fromkeys(result[what] for result in results))


def means(results: Sequence[Result], value: str, contenders: Sequence[str]) -> Means:
    """For each table that all of the contenders have been measured on: each one's mean over their common splits."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for result in results:
        if result["contender"] in contenders:
            of_table = found.setdefault(result["table"], {name: {} for name in contenders})
            of_table[result["contender"]][result["split"]] = result[value]
    common = {table: set.intersection(*(set(splits) for splits in of.values())) for table, of in found.items()}
    return {
        table: {name: fmean(splits[split] for split in sorted(common[table])) for name, splits in of.items()}
        for table, of in found.items()
        if common[table]
    }


def ranks(scores: dict[str, float]) -> dict[str, float]:
    """1 for the best; equals share the mean of their places."""
    return {
        name: 1 + sum(other > own for other in scores.values()) + (sum(o == own for o in scores.values()) - 1) / 2
        for name, own in scores.items()
    }


def geometric_mean(values: Sequence[float]) -> float:
    """exp(mean(log(values)))."""
    return exp(fmean(log(value) for value in values))


def gaps(results: Sequence[Result], name: str, others: Sequence[str]) -> dict[str, float]:
    """By table, the score of a contender minus the best score of others; empty where none of them was measured."""
    others = [other for other in others if other in names(results, "contender")]
    if not others:
        return {}
    return {
        table: scores[name] - max(scores[other] for other in others)
        for table, scores in means(results, "score", list(dict.fromkeys([name, *others]))).items()
    }


def worst(found: dict[str, float]) -> tuple[str, float] | None:
    """The table with the smallest value, and the value."""
    return min(found.items(), key=lambda pair: pair[1]) if found else None


def share_of_time(results: Sequence[Result], name: str, other: str) -> float | None:
    """CPU seconds of fit over another's: the geometric mean over the tables that both were measured on."""
    both = means(results, "cpu_seconds", list(dict.fromkeys([name, other])))
    return geometric_mean([seconds[name] / seconds[other] for seconds in both.values()]) if both else None


def summary(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A row for each contender of a group of results.

    Means over tables (score, rank, seconds) are those of contenders measured on all of the group's tables, else None.
    """
    tables, contenders = names(results, "table"), names(results, "contender")
    complete = [c for c in contenders if len({r["table"] for r in results if r["contender"] == c}) == len(tables)]
    scores = means(results, "score", complete) if complete else {}
    if len(scores) < len(tables):  # some split is nobody's in common
        complete, scores = [], {}
    seconds = means(results, "cpu_seconds", complete) if complete else {}
    places = {table: ranks(of_table) for table, of_table in scores.items()}
    return [
        {
            "contender": name,
            "tables": len({r["table"] for r in results if r["contender"] == name}),
            "score": fmean(scores[table][name] for table in tables) if name in complete else None,
            "rank": fmean(places[table][name] for table in tables) if name in complete else None,
            "cpu_seconds": geometric_mean([seconds[t][name] for t in tables]) if name in complete else None,
            "mean_gap_to_td": fmean(gap.values()) if (gap := gaps(results, name, [TD])) else None,
            "worst_gap_to_td_s": worst(gaps(results, name, [TD_S])),
            "worst_gap_to_trees": worst(gaps(results, name, TREES)),
            "share_of_td": share_of_time(results, name, TD),
        }
        for name in contenders
    ]


def groups(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    """The groups of tables that differ from those before them, with their results."""
    found: list[tuple[str, list[Result]]] = []
    for title, belongs in GROUPS:
        inside = [result for result in results if belongs(result)]
        if inside and all(inside != before for _, before in found):
            found.append((title, inside))
    return found
