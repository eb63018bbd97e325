"""What notebooks show: tables and text as HTML, without style sheets or scripts, so that any notebook has them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

BAR_PIXELS = 120


def paragraph(text: str) -> str:
    """A line of text."""
    return f"<p>{escape(text)}</p>"


def preformatted(text: str) -> str:
    """Text as it is in a terminal; it scrolls where it is wide."""
    return f'<pre style="overflow-x:auto;line-height:1.2">{escape(text)}</pre>'


def bar(share: float) -> str:
    """A bar as long as the share, a number from 0 to 1: a cell for ``table``."""
    width = round(BAR_PIXELS * min(1.0, max(0.0, share)))
    return f'<div role="img" aria-label="{share:.0%}" style="background:#3b6fb6;height:0.8em;width:{width}px"></div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table of texts; a cell that ``bar`` made is drawn."""

    def cell(text: str) -> str:
        if text.startswith('<div role="img"'):
            return f"<td>{text}</td>"
        side = "right" if text[:1].isdigit() or (text[:2].startswith("-") and text[1:2].isdigit()) else "left"
        return f'<td style="text-align:{side}">{escape(text)}</td>'

    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    heads = "".join(f'<th scope="col" style="text-align:left">{escape(text)}</th>' for text in head)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return f"<table>{above}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
