"""What follows a product, panel by panel while it is in the cache: an activation, or the gradient of one.

Functions of their own, called through their addresses: one product is compiled, whatever follows it.
"""

from __future__ import annotations

from numba import types

from ....contract import ACTIVATIONS, OUTPUT_ACTIVATIONS
from ...simd import staged, store_masked
from ..activations import expression


def epilogue_signature(f):
    """void epilogue(c, row of c in elements, y, row of y, rows, columns)."""
    floats, whole = types.CPointer(f.dtype), types.int64
    return types.void(floats, whole, floats, whole, whole, whole)


def activation_epilogue(function):
    """c = function(c)."""

    @staged
    def value(c):
        return function(c)

    def build(f):
        lanes = f.lanes

        def epilogue(c, c_row, y, y_row, height, width):
            for i in range(height):
                for j in range(0, width, lanes):
                    at, live = i * c_row + j, f.first_lanes(width - j)
                    store_masked(c, at, value(f.load_masked(c, at, live)), live)

        return epilogue

    return build


def gradient_epilogue(function):
    """c = function(c, y)."""

    @staged
    def value(c, y):
        return function(c, y)

    def build(f):
        lanes = f.lanes

        def epilogue(c, c_row, y, y_row, height, width):
            for i in range(height):
                for j in range(0, width, lanes):
                    at, live = i * c_row + j, f.first_lanes(width - j)
                    output = f.load_masked(y, i * y_row + j, live)
                    store_masked(c, at, value(f.load_masked(c, at, live), output), live)

        return epilogue

    return build


EPILOGUES = {
    **{name: activation_epilogue(expression(name)) for name in ACTIVATIONS if name != "identity"},
    **{f"{name}_gradient": gradient_epilogue(expression(f"{name}_gradient")) for name in OUTPUT_ACTIVATIONS},
}
