"""Data sets that scikit-learn downloads once and keeps in its data home."""

import warnings
from collections.abc import Callable
from http.client import HTTPException
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.environment import DATA_HOME, data_home


class DatasetUnavailable(OSError):
    """A data set that is neither on this computer nor can be downloaded now."""


class Found(NamedTuple):
    """What scikit-learn has: features (n, d), target (n,) or (n, outputs), and names of the features if it has any."""

    features: NDArray[Any]
    target: NDArray[Any]
    feature_names: tuple[str, ...] = ()


def covtype(samples: int | None, seed: int) -> Found:
    """Cover types 1 to 7, as codes 0 to 6."""
    found = _fetch("covtype", "fetch_covtype")
    return _draw(found._replace(target=found.target - 1), samples, seed)


def california_housing(samples: int | None, seed: int) -> Found:
    """Median values of houses, in 100,000 dollars."""
    return _draw(_fetch("california_housing", "fetch_california_housing"), samples, seed)


def olivetti_faces(samples: int | None, seed: int) -> Found:
    """Ten pictures each of 40 people, grey levels from 0 to 1."""
    return _draw(_fetch("olivetti_faces", "fetch_olivetti_faces"), samples, seed)


def mnist(samples: int | None, seed: int) -> Found:
    """The 60,000 training and 10,000 test pictures, grey levels from 0 to 255."""
    parser = "pandas" if find_spec("pandas") else "liac-arff"  # the same numbers; pandas is faster but optional
    found = _fetch("mnist", "fetch_openml", name="mnist_784", version=1, as_frame=False, parser=parser)
    return _draw(found._replace(target=found.target.astype(np.int64)), samples, seed)


def from_bunch(bunch: Any) -> Found:
    """The parts of a scikit-learn Bunch that matter here."""
    names = bunch.get("feature_names")
    return Found(bunch["data"], bunch["target"], () if names is None else tuple(map(str, names)))


def _fetch(name: str, function: str, /, **arguments: object) -> Found:
    """What a fetcher of scikit-learn returns, from its data home or else from the network.

    Raises:
        DatasetUnavailable: whatever the reason, since the remedy is the same: one successful download.
    """
    from sklearn import datasets

    fetcher: Callable[..., Any] = getattr(datasets, function)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each retry warns; the error below says it all
            return from_bunch(fetcher(n_retries=1, **arguments))
    except (OSError, HTTPException, EOFError, ValueError) as error:  # ValueError: a checksum, or OpenML's own errors
        reason = getattr(error, "reason", None) or error
        raise DatasetUnavailable(
            f"data set {name!r} is not available ({reason}): it needs network access once, for a download to "
            f"scikit-learn's data home {data_home()} (environment variable {DATA_HOME})"
        ) from error


def _draw(found: Found, samples: int | None, seed: int) -> Found:
    """`samples` of the rows, drawn without replacement and kept in order; None: all."""
    rows = len(found.features)
    if samples is None or samples >= rows:
        return found
    drawn = np.sort(np.random.default_rng(seed).choice(rows, samples, replace=False))
    return found._replace(features=found.features[drawn], target=found.target[drawn])
