"""What all pictures share: colours, fonts, sizes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from kernels.program import FORWARD, OPTIMIZER, Profile

from ..files import write_atomically

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, MUTED, GRID, PAPER = "#1a1c1f", "#5d6268", "#dcdee1", "#fefefe"
GROUPS = {FORWARD: (COLOURS[0], "o"), "dX": (COLOURS[2], "D"), "dW": (COLOURS[1], "s"), OPTIMIZER: (COLOURS[3], "^")}
"""Colour and mark of what an instruction computes."""

WIDE, NARROW = 9.0, 3.7  # inches: a desktop's column, a phone
ENDINGS = (".png", ".svg", ".pdf")


def require_matplotlib() -> None:
    """Raises ImportError with what to install."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("a plot needs matplotlib: pip install 'tinynet[plot]'") from None


def check_picture(name: str, path: Path) -> None:
    """Raises ValueError unless the path ends as a picture's does."""
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{name} is {str(path)!r}, expected a name that ends in .png, .svg or .pdf")


def write_picture(figure: Any, path: Path) -> None:
    """Writes the figure in the format of the path's ending."""
    content = BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower(), dpi=130)
    write_atomically(path, content.getvalue())


@contextmanager
def style() -> Iterator[None]:
    """Settings under which a picture is drawn and written. Text in an SVG stays text; a $ is no mathematics."""
    import matplotlib

    with matplotlib.rc_context(
        {
            "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9,
            "axes.titlesize": 10, "legend.fontsize": 8.5,
            "legend.frameon": False, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED,
            "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
            "axes.grid": True, "grid.color": GRID, "axes.axisbelow": True, "axes.spines.top": False,
            "axes.spines.right": False, "axes.facecolor": "none", "figure.facecolor": PAPER, "svg.fonttype": "none",
            "text.parse_math": False,
        }
    ):  # fmt: skip
        yield


def new_figure(width: float, height: float) -> Any:
    """A figure that no window and no state knows of; inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend_of_groups(figure: Any, profile: Profile, marks: bool, *others: Any) -> None:
    """Below the picture: the groups in use, and whatever else has a label."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    present = {row.group for row in profile.rows}
    handles: list[Any] = [
        Line2D([], [], color=colour, marker=mark, linestyle="none", label=group)
        if marks
        else Patch(color=colour, label=group)
        for group, (colour, mark) in GROUPS.items()
        if group in present
    ]
    columns = 6 if figure.get_figwidth() > NARROW else 3
    figure.legend(handles=[*handles, *others], loc="outside lower center", ncols=columns, columnspacing=1.2)
