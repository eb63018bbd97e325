"""A matplotlib figure as a part of a page: its colours are the page's, its text stays text, its names are its own."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from html import escape
from typing import Any

from ..plots.style import COLOURS, GRID, INK, MUTED, PAPER

VARIABLES = {
    **{colour.lower(): f"var(--c{i})" for i, colour in enumerate(COLOURS)},
    INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--line)", PAPER: "var(--paper)",
}  # fmt: skip
DATELESS = {"Date": None, "Creator": None, "Format": None, "Type": None}


def inline(figure: Any, name: str, label: str, tips: Mapping[str, str] | None = None) -> str:
    """The figure as an <svg>. name: before each of its ids; label: in words; tips: for marks, by their gid."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", facecolor="none", metadata=DATELESS)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<style type="text/css">.*?</style>', "", text, flags=re.DOTALL)  # it would hold for the whole page
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    head = f'<svg {box[0]} role="img" aria-label="{escape(label)}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    text = re.sub(r"<svg[^>]*>", lambda _: head, text, count=1)
    for gid, tip in (tips or {}).items():
        text = text.replace(f'<g id="{gid}">', f'<g id="{gid}"><title>{escape(tip)}</title>', 1)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#|url\(#', lambda found: f"{found[0]}{name}-", text)
    text = text.replace("'DejaVu Sans', sans-serif", "var(--font)").replace("'DejaVu Sans'", "var(--font)")
    return re.sub("#[0-9a-f]{6}", lambda found: VARIABLES.get(found[0], found[0]), text)
