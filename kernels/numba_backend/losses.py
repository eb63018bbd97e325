"""Losses with their gradients, one row after the other while it is in the cache."""

from __future__ import annotations

from . import simd
from .elementwise import sign
from .passes import number_of_rows, row_max, row_pass
from .rows import exponentials, over_rows
from .simd import exp, log, select, staged, store, store_masked, sum_lanes, vector
from .words import advance, columns, inlined, number, pointer, rows, share, stack, stride_bytes

sum_below = row_pass(lambda x, largest: (x - largest,), sums=1)
slopes = row_pass(lambda e, part, expected, factor: ((e * part - expected) * factor,))


@staged
def cross_entropy_rows(f, count, across, x, gradient, largest, at_label, factor, classes, smoothing, smoothed):
    """The rows' losses and their slopes at the labels; fills the gradient as if there were no labels.

    Smoothing asks for a pass of its own, over ``smoothed`` elements: all or none.
    """
    below, smoothing = at_label - largest, at_label.like(smoothing)
    miss = smoothing / classes
    (spread,) = sum_below(f, smoothed, across, (x,), (), (largest,))
    (total,) = exponentials(f, count, across, (x,), (gradient,), (largest,))
    log_total, part = log(total), 1.0 / total
    loss = (1.0 - smoothing) * (log_total - below) + smoothing * (log_total - spread / classes)
    slopes(f, count, across, (gradient,), (gradient,), (part, miss, factor))
    return loss * factor, (exp(below) * part - (1.0 - smoothing + miss)) * factor


def softmax_cross_entropy(f):
    """Operands: logits, labels, weights or nothing, smoothing, scale, out, gradient."""
    lanes, numbers = f.lanes, vector("int64", 1)

    @inlined
    def body(f, words, i, height, across, count, x, gradient):
        labels, weights, out = pointer(numbers, words, 1), pointer(f, words, 2), pointer(f, words, 5)
        picked, factors, step = stack(f, lanes), stack(f, lanes), 1 if across else lanes
        largest = row_max(f, count, across, x)
        for r in range(height):
            picked[r] = x[labels[i + r] * step + r]
            factors[r] = number(words, 4) * weights[i + r] if columns(words, 2) > 0 else number(words, 4)
        at_label, factor = number_of_rows(f, across, picked), number_of_rows(f, across, factors)
        smoothed = count if number(words, 3) > 0.0 else 0
        loss, slope = cross_entropy_rows(f, count, across, x, gradient, largest, at_label, factor,
                                         columns(words, 0), number(words, 3), smoothed)  # fmt: skip
        store_masked(out, i, loss, f.first_lanes(height))
        store(picked, 0, slope)
        for r in range(height):
            gradient[labels[i + r] * step + r] = picked[r]

    return over_rows(f, body, 6)


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
                slopes = advance(gradient, i * stride_bytes(words, gradient_operand) // size)
                factor = scale * weights[i] if columns(words, 2) > 0 else scale
                total = f(0.0)
                for j in range(0, count, lanes):
                    live = f.first_lanes(count - j)
                    a, b = f.load_masked(z, j, live), f.load_masked(t, j, live)
                    total = total + select(live, value(a, b, p), 0.0)
                    store_masked(slopes, j, derivative(a, b, p) * factor, live)
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
