"""Layer and batch normalisation with their gradients. Layers go by rows, batches by blocks of columns."""

from __future__ import annotations

from ..native.calling_convention import advance, columns, inlined, number, pointer, row, rows, share, stride_bytes
from ..simd import sqrt, staged
from .entry import COLUMNS, ROWS, Entry, Split
from .reductions import column_sum, row_sum
from .row_passes import first_lane, over_columns, read, row_pass, write


def layer_norm(f):
    """Operands: x, gain, bias, eps, out, mean, rstd."""
    total_of = row_sum(f)
    squares_of = row_pass(lambda x, mean: ((x - mean) * (x - mean),), sums=1)
    normalise = row_pass(lambda x, gain, bias, mean, rstd: (gain * ((x - mean) * rstd) + bias,))

    def kernel(words, thread, threads):
        gain, bias, count = pointer(f, words, 1), pointer(f, words, 2), columns(words, 0)
        means, rstds = pointer(f, words, 5), pointer(f, words, 6)
        first, last = share(rows(words, 0), thread, threads, 1)
        for i in range(first, last):
            x, out = row(f, words, 0, i), row(f, words, 4, i)
            mean = f(total_of(x, x, count) / count)
            (squares,) = squares_of(f, count, True, (x,), (), (mean,))
            rstd = 1.0 / sqrt(squares / count + number(words, 3))
            normalise(f, count, True, (x, gain, bias), (out,), (mean, rstd))
            means[i], rstds[i] = first_lane(mean), first_lane(rstd)

    return kernel


def layer_norm_gradient(f):
    """Operands: grad, x, gain, mean, rstd, out, gain_gradient, bias_gradient."""
    size = f.bits // 8
    project = row_pass(layer_norm_slope)
    sums_of = row_pass(lambda grad, x, gain, mean, rstd: (grad * gain, grad * gain * ((x - mean) * rstd)), sums=2)

    @inlined
    def block(v, words, j, live):
        """The gradients of gain and bias."""
        grad, x = advance(pointer(v, words, 0), j), advance(pointer(v, words, 1), j)
        grad_row, x_row = stride_bytes(words, 0) // size, stride_bytes(words, 1) // size
        means, rstds, plain, along = pointer(v, words, 3), pointer(v, words, 4), v(0.0), v(0.0)
        for i in range(rows(words, 0)):
            g = read(v, grad, i * grad_row, live)
            plain, along = plain + g, along + g * ((read(v, x, i * x_row, live) - means[i]) * rstds[i])
        write(pointer(v, words, 6), j, along, live)
        write(pointer(v, words, 7), j, plain, live)

    gain_and_bias = inlined(over_columns(f, block))

    def kernel(words, thread, threads):
        gain, count = pointer(f, words, 2), columns(words, 0)
        means, rstds = pointer(f, words, 3), pointer(f, words, 4)
        first, last = share(rows(words, 0), thread, threads, 1)
        for i in range(first, last):
            sources, out = (row(f, words, 0, i), row(f, words, 1, i), gain), row(f, words, 5, i)
            plain, along = sums_of(f, count, True, sources, (), (means[i], rstds[i]))
            project(f, count, True, sources, (out,), (means[i], rstds[i], plain / count, along / count))
        gain_and_bias(words, thread, threads)

    return kernel


def layer_norm_slope(grad, x, gain, mean, rstd, mean_h, mean_along):
    """The gradient with respect to x, h = gain grad."""
    return ((grad * gain - mean_h - (x - mean) * rstd * mean_along) * rstd,)


