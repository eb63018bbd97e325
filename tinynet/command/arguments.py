"""How arguments are read and refused: in one line, with exit status 2."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from kernels.spelling import did_you_mean

from ..checks import check_number, choose

BAD_INPUT = 2


class Parser(argparse.ArgumentParser):
    """Refuses in one sentence, without repeating the usage; for an option that there is not, with the nearest one."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = self.parse_known_args(args, namespace)
        options = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        for text in unknown:
            if text.startswith("-"):
                name = text.partition("=")[0]
                self.error(f"unknown option {name}: {did_you_mean(name, options)}")
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def option(check: Callable[[str, Any], Any], convert: Callable[[str], Any] = str) -> Callable[[str], Any]:
    """An argparse type from one of our checks, whose sentence becomes the message."""

    def parse(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = text
        try:
            return check("it", value)
        except (ValueError, TypeError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def one_of(what: str, known: Any) -> Callable[[str], str]:
    """An argparse type for one of the known names."""
    return option(lambda name, value: choose(what, value, known))


def widths(name: str, text: str) -> tuple[int, ...]:
    """128,64 -> (128, 64); empty for no hidden layer."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"{name} is {text!r}, expected widths such as 128,64")
    return tuple(int(part) for part in parts)


def share(name: str, value: Any) -> float:
    """A number strictly between 0 and 1."""
    return check_number(name, value, 1e-9, 1 - 1e-9, "a number between 0 and 1")


def column_names(name: str, text: str) -> tuple[str, ...]:
    """A,B -> ("A", "B"); as in a CSV file, a name that holds a comma is in double quotes."""
    names = tuple(part.strip() for part in next(csv.reader([text], skipinitialspace=True), ()) if part.strip())
    if not names:
        raise ValueError(f"{name} is {text!r}, expected columns' names such as age,city")
    return names


def refuse(sentence: str) -> int:
    """Says why in one line; returns the exit status."""
    print(f"tinynet: {' '.join(sentence.split())}", file=sys.stderr)
    return BAD_INPUT
