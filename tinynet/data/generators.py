"""Data sets drawn at random, with scikit-learn's generators. Each returns (features, target)."""

from typing import Any, TypeAlias

from numpy.typing import NDArray

Drawn: TypeAlias = tuple[NDArray[Any], NDArray[Any]]

_LARGEST = 2 * 10**8  # numbers in one table: 1.6 GB


def moons(samples: int, noise: float, seed: int) -> Drawn:
    """Two half circles that reach into each other, plus N(0, noise^2) on both coordinates."""
    from sklearn import datasets

    return _pair(datasets.make_moons(n_samples=samples, noise=noise, random_state=seed))


def circles(samples: int, noise: float, seed: int) -> Drawn:
    """A circle of radius 1 around one of radius 0.5, plus N(0, noise^2) on both coordinates."""
    from sklearn import datasets

    return _pair(datasets.make_circles(n_samples=samples, noise=noise, factor=0.5, random_state=seed))


def blobs(samples: int, features: int, classes: int, noise: float, seed: int) -> Drawn:
    """One N(centre, noise^2 I) per class, centres uniform in [-10, 10]^features."""
    from sklearn import datasets

    _check_size("blobs", samples, features)
    _check_classes("blobs", samples, classes)
    drawn = datasets.make_blobs(samples, features, centers=classes, cluster_std=noise, random_state=seed)
    return _pair(drawn)


def classification(samples: int, features: int, classes: int, noise: float, seed: int) -> Drawn:
    """Up to two Gaussian clusters per class on corners of a hypercube; a share `noise` of labels is drawn at random.

    About half of the features are informative, half of the others linear combinations of them, the rest noise.
    """
    from sklearn import datasets

    _check_size("classification", samples, features)
    _check_classes("classification", samples, classes)
    corners_needed = (classes - 1).bit_length()  # a hypercube with a corner per class has this many dimensions
    if features < corners_needed:
        raise ValueError(
            f"classification: option 'features' must be at least {corners_needed} for {classes} classes, got {features}"
        )
    informative = max(features // 2, min(features, corners_needed + 1))
    return _pair(
        datasets.make_classification(
            n_samples=samples,
            n_features=features,
            n_informative=informative,
            n_redundant=(features - informative) // 2,
            n_classes=classes,
            n_clusters_per_class=2 if informative > corners_needed else 1,
            flip_y=noise,
            random_state=seed,
        )
    )


def regression(samples: int, features: int, noise: float, outputs: int, seed: int) -> Drawn:
    """y = x W + N(0, noise^2) with x ~ N(0, I); ten rows of W, or all when there are fewer, are not zero."""
    from sklearn import datasets

    _check_size("regression", samples, features + outputs)
    return _pair(
        datasets.make_regression(
            n_samples=samples,
            n_features=features,
            n_informative=min(10, features),
            n_targets=outputs,
            noise=noise,
            random_state=seed,
        )
    )


def friedman1(samples: int, features: int, noise: float, seed: int) -> Drawn:
    """y = 10 sin(pi x1 x2) + 20 (x3 - 1/2)^2 + 10 x4 + 5 x5 + N(0, noise^2), x uniform in [0, 1] (Friedman 1991)."""
    from sklearn import datasets

    _check_size("friedman1", samples, features)
    return _pair(datasets.make_friedman1(n_samples=samples, n_features=features, noise=noise, random_state=seed))


def _pair(drawn: Any) -> Drawn:
    features, target = drawn
    return features, target


def _check_size(name: str, samples: int, columns: int) -> None:
    if samples * columns > _LARGEST:
        raise ValueError(
            f"{name}: option 'samples' times the columns must be at most {_LARGEST}, got {samples} x {columns}"
        )


def _check_classes(name: str, samples: int, classes: int) -> None:
    if classes > samples:
        raise ValueError(f"{name}: option 'classes' must be at most the number of samples, {samples}, got {classes}")
