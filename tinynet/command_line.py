"""The command's entry point, ``tinynet.command_line:main``; what it does is in ``tinynet.command``."""

from .command.command_line import main

__all__ = ["main"]
