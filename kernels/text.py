"""Tables and numbers as text."""

from __future__ import annotations

from collections.abc import Sequence

UNITS = ("", "k", "M", "G", "T")
BLANK = ("", "-")


def scaled(number: float) -> str:
    """A number with at most three digits and a decimal prefix."""
    for unit in UNITS:
        if number < 1000 or unit == UNITS[-1]:
            return f"{number:.3g}{unit}"
        number /= 1000
    raise AssertionError


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as columns under a header and a rule; columns of numbers flush right."""
    header, *body = rows
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    numeric = [all(row[column][:1].isdigit() or row[column] in BLANK for row in body) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = zip(row, widths, numeric, strict=True)
        return "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in cells).rstrip()

    return "\n".join([line(header), "-" * (sum(widths) + 2 * len(widths) - 2), *map(line, body)])
