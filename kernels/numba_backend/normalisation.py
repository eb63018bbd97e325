"""Layer and batch normalisation with their gradients. Layers go by rows, batches by blocks of columns."""

from __future__ import annotations

import math

from .reductions import column_sum, row_sum
from .simd import sqrt, store_masked, sum_lanes
from .words import advance, columns, inlined, number, pointer, rows, share, stride_bytes


def layer_norm(f):
    """Operands: x, gain, bias, eps, out, mean, rstd."""
    total_of, size, lanes = row_sum(f), f.bits // 8, f.lanes

    @inlined
    def centred_squares(x, mean, count):
        total = f(0.0)
        for j in range(0, count, lanes):
            live = f.first_lanes(count - j)
            d = f.load_masked(x, j, live, mean) - mean
            total = total + d * d
        return sum_lanes(total)

    def kernel(words, thread, threads):
        x, gain, bias = pointer(f, words, 0), pointer(f, words, 1), pointer(f, words, 2)
        out, means, rstds, count = pointer(f, words, 4), pointer(f, words, 5), pointer(f, words, 6), columns(words, 0)
        first, last = share(rows(words, 0), thread, threads, 1)
        for i in range(first, last):
            source, target = (
                advance(x, i * stride_bytes(words, 0) // size),
                advance(out, i * stride_bytes(words, 4) // size),
            )
            means[i] = total_of(source, count) / count
            mean = means[i]
            rstds[i] = 1.0 / math.sqrt(centred_squares(source, mean, count) / count + number(words, 3))
            rstd = rstds[i]
            for j in range(0, count, lanes):
                live = f.first_lanes(count - j)
                x_hat = (f.load_masked(source, j, live) - mean) * rstd
                store_masked(target, j, f.load_masked(gain, j, live) * x_hat + f.load_masked(bias, j, live), live)

    return kernel


def layer_norm_gradient(f):
    """Operands: grad, x, gain, mean, rstd, out, gain_gradient, bias_gradient."""
    size, lanes, sums = f.bits // 8, f.lanes, column_sum(f)

    @inlined
    def row(g, x, gain, mean, rstd, out, count):
        """The gradient with respect to one row of x."""
        plain, along = f(0.0), f(0.0)
        for j in range(0, count, lanes):
            live = f.first_lanes(count - j)
            h = f.load_masked(g, j, live) * f.load_masked(gain, j, live)
            plain, along = plain + h, along + h * ((f.load_masked(x, j, live) - mean) * rstd)
        mean_h, mean_along = sum_lanes(plain) / count, sum_lanes(along) / count
        for j in range(0, count, lanes):
            live = f.first_lanes(count - j)
            h = f.load_masked(g, j, live) * f.load_masked(gain, j, live)
            x_hat = (f.load_masked(x, j, live) - mean) * rstd
            store_masked(out, j, (h - mean_h - x_hat * mean_along) * rstd, live)

    def kernel(words, thread, threads):
        grad, x, gain = pointer(f, words, 0), pointer(f, words, 1), pointer(f, words, 2)
        means, rstds, out = pointer(f, words, 3), pointer(f, words, 4), pointer(f, words, 5)
        gain_gradient, count = pointer(f, words, 6), columns(words, 0)
        grad_row, x_row = stride_bytes(words, 0) // size, stride_bytes(words, 1) // size
        first, last = share(rows(words, 0), thread, threads, 1)
        for i in range(first, last):
            target = advance(out, i * stride_bytes(words, 5) // size)
            row(advance(grad, i * grad_row), advance(x, i * x_row), gain, means[i], rstds[i], target, count)
        first, last = share(count, thread, threads, 4 * lanes)
        for j in range(first, last, lanes):
            live = f.first_lanes(last - j)
            total = f(0.0)
            for i in range(rows(words, 0)):
                x_hat = (f.load_masked(x, i * x_row + j, live) - means[i]) * rstds[i]
                total = total + f.load_masked(grad, i * grad_row + j, live) * x_hat
            store_masked(gain_gradient, j, total, live)
        sums(grad, grad_row, rows(words, 0), first, last, pointer(f, words, 7))

    return kernel


def batch_norm(f):
    """Operands: x, gain, bias, running_mean, running_variance, momentum, eps, out, mean, rstd."""
    size, lanes = f.bits // 8, f.lanes

    def kernel(words, thread, threads):
        x, gain, bias = pointer(f, words, 0), pointer(f, words, 1), pointer(f, words, 2)
        running_mean, running_variance = pointer(f, words, 3), pointer(f, words, 4)
        momentum, eps, height = f(number(words, 5)), f(number(words, 6)), rows(words, 0)
        kept, unbiased = f(1.0 - number(words, 5)), f(height / max(height - 1, 1))
        out, means, rstds = pointer(f, words, 7), pointer(f, words, 8), pointer(f, words, 9)
        x_row, out_row = stride_bytes(words, 0) // size, stride_bytes(words, 7) // size
        first, last = share(columns(words, 0), thread, threads, 4 * lanes)
        for j in range(first, last, lanes):
            live = f.first_lanes(last - j)
            total = f(0.0)
            for i in range(height):
                total = total + f.load_masked(x, i * x_row + j, live)
            mean, squares = total / height, f(0.0)
            for i in range(height):
                d = f.load_masked(x, i * x_row + j, live) - mean
                squares = squares + d * d
            variance = squares / height
            rstd = 1.0 / sqrt(variance + eps)
            scale, shift = f.load_masked(gain, j, live), f.load_masked(bias, j, live)
            for i in range(height):
                x_hat = (f.load_masked(x, i * x_row + j, live) - mean) * rstd
                store_masked(out, i * out_row + j, scale * x_hat + shift, live)
            store_masked(means, j, mean, live)
            store_masked(rstds, j, rstd, live)
            old_mean, old_variance = f.load_masked(running_mean, j, live), f.load_masked(running_variance, j, live)
            store_masked(running_mean, j, kept * old_mean + momentum * mean, live)
            store_masked(running_variance, j, kept * old_variance + momentum * (variance * unbiased), live)

    return kernel


def batch_norm_gradient(f):
    """Operands: grad, x, gain, mean, rstd, out, gain_gradient, bias_gradient."""
    size, lanes = f.bits // 8, f.lanes

    def kernel(words, thread, threads):
        grad, x, gain, means = pointer(f, words, 0), pointer(f, words, 1), pointer(f, words, 2), pointer(f, words, 3)
        rstds, out, gain_gradient = pointer(f, words, 4), pointer(f, words, 5), pointer(f, words, 6)
        bias_gradient, height = pointer(f, words, 7), rows(words, 0)
        grad_row, x_row = stride_bytes(words, 0) // size, stride_bytes(words, 1) // size
        out_row = stride_bytes(words, 5) // size
        first, last = share(columns(words, 0), thread, threads, 4 * lanes)
        for j in range(first, last, lanes):
            live = f.first_lanes(last - j)
            mean, rstd = f.load_masked(means, j, live), f.load_masked(rstds, j, live)
            plain, along = f(0.0), f(0.0)
            for i in range(height):
                g = f.load_masked(grad, i * grad_row + j, live)
                plain = plain + g
                along = along + g * ((f.load_masked(x, i * x_row + j, live) - mean) * rstd)
            mean_g, mean_along, scale = plain / height, along / height, f.load_masked(gain, j, live) * rstd
            for i in range(height):
                x_hat = (f.load_masked(x, i * x_row + j, live) - mean) * rstd
                centred = f.load_masked(grad, i * grad_row + j, live) - mean_g - x_hat * mean_along
                store_masked(out, i * out_row + j, centred * scale, live)
            store_masked(gain_gradient, j, along, live)
            store_masked(bias_gradient, j, plain, live)

    return kernel


def batch_norm_inference(f):
    """Operands: x, gain, bias, running_mean, running_variance, eps, out."""
    size, lanes = f.bits // 8, f.lanes

    def kernel(words, thread, threads):
        x, gain, bias, means = pointer(f, words, 0), pointer(f, words, 1), pointer(f, words, 2), pointer(f, words, 3)
        variances, eps, out = pointer(f, words, 4), f(number(words, 5)), pointer(f, words, 6)
        x_row, out_row = stride_bytes(words, 0) // size, stride_bytes(words, 6) // size
        first, last = share(columns(words, 0), thread, threads, 4 * lanes)
        for j in range(first, last, lanes):
            live = f.first_lanes(last - j)
            mean, shift = f.load_masked(means, j, live), f.load_masked(bias, j, live)
            rstd = 1.0 / sqrt(f.load_masked(variances, j, live) + eps)
            scale = f.load_masked(gain, j, live)
            for i in range(rows(words, 0)):
                x_hat = (f.load_masked(x, i * x_row + j, live) - mean) * rstd
                store_masked(out, i * out_row + j, x_hat * scale + shift, live)

    return kernel


BUILDERS = {
    "layer_norm": layer_norm,
    "layer_norm_gradient": layer_norm_gradient,
    "batch_norm": batch_norm,
    "batch_norm_gradient": batch_norm_gradient,
    "batch_norm_inference": batch_norm_inference,
}
