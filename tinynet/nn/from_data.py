"""Initial weights and biases from data, layer by layer."""

from __future__ import annotations

from numpy.typing import ArrayLike

from .. import functional as F
from ..checks import check_positive
from ..tensor import Tensor, no_grad
from .containers import Residual, Sequential
from .init import bias_from_data
from .layers import Linear
from .module import Module


def initialise_from_data(model: Module, X: ArrayLike, points: int = 5) -> None:
    """weight_j /= std of (x weight)_j, then bias_j = -(a mean of some (x weight)_j): each Linear after those before it.

    x is what the layer gets from X; a unit that gets the same from all rows keeps its weights. The mean is that of
    ``nn.init.bias_from_data``, over so many points. RealMLP-TD begins so (Holzmueller et al. 2024, arXiv 2407.04491:
    weight_init_mode std, bias_init_mode he+5). Only layers in Sequential and Residual are reached; others pass data on.

    Args:
        model: in evaluation mode while data pass through it; its weights are changed in place.
        X: (rows, features); some thousand rows are enough.
        points: rows of which a bias is a mean.

    Raises:
        ValueError: X has no rows.
    """
    check_positive("points", points)
    parameter = next(iter(model.parameters()), None)
    x = Tensor(X, dtype=None if parameter is None else parameter.dtype)
    if x.ndim != 2 or not len(x):
        raise ValueError(f"X has shape {x.shape}, expected (rows, features) with at least one row")
    modes = [(module, module.training) for _, module in model.named_modules()]
    model.eval()
    try:
        with no_grad():
            _through(model, x, points)
    finally:
        for module, mode in modes:
            module.training = mode


def _through(module: Module, x: Tensor, points: int) -> Tensor:
    """What the module makes of x, after its layers were initialised."""
    if isinstance(module, Sequential):
        for inner in module.modules:
            x = _through(inner, x, points)
        return x
    if isinstance(module, Residual):
        return F.add(x, _through(module.inner, x, points))
    if isinstance(module, Linear):
        products = F.matmul(x, module.weight).numpy()
        spread = products.std(axis=0)
        spread[spread <= 1e-6 * abs(products).max(axis=0)] = 1  # the same from all rows, but for rounding
        module.weight.data /= spread
        if module.bias is not None:
            module.bias.data[...] = bias_from_data(products / spread, points)
    found: Tensor = module(x)
    return found
