"""Optimizer updates: parameter, gradient and averages are read once and written once.

Hyperparameters are read from a small float64 array when the kernel runs, and turned into the dtype in float64.
"""

from __future__ import annotations

import math

from .elementwise import THREAD_UNIT
from .simd import sqrt, store_masked, vector
from .words import advance, columns, contiguous, number, pointer, rows, share, stride_bytes


def sgd(f):
    """Operands: parameter, gradient, velocity, hyper = lr, momentum, weight_decay, nesterov."""
    size, lanes, doubles = f.bits // 8, f.lanes, vector("float64", 1)

    def kernel(words, thread, threads):
        hyper = pointer(doubles, words, 3)
        lr, momentum, decay = f(hyper[0]), f(hyper[1]), f(hyper[2])
        ahead = f(hyper[1] if hyper[3] != 0.0 else 0.0)
        height, width = rows(words, 0), columns(words, 0)
        if contiguous(words, 0, size) and contiguous(words, 1, size) and contiguous(words, 2, size):
            height, width = min(1, height), height * width
        first, last = share(width, thread, threads, THREAD_UNIT * lanes)
        for i in range(height):
            parameter = advance(pointer(f, words, 0), i * stride_bytes(words, 0) // size)
            gradient = advance(pointer(f, words, 1), i * stride_bytes(words, 1) // size)
            velocity = advance(pointer(f, words, 2), i * stride_bytes(words, 2) // size)
            for j in range(first, last, lanes):
                live = f.first_lanes(last - j)
                p = f.load_masked(parameter, j, live)
                g = f.load_masked(gradient, j, live) + decay * p
                v = momentum * f.load_masked(velocity, j, live) + g
                store_masked(velocity, j, v, live)
                step = g + ahead * v if hyper[3] != 0.0 else v
                store_masked(parameter, j, p - lr * step, live)

    return kernel


def rmsprop(f):
    """Operands: parameter, gradient, square, velocity, hyper = lr, alpha, eps, weight_decay, momentum."""
    size, lanes, doubles = f.bits // 8, f.lanes, vector("float64", 1)

    def kernel(words, thread, threads):
        hyper = pointer(doubles, words, 4)
        lr, alpha, beta, eps = f(hyper[0]), f(hyper[1]), f(1.0 - hyper[1]), f(hyper[2])
        decay, momentum = f(hyper[3]), f(hyper[4])
        height, width = rows(words, 0), columns(words, 0)
        if contiguous(words, 0, size) and contiguous(words, 1, size) and contiguous(words, 2, size):
            if contiguous(words, 3, size):
                height, width = min(1, height), height * width
        first, last = share(width, thread, threads, THREAD_UNIT * lanes)
        for i in range(height):
            parameter = advance(pointer(f, words, 0), i * stride_bytes(words, 0) // size)
            gradient = advance(pointer(f, words, 1), i * stride_bytes(words, 1) // size)
            square = advance(pointer(f, words, 2), i * stride_bytes(words, 2) // size)
            velocity = advance(pointer(f, words, 3), i * stride_bytes(words, 3) // size)
            for j in range(first, last, lanes):
                live = f.first_lanes(last - j)
                p = f.load_masked(parameter, j, live)
                g = f.load_masked(gradient, j, live) + decay * p
                s = alpha * f.load_masked(square, j, live) + beta * (g * g)
                v = momentum * f.load_masked(velocity, j, live) + g / (sqrt(s) + eps)
                store_masked(square, j, s, live)
                store_masked(velocity, j, v, live)
                store_masked(parameter, j, p - lr * v, live)

    return kernel


def adam(f):
    """Operands: parameter, gradient, first, second, hyper = lr, beta1, beta2, eps, weight_decay, step; decoupled."""
    size, lanes, doubles = f.bits // 8, f.lanes, vector("float64", 1)

    def kernel(words, thread, threads):
        hyper, decoupled = pointer(doubles, words, 4), number(words, 5) != 0.0
        beta1, beta2, eps = f(hyper[1]), f(hyper[2]), f(hyper[3])
        rest1, rest2 = f(1.0 - hyper[1]), f(1.0 - hyper[2])
        step_size = f(hyper[0] / (1.0 - hyper[1] ** hyper[5]))
        root = f(1.0 / math.sqrt(1.0 - hyper[2] ** hyper[5]))
        shrink = f(1.0 - hyper[0] * hyper[4] if decoupled else 1.0)
        decay = f(0.0 if decoupled else hyper[4])
        height, width = rows(words, 0), columns(words, 0)
        if contiguous(words, 0, size) and contiguous(words, 1, size) and contiguous(words, 2, size):
            if contiguous(words, 3, size):
                height, width = min(1, height), height * width
        begin, end = share(width, thread, threads, THREAD_UNIT * lanes)
        for i in range(height):
            parameter = advance(pointer(f, words, 0), i * stride_bytes(words, 0) // size)
            gradient = advance(pointer(f, words, 1), i * stride_bytes(words, 1) // size)
            first = advance(pointer(f, words, 2), i * stride_bytes(words, 2) // size)
            second = advance(pointer(f, words, 3), i * stride_bytes(words, 3) // size)
            for j in range(begin, end, lanes):
                live = f.first_lanes(end - j)
                p = f.load_masked(parameter, j, live)
                g = f.load_masked(gradient, j, live) + decay * p
                m = beta1 * f.load_masked(first, j, live) + rest1 * g
                s = beta2 * f.load_masked(second, j, live) + rest2 * (g * g)
                store_masked(first, j, m, live)
                store_masked(second, j, s, live)
                store_masked(parameter, j, shrink * p - step_size * m / (sqrt(s) * root + eps), live)

    return kernel


AVERAGED = {"sgd": 3, "rmsprop": 4, "adam": 4}  # arrays of the parameter's shape: itself, gradient, averages
BUILDERS = {"sgd": sgd, "rmsprop": rmsprop, "adam": adam}
