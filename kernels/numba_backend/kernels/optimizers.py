"""Optimizer updates: parameter, gradient and averages are read once and written once.

Hyperparameters are read from a small float64 array when the kernel runs, and turned into the dtype in float64.
"""

from __future__ import annotations

import math

from ..native.calling_convention import advance, columns, contiguous, inlined, joined_part, number, pointer, row, rows
from ..simd import select, sqrt, vector
from .entry import PART, Entry, Split, by_first
from .row_passes import row_pass

doubles = vector("float64", 1)


def part_of_arrays(f, arrays):
    """Compiles to: first and last row and column of this thread's part of the first operands.

    Rows without gaps between them count as one.
    """
    size = f.bits // 8

    @inlined
    def part_of(words, thread, threads):
        joined = True
        for operand in range(arrays):
            joined = joined and contiguous(words, operand, size)
        return joined_part(rows(words, 0), columns(words, 0), thread, threads, joined)

    return part_of


def sgd(f):
    """Operands: parameter, gradient, velocity, hyper = lr, momentum, weight_decay, nesterov."""
    part = part_of_arrays(f, 3)

    def function(p, g, v, lr, momentum, decay, nesterov):
        g = g + decay * p
        v = without_subnormals(momentum * v + g)
        return p - lr * select(nesterov, g + momentum * v, v), v

    update = row_pass(function)

    def kernel(words, thread, threads):
        hyper = pointer(doubles, words, 3)
        numbers = f(hyper[0]), f(hyper[1]), f(hyper[2]), f(hyper[3]) != 0.0
        top, bottom, first, last = part(words, thread, threads)
        for i in range(top, bottom):
            parameter, velocity = advance(row(f, words, 0, i), first), advance(row(f, words, 2, i), first)
            gradient = advance(row(f, words, 1, i), first)
            update(f, last - first, True, (parameter, gradient, velocity), (parameter, velocity), numbers)

    return kernel


def two_averages(function, numbers_of):
    """Builds the kernel of a method with two averages. Operands: parameter, gradient, the averages, hyper, ...

    function(p, g, a, b, *numbers_of(f, words)) gives the new p, a and b.
    """
    update = row_pass(function)

    def build(f):
        part = part_of_arrays(f, 4)

        def kernel(words, thread, threads):
            numbers = numbers_of(f, words)
            top, bottom, first, last = part(words, thread, threads)
            for i in range(top, bottom):
                parameter, gradient = advance(row(f, words, 0, i), first), advance(row(f, words, 1, i), first)
                a, b = advance(row(f, words, 2, i), first), advance(row(f, words, 3, i), first)
                update(f, last - first, True, (parameter, gradient, a, b), (parameter, a, b), numbers)

        return kernel

    return build


def without_subnormals(x):
    """x, but 0 where it is smaller than the smallest normal number.

    An average of gradients that have become 0 (a dead unit's) shrinks until rounding keeps it at a subnormal number for
    ever, and on those CPUs compute more slowly, some very much so.
    """
    return select(abs(x) < x.type.format.tiny, 0.0, x)


def rmsprop(p, g, square, velocity, lr, alpha, rest, eps, decay, momentum):
    """A step of RMSProp; rest = 1 - alpha."""
    g = g + decay * p
    square = without_subnormals(alpha * square + rest * (g * g))
    velocity = without_subnormals(momentum * velocity + g / (sqrt(square) + eps))
    return p - lr * velocity, square, velocity


@inlined
def rmsprop_numbers(f, words):
    """hyper = lr, alpha, eps, weight_decay, momentum."""
    hyper = pointer(doubles, words, 4)
    return f(hyper[0]), f(hyper[1]), f(1.0 - hyper[1]), f(hyper[2]), f(hyper[3]), f(hyper[4])


def adam(p, g, first, second, step_size, beta1, rest1, beta2, rest2, root, eps, shrink, decay):
    """A step of Adam; rest = 1 - beta, root and step_size correct the averages' bias."""
    g = g + decay * p
    first = without_subnormals(beta1 * first + rest1 * g)
    second = without_subnormals(beta2 * second + rest2 * (g * g))
    return shrink * p - step_size * first / (sqrt(second) * root + eps), first, second


@inlined
def adam_numbers(f, words):
    """hyper = lr, beta1, beta2, eps, weight_decay, step; decoupled."""
    hyper, decoupled = pointer(doubles, words, 4), number(words, 5) != 0.0
    lr, beta1, beta2, decay, step = hyper[0], hyper[1], hyper[2], hyper[4], hyper[5]
    step_size, root = lr / (1.0 - beta1**step), 1.0 / math.sqrt(1.0 - beta2**step)
    shrink, coupled = (1.0 - lr * decay, 0.0) if decoupled else (1.0, decay)
    numbers = f(step_size), f(beta1), f(1.0 - beta1), f(beta2), f(1.0 - beta2)
    return *numbers, f(root), f(hyper[3]), f(shrink), f(coupled)


def radam(p, g, first, second, step_size, beta1, rest1, beta2, rest2, eps, sure, decay):
    """A step of RAdam; rest = 1 - beta, step_size holds both corrections, sure says whether second counts."""
    g = g + decay * p
    first = without_subnormals(beta1 * first + rest1 * g)
    second = without_subnormals(beta2 * second + rest2 * (g * g))
    return p - step_size * first / select(sure, sqrt(second) + eps, 1.0), first, second


@inlined
def radam_numbers(f, words):
    """hyper = lr, beta1, beta2, eps, weight_decay, step."""
    hyper = pointer(doubles, words, 4)
    lr, beta1, beta2, eps, decay, step = hyper[0], hyper[1], hyper[2], hyper[3], hyper[4], hyper[5]
    kept, most = beta2**step, 2.0 / (1.0 - beta2) - 1.0
    length = most - 2.0 * step * kept / (1.0 - kept)
    step_size, sure = lr / (1.0 - beta1**step), 1.0 if length > 5.0 else 0.0
    if length > 5.0:
        share = (length - 4.0) * (length - 2.0) * most / ((most - 4.0) * (most - 2.0) * length)
        step_size *= math.sqrt((1.0 - kept) * share)
    numbers = f(step_size), f(beta1), f(1.0 - beta1), f(beta2), f(1.0 - beta2)
    return *numbers, f(eps), f(sure) != 0.0, f(decay)


ONE_AVERAGE, TWO_AVERAGES = (Split(PART, 0, ("ij",) * arrays + ("**",)) for arrays in (3, 4))
ENTRIES = {
    "sgd": Entry(sgd, ONE_AVERAGE, by_first("sgd")),
    "rmsprop": Entry(two_averages(rmsprop, rmsprop_numbers), TWO_AVERAGES, by_first("rmsprop")),
    "adam": Entry(two_averages(adam, adam_numbers), TWO_AVERAGES, by_first("adam")),
    "radam": Entry(two_averages(radam, radam_numbers), TWO_AVERAGES, by_first("radam")),
}
