"""The page: its head, its sections in order, the results as data. It loads nothing and runs nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..experiments.experiment import Run, fastest_profiled, other_ceilings, results
from ..files import printable, write_atomically
from ..plots.style import style
from ..version import __version__
from . import sections
from .html import section

MOST_NAMED = 3  # runs in the title
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write_report(runs: Sequence[Run], path: Path, command: str) -> None:
    """Writes the runs as one file of HTML. command: what made it. Needs matplotlib."""
    write_atomically(path, page(runs, command).encode())


def page(runs: Sequence[Run], command: str) -> str:
    """The page as text."""
    document = results(runs)
    with style():
        found = _sections(runs, command)
    labels = ", ".join(run.label for run in runs) if len(runs) <= MOST_NAMED else f"{len(runs)} ways to train"
    title = f"{runs[0].dataset}: {labels}"
    links = "".join(f'<li><a href="#{name}">{escape(heading)}</a></li>' for name, heading, _ in found)
    body = "".join(section(name, heading, content) for name, heading, content in found)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} - tinynet</title>
<link rel="icon" href="data:,">
<style>{files(__package__).joinpath("style.css").read_text()}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the results</a>
<header><h1>{escape(title)}</h1>{sections.introduction(runs)}<nav aria-label="Contents"><ul>{links}</ul></nav></header>
<main id="main" tabindex="-1">{body}</main>
<footer><p>tinynet {escape(__version__)}. This page is one file: it loads nothing, and its numbers are those of --json,
which it holds as well.</p></footer>
<script type="application/json" id="results">{_data(document)}</script>
</body>
</html>
"""


def _data(document: dict[str, Any]) -> str:
    """JSON in which no text can end the element that holds it."""
    return json.dumps(document).replace("<", "\\u003c")


def _sections(runs: Sequence[Run], command: str) -> list[tuple[str, str, str]]:
    """Name, heading and content of each."""
    found = [("loss", "Loss", sections.losses(runs))]
    if len(runs) > 1:
        on_ladder = all(run.rung is not None for run in runs)
        found.append(("ladder", "Ladder", sections.ladder(runs)) if on_ladder else
                     ("comparison", "Comparison", sections.comparison(runs)))  # fmt: skip
    run = fastest_profiled(runs)
    if run is None or run.profile is None:
        found.append(("step", "A step", sections.no_profile(runs)))
    else:
        others = other_ceilings(run.profile)
        found += [
            ("roofline", "Roofline", sections.roofline(run, run.profile, others)),
            ("timeline", "A step on each thread", sections.timeline(run, run.profile)),
            ("listing", "The step, kernel by kernel", sections.listing(run, run.profile)),
        ]
    found.append(("machine", "Machine", sections.machine()))
    found.append(("command", "Do it again", sections.reproduce(printable(command))))
    return found
