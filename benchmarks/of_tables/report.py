"""Results as Markdown: a line a table, then a summary of each group of tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .summary import Result, groups, means, names, summary

GRIDS = (
    ("Score: AUC of classes, R2 of values; mean over the splits that all in a row have", "score", "{:.4f}", max),
    ("CPU seconds of a fit; mean over the splits that all in a row have", "cpu_seconds", "{:.2f}", min),
    ("Wall seconds of a fit; mean over the splits that all in a row have", "wall_seconds", "{:.2f}", min),
    ("Microseconds a row, predicted in blocks", "block_microseconds", "{:.2f}", min),
    ("Microseconds a row, predicted one by one", "row_microseconds", "{:,.0f}", min),
)
Found = tuple[str, float] | None
COLUMNS = (
    ("contender", "contender", "{}"),
    ("tables", "tables", "{}"),
    ("mean score", "score", "{:.4f}"),
    ("mean rank", "rank", "{:.2f}"),
    ("mean score less RealMLP-TD's", "mean_gap_to_td", "{:+.4f}"),
    ("worst gap to RealMLP-TD-S", "worst_gap_to_td_s", "{0[1]:+.4f} ({0[0]})"),
    ("worst gap to the better of LightGBM and HistGradientBoosting", "worst_gap_to_trees", "{0[1]:+.4f} ({0[0]})"),
    ("CPU s of a fit", "cpu_seconds", "{:.2f}"),
    ("over RealMLP-TD's", "share_of_td", "{:.3f}"),
)


def line(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def grid(results: Sequence[Result], title: str, value: str, form: str, best: Any) -> Iterator[str]:
    """A row for each table, a column for each contender, the best in bold."""
    contenders = names(results, "contender")
    heads = ["table", "rows x columns", *contenders]
    yield from (f"### {title}", "", line(heads), line(["---"] * len(heads)))
    for table in names(results, "table"):
        of_table = [result for result in results if result["table"] == table]
        found = means(of_table, value, names(of_table, "contender")).get(table, {})
        shown = {name: form.format(number) for name, number in found.items()}
        top = form.format(best(found.values())) if found else ""
        cells = [f"**{shown[n]}**" if shown.get(n) == top else shown.get(n, "-") for n in contenders]
        first = of_table[0]
        yield line([table + " *" * first["held_back"], f"{first['rows']:,} x {first['columns']}", *cells])
    yield ""


def summarised(results: Sequence[Result], title: str) -> Iterator[str]:
    """A row for each contender."""
    yield from (f"### Summary: {title}", "", line([column[0] for column in COLUMNS]), line(["---"] * len(COLUMNS)))
    for row in summary(results):
        yield line(["-" if row[name] is None else form.format(row[name]) for _, name, form in COLUMNS])
    yield ""


def markdown(results: Sequence[Result]) -> str:
    """All that there is to say about results of one number of threads."""
    lines = [text for one in GRIDS for text in grid(results, *one)]
    lines.append("\\* held back: no default was tuned on it\n")
    lines += [text for title, inside in groups(results) for text in summarised(inside, title)]
    return "\n".join(lines)
