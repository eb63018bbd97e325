"""Options of named data sets: their ranges, and how they are read from text."""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass

from kernels.spelling import did_you_mean


@dataclass(frozen=True)
class Option:
    """A number with a range. A whole `lowest` means whole numbers; default None means "all there are"."""

    default: int | float | None
    lowest: int | float
    highest: int | float

    @property
    def expected(self) -> str:
        """What may be given, in words."""
        kind = "a whole number" if isinstance(self.lowest, int) else "a number"
        return f"{kind} from {self.lowest:g} to {self.highest:.10g}"

    def read(self, value: object) -> int | float:
        """The number in `value`, which may be text.

        Raises:
            ValueError: not a number of the right kind, or out of range; the caller says which option.
        """
        number = _whole(value) if isinstance(self.lowest, int) else _real(value)
        if not self.lowest <= number <= self.highest:
            raise ValueError(value)
        return number


def _whole(value: object) -> int:
    if isinstance(value, str):
        return int(value)
    if isinstance(value, bool):
        raise ValueError(value)
    try:
        return operator.index(value)  # type: ignore[arg-type]  # whatever has __index__: NumPy's integers too
    except TypeError:
        raise ValueError(value) from None


def _real(value: object) -> float:
    if isinstance(value, bool):
        raise ValueError(value)
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever has __float__
    except (TypeError, OverflowError):
        raise ValueError(value) from None
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def split_name(text: str) -> tuple[str, dict[str, object]]:
    """The name and the options in "name" or "name:option=value,option=value".

    Raises:
        ValueError: an option without a value, or given twice.
    """
    name, colon, rest = text.partition(":")
    options: dict[str, object] = {}
    for part in rest.split(",") if colon else ():
        option, equals, value = (piece.strip() for piece in part.partition("="))
        if not (option and equals and value):
            raise ValueError(f"{text!r}: after the colon come options as option=value,option=value, got {part!r}")
        if option in options:
            raise ValueError(f"{text!r}: option {option!r} is given twice")
        options[option] = value
    return name.strip(), options


def read_options(name: str, known: Mapping[str, Option], given: Mapping[str, object]) -> dict[str, int | float | None]:
    """A value for every known option: the one given, else its default.

    Raises:
        ValueError: an option that is not known, or a value that it does not take.
    """
    values: dict[str, int | float | None] = {option: known[option].default for option in known}
    for option, value in given.items():
        if option not in known:
            has = did_you_mean(option, known) if known else "it has none"
            raise ValueError(f"{name}: unknown option {option!r}: {has}")
        try:
            values[option] = known[option].read(value)
        except ValueError:
            raise ValueError(f"{name}: option {option!r} must be {known[option].expected}, got {value!r}") from None
    return values
