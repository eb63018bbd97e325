"""Rows that do not fit into memory: files and other sources that are read in blocks."""

from tinynet.data.sources.scanning import as_source, is_source, scan
from tinynet.data.sources.source import Source

__all__ = ["Source", "as_source", "is_source", "scan"]
