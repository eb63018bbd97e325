"""Tables as they come: read, described column by column, and encoded into numbers for a net.

Everything here is imported when it is first asked for: polars and scikit-learn take a second together.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinynet.tables.columns import Column, columns_text, describe_columns
    from tinynet.tables.encoder import TableEncoder
    from tinynet.tables.frames import as_frame
    from tinynet.tables.reading import read_table
    from tinynet.tables.targets import read_target

__all__ = ["Column", "TableEncoder", "as_frame", "columns_text", "describe_columns", "read_table", "read_target"]

_HOMES = {
    "Column": "columns", "columns_text": "columns", "describe_columns": "columns", "TableEncoder": "encoder",
    "as_frame": "frames", "read_table": "reading", "read_target": "targets",
}  # fmt: skip

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """A public name, from the module that has it."""
        if name in _HOMES:
            return getattr(import_module(f"tinynet.tables.{_HOMES[name]}"), name)
        raise AttributeError(f"module 'tinynet.tables' has no attribute {name!r}")
