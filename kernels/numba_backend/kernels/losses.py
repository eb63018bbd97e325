"""Losses with their gradients, one row after the other while it is in the cache."""

from __future__ import annotations

from .. import simd
from ..native.calling_convention import columns, inlined, number, pointer, row, rows, share, stack
from ..simd import exp, log, staged, store, store_masked, vector
from .elementwise import sign
from .entry import ROWS, Entry, Split
from .row_passes import first_lane, number_of_rows, row_max, row_pass
from .rows import exponentials, over_rows

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
    """The entry of a loss with operands z, target, weights or nothing, scale[, parameter], out, gradient."""
    out_operand = 5 if parameter else 4
    gradient_operand = out_operand + 1

    def function(z, t, factor, p):
        p = (p,) if parameter else ()
        return slope(z, t, *p) * factor, loss(z, t, *p)

    evaluate = row_pass(function, sums=1)

    def build(f):
        def kernel(words, thread, threads):
            weights, out = pointer(f, words, 2), pointer(f, words, out_operand)
            scale, p, count = number(words, 3), number(words, 4), columns(words, 0)
            first, last = share(rows(words, 0), thread, threads, 1)
            for i in range(first, last):
                factor = f(scale * weights[i] if columns(words, 2) > 0 else scale)
                sources, gradient = (row(f, words, 0, i), row(f, words, 1, i)), row(f, words, gradient_operand, i)
                (total,) = evaluate(f, count, True, sources, (gradient,), (factor, f(p)))
                out[i] = first_lane(factor * total)

        return kernel

    return Entry(build, Split(ROWS, 0, ("i*", "i*", "*i", *("",) * (out_operand - 3), "*i", "i*")))


def quantile_error(d, quantile):
    return simd.maximum((1.0 - quantile) * d, -quantile * d)


def clipped(d, delta):
    return simd.minimum(simd.maximum(d, -delta), delta)


ENTRIES = {
    "softmax_cross_entropy": Entry(softmax_cross_entropy, Split(ROWS, 6, ("i*", "*i", "*i", "", "", "*i", "i*"))),
    "sigmoid_cross_entropy": elementwise_loss(lambda z, t: simd.softplus(z) - t * z, lambda z, t: simd.sigmoid(z) - t),
    "squared_error": elementwise_loss(lambda z, t: (z - t) * (z - t), lambda z, t: (z - t) * 2.0),
    "absolute_error": elementwise_loss(lambda z, t: abs(z - t), lambda z, t: sign(z - t)),
    "quantile_error": elementwise_loss(
        lambda z, t, quantile: quantile_error(z - t, quantile),
        lambda z, t, quantile: quantile_error(sign(z - t), quantile) * sign(z - t),
        parameter=True,
    ),
    "huber": elementwise_loss(
        # With c the clipped difference d, both branches are c (d - c / 2).
        lambda z, t, delta: clipped(z - t, delta) * ((z - t) - 0.5 * clipped(z - t, delta)),
        lambda z, t, delta: clipped(z - t, delta),
        parameter=True,
    ),
    "poisson_nll": elementwise_loss(lambda z, t: simd.exp(z) - t * z, lambda z, t: simd.exp(z) - t),
}
