"""Pieces of a page. Every text is escaped here, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Cell = str | tuple[float, str]
"""A text; or a number, and how it is shown."""


def shown(cell: Cell) -> str:
    """A cell's content. A number's own value, all digits of it, goes with what is shown."""
    if isinstance(cell, str):
        return escape(cell)
    value, text = cell
    return f'<data value="{value!r}">{escape(text)}</data>'


def table(caption: str, rows: Sequence[Sequence[Cell]]) -> str:
    """A header and rows whose first cell names them; wider than a phone, it scrolls in its own box."""
    header, *body = rows
    kinds = [' class="n"' if i and all(_is_number(row[i]) for row in body) else "" for i in range(len(header))]
    columns = "".join(f'<th scope="col"{kind}>{shown(cell)}</th>' for cell, kind in zip(header, kinds, strict=True))
    lines = []
    for first, *others in body:
        cells = "".join(f"<td{kind}>{shown(cell)}</td>" for cell, kind in zip(others, kinds[1:], strict=True))
        lines.append(f'<tr><th scope="row"{kinds[0]}>{shown(first)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<thead><tr>{columns}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _is_number(cell: Cell) -> bool:
    return not isinstance(cell, str) or cell[:1].isdigit() or cell in ("", "-")


def details(summary: str, content: str) -> str:
    """What opens when it is asked for."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def section(name: str, title: str, content: str) -> str:
    """A part of the page with its heading."""
    heading = f'<h2 id="{name}-title">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{heading}{content}</section>'


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def figure(wide: str, narrow: str, caption: str) -> str:
    """A picture in two widths, of which the page shows the one that fits."""
    return (
        f'<figure><div class="wide">{wide}</div><div class="narrow">{narrow}</div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
