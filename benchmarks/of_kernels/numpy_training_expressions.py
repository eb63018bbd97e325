"""NumPy expressions of the losses, normalisations and optimizers; conventions as in ``numpy_expressions``."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

# ---- activations that losses need too -----------------------------------------------------------------------------


def logistic(x, out):
    """1 / (1 + e**-x), by exp, which NumPy vectorizes."""
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.reciprocal(out, out=out)


def softplus(x, out, t):
    np.absolute(x, out=t)
    np.negative(t, out=t)
    np.exp(t, out=t)
    np.log1p(t, out=t)
    np.maximum(x, 0, out=out)
    out += t


# ---- losses; timed without weights --------------------------------------------------------------------------------


def softmax_cross_entropy(logits, labels, weights, smoothing, scale, out, gradient, row, ones, index):
    np.maximum.reduce(logits, axis=1, out=row, keepdims=True)
    np.subtract(logits, row, out=gradient)
    picked = gradient[index, labels]
    np.exp(gradient, out=gradient)
    np.dot(gradient, ones, out=row[:, 0])
    np.log(row[:, 0], out=out)
    out -= picked
    out *= scale
    np.divide(scale, row, out=row)
    gradient *= row
    gradient[index, labels] -= scale


def sigmoid_cross_entropy(logits, target, weights, scale, out, gradient, t, u, ones):
    softplus(logits, t, u)
    np.multiply(target, logits, out=u)
    t -= u
    np.dot(t, ones, out=out)
    out *= scale
    logistic(logits, gradient)
    gradient -= target
    gradient *= scale


def squared_error(prediction, target, weights, scale, out, gradient):
    np.subtract(prediction, target, out=gradient)
    np.einsum("ij,ij->i", gradient, gradient, out=out)
    out *= scale
    gradient *= 2 * scale


def absolute_error(prediction, target, weights, scale, out, gradient, t, ones):
    np.subtract(prediction, target, out=gradient)
    np.dot(np.absolute(gradient, out=t), ones, out=out)
    out *= scale
    np.sign(gradient, out=gradient)
    gradient *= scale


def huber(prediction, target, weights, scale, delta, out, gradient, t, u):
    np.subtract(prediction, target, out=t)
    np.maximum(t, -delta, out=gradient)
    np.minimum(gradient, delta, out=gradient)
    t -= np.multiply(gradient, 0.5, out=u)
    np.einsum("ij,ij->i", gradient, t, out=out)
    out *= scale
    gradient *= scale


def poisson_nll(log_rate, target, weights, scale, out, gradient, t, ones):
    np.exp(log_rate, out=gradient)
    np.multiply(target, log_rate, out=t)
    np.subtract(gradient, t, out=t)
    np.dot(t, ones, out=out)
    out *= scale
    gradient -= target
    gradient *= scale


# ---- normalisation ------------------------------------------------------------------------------------------------


def inverse_root(variance, eps):
    """1 / sqrt(variance + eps) in place."""
    variance += eps
    np.sqrt(variance, out=variance)
    np.reciprocal(variance, out=variance)


def layer_norm(x, gain, bias, eps, out, mean, rstd, ones):
    np.dot(x, ones, out=mean)
    mean /= x.shape[1]
    np.subtract(x, mean[:, None], out=out)
    np.einsum("ij,ij->i", out, out, out=rstd)
    rstd /= x.shape[1]
    inverse_root(rstd, eps)
    out *= rstd[:, None]
    out *= gain
    out += bias


def layer_norm_gradient(grad, x, gain, mean, rstd, out, gain_gradient, bias_gradient, t, row, ones):
    np.subtract(x, mean[:, None], out=t)
    t *= rstd[:, None]
    np.einsum("ij,ij->j", grad, t, out=gain_gradient)
    np.add.reduce(grad, axis=0, out=bias_gradient)
    np.multiply(grad, gain, out=out)
    along = np.einsum("ij,ij->i", out, t)
    along /= x.shape[1]
    np.dot(out, ones, out=row[:, 0])
    row /= x.shape[1]
    out -= row
    t *= along[:, None]
    out -= t
    out *= rstd[:, None]


def batch_norm(x, gain, bias, running_mean, running_variance, momentum, eps, out, mean, rstd):
    rows = x.shape[0]
    np.add.reduce(x, axis=0, out=mean)
    mean /= rows
    np.subtract(x, mean, out=out)
    np.einsum("ij,ij->j", out, out, out=rstd)
    running_mean *= 1 - momentum
    running_mean += momentum * mean
    running_variance *= 1 - momentum
    running_variance += (momentum / max(rows - 1, 1)) * rstd
    rstd /= rows
    inverse_root(rstd, eps)
    out *= rstd * gain
    out += bias


def batch_norm_gradient(grad, x, gain, mean, rstd, out, gain_gradient, bias_gradient, t):
    rows = x.shape[0]
    np.subtract(x, mean, out=t)
    t *= rstd
    np.einsum("ij,ij->j", grad, t, out=gain_gradient)
    np.add.reduce(grad, axis=0, out=bias_gradient)
    np.subtract(grad, bias_gradient / rows, out=out)
    t *= gain_gradient / rows
    out -= t
    out *= gain * rstd


def batch_norm_inference(x, gain, bias, running_mean, running_variance, eps, out):
    scale = gain / np.sqrt(running_variance + eps)
    np.multiply(x, scale, out=out)
    out += bias - running_mean * scale


# ---- optimizers; timed without weight decay -----------------------------------------------------------------------


def sgd(parameter, gradient, velocity, hyper, t):
    lr, momentum, _, _ = hyper.tolist()
    velocity *= momentum
    velocity += gradient
    parameter -= np.multiply(velocity, lr, out=t)


def rmsprop(parameter, gradient, square, velocity, hyper, t):
    lr, alpha, eps, _, momentum = hyper.tolist()
    square *= alpha
    np.multiply(gradient, gradient, out=t)
    t *= 1 - alpha
    square += t
    np.sqrt(square, out=t)
    t += eps
    np.divide(gradient, t, out=t)
    velocity *= momentum
    velocity += t
    parameter -= np.multiply(velocity, lr, out=t)


def adam(parameter, gradient, first, second, hyper, decoupled, t):
    lr, beta1, beta2, eps, _, step = hyper.tolist()
    first *= beta1
    first += np.multiply(gradient, 1 - beta1, out=t)
    second *= beta2
    np.multiply(gradient, gradient, out=t)
    t *= 1 - beta2
    second += t
    np.sqrt(second, out=t)
    t *= 1 / sqrt(1 - beta2**step)
    t += eps
    np.divide(first, t, out=t)
    t *= lr / (1 - beta1**step)
    parameter -= t


TRAINING: dict[str, tuple[Any, ...]] = {
    function.__name__: (function,)
    for function in (
        softmax_cross_entropy, sigmoid_cross_entropy, squared_error, absolute_error, huber, poisson_nll, layer_norm,
        layer_norm_gradient, batch_norm, batch_norm_gradient, batch_norm_inference, sgd, rmsprop, adam,
    )
}  # fmt: skip
