"""Who takes part: each makes an unfitted scikit-learn estimator that takes the frame as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Self

import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from .data import CLASSIFICATION, REGRESSION, Data

SUFFIX = {CLASSIFICATION: "Classifier", REGRESSION: "Regressor"}
BLANK = "(blank)"
LEAST = 10  # rows of a level that gets a one-hot column of its own
MOST_LEVELS = 255  # that HistGradientBoosting takes in a column


@dataclass(frozen=True)
class Setting:
    """What an estimator is made for."""

    data: Data
    threads: int
    seed: int

    def estimator(self, module: str, name: str, **parameters: Any) -> Any:
        """A library's classifier or regressor, as the task wants it; it is imported now."""
        return getattr(import_module(module), name + SUFFIX[self.data.task])(**parameters)


@dataclass(frozen=True)
class Contender:
    """One who takes part, if the module it needs is there.

    compiles: whether code is compiled for a table that another table need not have had compiled.
    """

    name: str
    needs: str
    make: Callable[[Setting], Any]
    compiles: bool = False

    def is_installed(self) -> bool:
        """Whether its module can be found."""
        try:
            return find_spec(self.needs) is not None
        except ModuleNotFoundError:  # of the package that the module would be in
            return False


# ---- what comes before an estimator --------------------------------------------------------------------------------


class FrequentLevels(TransformerMixin, BaseEstimator):
    """Keeps the levels of each category column that are most frequent where it is fitted; the others become blank."""

    def __init__(self, most: int):
        self.most = most

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Looks at the columns that have more levels than that."""
        columns = X.select_dtypes("category")
        self.levels_ = {
            name: column.value_counts().index[: self.most].astype(object)
            for name, column in columns.items()
            if len(column.cat.categories) > self.most
        }
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The frame with those levels only."""
        return X.assign(**{name: X[name].cat.set_categories(levels) for name, levels in self.levels_.items()})


def blanks_as_level(X: pd.DataFrame) -> pd.DataFrame:
    """Categories as text, with blanks as a level of their own."""
    categories = X.select_dtypes("category")
    return X.assign(**{name: column.astype(object).fillna(BLANK) for name, column in categories.items()})


def filled(data: Data) -> Any:
    """A frame whose numbers have no blanks: medians instead, and a column that says where they were."""
    columns = make_column_transformer(
        (SimpleImputer(add_indicator=True, strategy="median"), data.numbers),
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    return columns.set_output(transform="pandas")


def encoded(setting: Setting, estimator: Any) -> Any:
    """The usual pipeline for a net: blanks filled, numbers standardised, one-hot, the target standardised too."""
    numbers = make_pipeline(SimpleImputer(add_indicator=True, strategy="median"), StandardScaler())
    one_hot = OneHotEncoder(min_frequency=LEAST, handle_unknown="infrequent_if_exist", sparse_output=False)
    columns = make_column_transformer((numbers, setting.data.numbers), (one_hot, setting.data.categories))
    pipeline = make_pipeline(columns, estimator)
    if setting.data.task == CLASSIFICATION:
        return pipeline
    return TransformedTargetRegressor(pipeline, transformer=StandardScaler())


# ---- those who take part -------------------------------------------------------------------------------------------


def hist_gradient_boosting(setting: Setting) -> Any:
    own = {"categorical_features": "from_dtype", "random_state": setting.seed}
    boosting = setting.estimator("sklearn.ensemble", "HistGradientBoosting", **own)
    return make_pipeline(FrequentLevels(MOST_LEVELS), boosting)


def lightgbm(setting: Setting) -> Any:
    return setting.estimator("lightgbm", "LGBM", n_jobs=setting.threads, random_state=setting.seed, verbose=-1)


def catboost(setting: Setting) -> Any:
    boosting = setting.estimator(
        "catboost", "CatBoost", cat_features=setting.data.categories, thread_count=setting.threads,
        random_state=setting.seed, verbose=False, allow_writing_files=False,
    )  # fmt: skip
    return make_pipeline(FunctionTransformer(blanks_as_level), boosting)


def sklearn_mlp(setting: Setting) -> Any:
    return encoded(setting, setting.estimator("sklearn.neural_network", "MLP", random_state=setting.seed))


def tinynet_mlp(setting: Setting) -> Any:
    own = {"threads": setting.threads, "random_state": setting.seed}
    return encoded(setting, setting.estimator("tinynet", "MLP", **own))


def realmlp(name: str) -> Callable[[Setting], Any]:
    """RealMLP as its authors wrote it."""

    def make(setting: Setting) -> Any:
        own = {"device": "cpu", "n_threads": setting.threads, "random_state": setting.seed}
        return make_pipeline(filled(setting.data), setting.estimator("pytabkit", f"{name}_", **own))

    return make


def tinynet_tabular(**parameters: Any) -> Callable[[Setting], Any]:
    """The estimators for tables, with these parameters and defaults otherwise."""

    def make(setting: Setting) -> Any:
        own = {"threads": setting.threads, "random_state": setting.seed, **parameters}
        return setting.estimator("tinynet.tabular", "Tabular", **own)

    return make


HISTOGRAM, LIGHTGBM, TD_S, TD = "HistGradientBoosting", "LightGBM", "RealMLP-TD-S", "RealMLP-TD"
CONTENDERS = {contender.name: contender for contender in (
    Contender(HISTOGRAM, "sklearn", hist_gradient_boosting),
    Contender(LIGHTGBM, "lightgbm", lightgbm),
    Contender("CatBoost", "catboost", catboost),
    Contender("sklearn-MLP", "sklearn", sklearn_mlp),
    Contender(TD_S, "pytabkit", realmlp("RealMLP_TD_S")),
    Contender(TD, "pytabkit", realmlp("RealMLP_TD")),
    Contender("tinynet-MLP", "tinynet", tinynet_mlp, compiles=True),
    Contender("tinynet-Tabular", "tinynet.tabular", tinynet_tabular(), compiles=True),
    Contender("tinynet-Tabular-5", "tinynet.tabular", tinynet_tabular(n_members=5), compiles=True),
)}  # fmt: skip
VARIANTS = {name: Contender(name, "tinynet.tabular", tinynet_tabular(**own), compiles=True) for name, own in {
    "no-embedding": {"embed_numbers": False},
    "all-levels": {"min_frequency": 1},
    "all-waves": {"patience": 1_000_000},
    "no-dropout": {"dropout": 0.0},
    "dropout-0.3": {"dropout": 0.3},
    "decay-0.02": {"weight_decay": 0.02},
    "width-64": {"hidden_layer_sizes": (64, 64, 64)},
    "width-256": {"hidden_layer_sizes": (256, 256, 256)},
    "batch-128": {"batch_size": 128},
    "mish": {"activation": "mish"},
    "selu": {"activation": "selu"},
    "members-2": {"n_members": 2},
    "members-4": {"n_members": 4},
}.items()}  # fmt: skip
"""tinynet-Tabular with one thing changed: what each part brings and costs."""
KNOWN = CONTENDERS | VARIANTS
