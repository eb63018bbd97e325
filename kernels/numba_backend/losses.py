"""Losses with their gradients, one row after the other while it is in the cache."""

from __future__ import annotations

import math

from . import simd
from .elementwise import sign
from .reductions import row_max
from .rows import counting_from, exponentials
from .simd import select, staged, store_masked, sum_lanes, vector
from .words import advance, columns, inlined, number, pointer, rows, share, stride_bytes


def softmax_cross_entropy(f):
    """Operands: logits, labels, weights or nothing, smoothing, scale, out, gradient."""
    largest_of, fill, size, lanes, numbers = row_max(f), exponentials(f), f.bits // 8, f.lanes, vector("int64", 1)
    positions = f.integer

    @inlined
    def sum_below(x, largest, count):
        """The sum of x_j - largest."""
        total = f(0.0)
        for j in range(0, count, lanes):
            live = f.first_lanes(count - j)
            total = total + select(live, f.load_masked(x, j, live) - largest, 0.0)
        return sum_lanes(total)

    def kernel(words, thread, threads):
        logits, labels, weights = pointer(f, words, 0), pointer(numbers, words, 1), pointer(f, words, 2)
        smoothing, scale = number(words, 3), number(words, 4)
        out, gradient, count = pointer(f, words, 5), pointer(f, words, 6), columns(words, 0)
        first, last = share(rows(words, 0), thread, threads, 1)
        for i in range(first, last):
            x = advance(logits, i * stride_bytes(words, 0) // size)
            slope = advance(gradient, i * stride_bytes(words, 6) // size)
            factor = scale * weights[i] if columns(words, 2) > 0 else scale
            largest, label = largest_of(x, count), labels[i]
            below = x[label] - largest
            total = fill(x, largest, slope, count)
            log_total = math.log(total)
            loss = (1.0 - smoothing) * (log_total - below)
            if smoothing > 0.0:
                loss += smoothing * (log_total - sum_below(x, largest, count) / count)
            out[i] = factor * loss
            hit, miss = f(1.0 - smoothing + smoothing / count), f(smoothing / count)
            for j in range(0, count, lanes):
                live = f.first_lanes(count - j)
                expected = select(counting_from(positions, j) == label, hit, miss)
                store_masked(slope, j, (f.load_masked(slope, j, live) / total - expected) * factor, live)

    return kernel


def elementwise_loss(loss, slope, parameter=False):
    """Operands: z, target, weights or nothing, scale[, parameter], out, gradient."""
    out_operand = 5 if parameter else 4

    @staged
    def value(z, t, p):
        return loss(z, t, p) if parameter else loss(z, t)

    @staged
    def derivative(z, t, p):
        return slope(z, t, p) if parameter else slope(z, t)

    def build(f):
        size, lanes, gradient_operand = f.bits // 8, f.lanes, out_operand + 1

        def kernel(words, thread, threads):
            prediction, target, weights = pointer(f, words, 0), pointer(f, words, 1), pointer(f, words, 2)
            scale, p, count = number(words, 3), f(number(words, 4)), columns(words, 0)
            out, gradient = pointer(f, words, out_operand), pointer(f, words, gradient_operand)
            first, last = share(rows(words, 0), thread, threads, 1)
            for i in range(first, last):
                z, t = (
                    advance(prediction, i * stride_bytes(words, 0) // size),
                    advance(target, i * stride_bytes(words, 1) // size),
                )
                row = advance(gradient, i * stride_bytes(words, gradient_operand) // size)
                factor = scale * weights[i] if columns(words, 2) > 0 else scale
                total = f(0.0)
                for j in range(0, count, lanes):
                    live = f.first_lanes(count - j)
                    a, b = f.load_masked(z, j, live), f.load_masked(t, j, live)
                    total = total + select(live, value(a, b, p), 0.0)
                    store_masked(row, j, derivative(a, b, p) * factor, live)
                out[i] = factor * sum_lanes(total)

        return kernel

    return build


def clipped(d, delta):
    return simd.minimum(simd.maximum(d, -delta), delta)


BUILDERS = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "sigmoid_cross_entropy": elementwise_loss(lambda z, t: simd.softplus(z) - t * z, lambda z, t: simd.sigmoid(z) - t),
    "squared_error": elementwise_loss(lambda z, t: (z - t) * (z - t), lambda z, t: (z - t) * 2.0),
    "absolute_error": elementwise_loss(lambda z, t: abs(z - t), lambda z, t: sign(z - t)),
    "huber": elementwise_loss(
        # With c the clipped difference d, both branches are c (d - c / 2).
        lambda z, t, delta: clipped(z - t, delta) * ((z - t) - 0.5 * clipped(z - t, delta)),
        lambda z, t, delta: clipped(z - t, delta),
        parameter=True,
    ),
    "poisson_nll": elementwise_loss(lambda z, t: simd.exp(z) - t * z, lambda z, t: simd.exp(z) - t),
}