def batch_norm(f):
    """Operands: x, gain, bias, running_mean, running_variance, momentum, eps, out, mean, rstd."""
    size = f.bits // 8

    @inlined
    def block(v, words, j, live):
        x, out, height = advance(pointer(v, words, 0), j), advance(pointer(v, words, 7), j), rows(words, 0)
        x_row, out_row = stride_bytes(words, 0) // size, stride_bytes(words, 7) // size
        mean, squares = column_sum(v, x, x_row, height, live) / height, v(0.0)
        for i in range(height):
            d = read(v, x, i * x_row, live) - mean
            squares = squares + d * d
        variance = squares / height
        rstd = 1.0 / sqrt(variance + number(words, 6))
        scale, shift = read(v, pointer(v, words, 1), j, live), read(v, pointer(v, words, 2), j, live)
        for i in range(height):
            x_hat = (read(v, x, i * x_row, live) - mean) * rstd
            write(out, i * out_row, scale * x_hat + shift, live)
        write(pointer(v, words, 8), j, mean, live)
        write(pointer(v, words, 9), j, rstd, live)
        average(v, pointer(v, words, 3), j, mean, number(words, 5), live)
        average(v, pointer(v, words, 4), j, variance * (height / max(height - 1, 1)), number(words, 5), live)

    return over_columns(f, block)


@staged
def average(v, running, j, batch, momentum, live):
    """running_j <- (1 - momentum) running_j + momentum batch_j."""
    momentum = batch.like(momentum)
    write(running, j, (1.0 - momentum) * read(v, running, j, live) + momentum * batch, live)


def batch_norm_gradient(f):
    """Operands: grad, x, gain, mean, rstd, out, gain_gradient, bias_gradient."""
    size = f.bits // 8

    @inlined
    def block(v, words, j, live):
        grad, x, out = (
            advance(pointer(v, words, 0), j),
            advance(pointer(v, words, 1), j),
            advance(pointer(v, words, 5), j),
        )
        grad_row, x_row = stride_bytes(words, 0) // size, stride_bytes(words, 1) // size
        out_row, height = stride_bytes(words, 5) // size, rows(words, 0)
        mean, rstd = read(v, pointer(v, words, 3), j, live), read(v, pointer(v, words, 4), j, live)
        plain, along = v(0.0), v(0.0)
        for i in range(height):
            g = read(v, grad, i * grad_row, live)
            plain, along = plain + g, along + g * ((read(v, x, i * x_row, live) - mean) * rstd)
        write(pointer(v, words, 6), j, along, live)
        write(pointer(v, words, 7), j, plain, live)
        mean_g, mean_along = plain / height, along / height
        scale = read(v, pointer(v, words, 2), j, live) * rstd
        for i in range(height):
            x_hat = (read(v, x, i * x_row, live) - mean) * rstd
            write(out, i * out_row, (read(v, grad, i * grad_row, live) - mean_g - x_hat * mean_along) * scale, live)

    return over_columns(f, block)


def batch_norm_inference(f):
    """Operands: x, gain, bias, running_mean, running_variance, eps, out."""
    size = f.bits // 8

    @inlined
    def block(v, words, j, live):
        x, out = advance(pointer(v, words, 0), j), advance(pointer(v, words, 6), j)
        x_row, out_row = stride_bytes(words, 0) // size, stride_bytes(words, 6) // size
        mean, shift = read(v, pointer(v, words, 3), j, live), read(v, pointer(v, words, 2), j, live)
        rstd = 1.0 / sqrt(read(v, pointer(v, words, 4), j, live) + number(words, 5))
        scale = read(v, pointer(v, words, 1), j, live)
        for i in range(rows(words, 0)):
            x_hat = (read(v, x, i * x_row, live) - mean) * rstd
            write(out, i * out_row, x_hat * scale + shift, live)

    return over_columns(f, block)


ENTRIES = {
    "layer_norm": Entry(layer_norm, Split(ROWS, 0, ("i*", "**", "**", "", "i*", "*i", "*i"))),
    "layer_norm_gradient": Entry(layer_norm_gradient),
    "batch_norm": Entry(batch_norm, Split(COLUMNS, 0, ("*j",) * 5 + ("", "") + ("*j",) * 3)),
    "batch_norm_gradient": Entry(batch_norm_gradient, Split(COLUMNS, 0, ("*j",) * 8)),
    "batch_norm_inference": Entry(batch_norm_inference, Split(COLUMNS, 0, ("*j",) * 5 + ("", "*j"))),
}
