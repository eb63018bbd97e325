"""Layer and batch normalisation with their gradients. x_hat = (x - mean) * rstd, rstd = 1 / sqrt(variance + eps).

The variance in rstd is the biased one, the mean of (x - mean)**2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .declaration import Floats, Mutable, fused

if TYPE_CHECKING:
    from .backend import Backend


@fused("(r,c!),(c),(c)->(r,c),(r),(r)")
def layer_norm(
    backend: Backend,
    x: Floats,
    gain: Floats,
    bias: Floats,
    eps: float = 1e-5,
    *,
    out: Floats,
    mean: Floats,
    rstd: Floats,
) -> None:
    """out_ij = gain_j x_hat_ij + bias_j, mean_i and variance_i over row i (Ba et al. 2016, arXiv 1607.06450)."""
    backend.mean(x, axis=1, out=mean)
    centred = backend.subtract(x, mean[:, None])
    variance = backend.mean(backend.multiply(centred, centred), axis=1)
    backend.divide(1.0, backend.sqrt(backend.add(variance, eps)), out=rstd)
    backend.add(backend.multiply(backend.multiply(centred, rstd[:, None]), gain), bias, out=out)


@fused("(r,c!),(r,c),(c),(r),(r)->(r,c),(c),(c)")
def layer_norm_gradient(
    backend: Backend,
    grad: Floats,
    x: Floats,
    gain: Floats,
    mean: Floats,
    rstd: Floats,
    *,
    out: Floats,
    gain_gradient: Floats,
    bias_gradient: Floats,
) -> None:
    """out_ij = rstd_i (h_ij - mean_j h_ij - x_hat_ij mean_j(h_ij x_hat_ij)), h_ij = gain_j grad_ij.

    gain_gradient_j = sum_i grad_ij x_hat_ij; bias_gradient_j = sum_i grad_ij. mean and rstd are layer_norm's.
    """
    x_hat = backend.multiply(backend.subtract(x, mean[:, None]), rstd[:, None])
    _gain_and_bias(backend, grad, x_hat, gain_gradient, bias_gradient)
    h = backend.multiply(grad, gain)
    along = backend.mean(backend.multiply(h, x_hat), axis=1)
    h = backend.subtract(backend.subtract(h, backend.mean(h, axis=1)[:, None]), backend.multiply(x_hat, along[:, None]))
    backend.multiply(h, rstd[:, None], out=out)


@fused("(r!,c),(c),(c),(c),(c)->(r,c),(c),(c)")
def batch_norm(
    backend: Backend,
    x: Floats,
    gain: Floats,
    bias: Floats,
    running_mean: Mutable,
    running_variance: Mutable,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    out: Floats,
    mean: Floats,
    rstd: Floats,
) -> None:
    """out_ij = gain_j x_hat_ij + bias_j, mean_j and variance_j over column j.

    Ioffe and Szegedy 2015, arXiv 1502.03167. Updates the running statistics: running <- (1 - momentum) running +
    momentum batch, with the unbiased variance (divided by r - 1, for r = 1 by 1), as PyTorch does.
    """
    rows = x.shape[0]
    backend.mean(x, axis=0, out=mean)
    centred = backend.subtract(x, mean)
    variance = backend.mean(backend.multiply(centred, centred), axis=0)
    backend.divide(1.0, backend.sqrt(backend.add(variance, eps)), out=rstd)
    backend.add(backend.multiply(backend.multiply(centred, rstd), gain), bias, out=out)
    unbiased = backend.multiply(variance, rows / max(rows - 1, 1))
    for running, batch in ((running_mean, mean), (running_variance, unbiased)):
        backend.add(backend.multiply(running, 1.0 - momentum), backend.multiply(batch, momentum), out=running)


@fused("(r!,c),(r,c),(c),(c),(c)->(r,c),(c),(c)")
def batch_norm_gradient(
    backend: Backend,
    grad: Floats,
    x: Floats,
    gain: Floats,
    mean: Floats,
    rstd: Floats,
    *,
    out: Floats,
    gain_gradient: Floats,
    bias_gradient: Floats,
) -> None:
    """out_ij = gain_j rstd_j (grad_ij - mean_i grad_ij - x_hat_ij mean_i(grad_ij x_hat_ij)).

    gain_gradient_j = sum_i grad_ij x_hat_ij; bias_gradient_j = sum_i grad_ij. mean and rstd are batch_norm's.
    """
    rows = float(x.shape[0])
    x_hat = backend.multiply(backend.subtract(x, mean), rstd)
    _gain_and_bias(backend, grad, x_hat, gain_gradient, bias_gradient)
    along = backend.multiply(x_hat, backend.divide(gain_gradient, rows))
    centred = backend.subtract(backend.subtract(grad, backend.divide(bias_gradient, rows)), along)
    backend.multiply(centred, backend.multiply(gain, rstd), out=out)


@fused("(r,c),(c),(c),(c),(c)->(r,c)", in_place=("x",))
def batch_norm_inference(
    backend: Backend,
    x: Floats,
    gain: Floats,
    bias: Floats,
    running_mean: Floats,
    running_variance: Floats,
    eps: float = 1e-5,
    *,
    out: Floats,
) -> None:
    """out_ij = gain_j (x_ij - running_mean_j) / sqrt(running_variance_j + eps) + bias_j."""
    rstd = backend.divide(1.0, backend.sqrt(backend.add(running_variance, eps)))
    centred = backend.subtract(x, running_mean)
    backend.add(backend.multiply(backend.multiply(centred, rstd), gain), bias, out=out)


def _gain_and_bias(backend: Backend, grad: Floats, x_hat: Floats, gain_gradient: Floats, bias_gradient: Floats) -> None:
    backend.sum(backend.multiply(grad, x_hat), axis=0, out=gain_gradient)
    backend.sum(grad, axis=0, out=bias_gradient)
