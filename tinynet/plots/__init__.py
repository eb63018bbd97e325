"""Pictures of runs. Needs matplotlib: pip install 'tinynet[plot]'."""

from .roofline import plot_roofline
from .runs import plot_runs
from .style import check_picture, require_matplotlib

__all__ = ["check_picture", "plot_roofline", "plot_runs", "require_matplotlib"]
