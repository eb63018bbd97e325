"""An estimator's parameter as one row, from which its signature, its checks and its documentation are made."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass, replace
from textwrap import fill
from typing import Any, ClassVar, dataclass_transform

from sklearn.utils._param_validation import Interval

FIRST = "self"  # after what the first parameter of a signature comes


def at_least(kind: type, least: int) -> Any:
    """A number of a kind, least or more."""
    return Interval(kind, least, None, closed="left")


def above(kind: type, least: int) -> Any:
    """A number of a kind, more than least."""
    return Interval(kind, least, None, closed="neither")


@dataclass(frozen=True)
class Parameter:
    """What a parameter accepts (scikit-learn's constraints), means and is by default; its place in the signature."""

    accepts: list[Any]
    meaning: str
    default: Any
    kw_only: bool
    after: str | None
    type: str = ""


def parameter(accepts: list[Any], meaning: str, *, default: Any, kw_only: bool = True, after: str | None = None) -> Any:
    """A row, in the body of a class of Parameters: ``alpha: float = parameter(...)``.

    after: the inherited parameter that it follows in the signature, or FIRST; else it comes last.
    """
    return Parameter(accepts, meaning, default, kw_only, after)


@dataclass_transform(eq_default=False, kw_only_default=True, field_specifiers=(parameter,))
class Parameters:
    """Rows in a subclass's body become, after those it inherits, all that scikit-learn and readers ask of them.

    That is __init__ with the signature from which scikit-learn takes the parameters' names, _parameter_constraints, and
    a section of the docstring in the form in which scikit-learn's pictures of estimators look for it.
    """

    _rows: ClassVar[Mapping[str, Parameter]] = {}
    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = {name: row for name, row in vars(cls).items() if isinstance(row, Parameter)}
        if not own:
            return
        types, rows = inspect.get_annotations(cls), list(cls._rows.items())
        for name, row in own.items():
            delattr(cls, name)
            _place(rows, name, replace(row, type=_spelled(types[name])))
        cls._rows = dict(rows)
        cls._parameter_constraints = {name: row.accepts for name, row in rows}
        fields = [(name, row.type, field(default=row.default, kw_only=row.kw_only)) for name, row in rows]
        cls.__init__ = make_dataclass(cls.__name__, fields).__init__  # type: ignore[misc, method-assign]
        cls.__doc__ = f"{inspect.cleandoc(cls.__doc__ or '')}\n\n{_section(cls._rows)}"


def _place(rows: list[tuple[str, Parameter]], name: str, row: Parameter) -> None:
    names = [FIRST, *(name for name, _ in rows)]
    if name in names:
        rows[names.index(name) - 1] = name, row
    else:
        rows.insert(len(rows) if row.after is None else names.index(row.after), (name, row))


def _spelled(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _section(rows: Mapping[str, Parameter]) -> str:
    lines = ["Parameters", "----------"]
    for name, row in rows.items():
        lines += [f"{name} : {row.type}, default={row.default!r}", fill(row.meaning, 116, initial_indent="    ",
                                                                        subsequent_indent="    ")]  # fmt: skip
    return "\n".join(lines) + "\n"
