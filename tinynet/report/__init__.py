"""One run, or several, as a page that needs nothing else: ``train.py --report report.html``."""

from .page import write_report

__all__ = ["write_report"]
