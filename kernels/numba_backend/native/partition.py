"""Which part of an array each thread works on.

Threads split rows where there are enough of them, else columns. The rule depends on nothing but the shape, so that
kernels which work on arrays of one shape give a thread the same part of each, and need no barrier between them. These
are ordinary functions: kernels compile them in, the executor calls them from Python.
"""

COLUMN_UNIT = 32  # columns are split in multiples of this: a tile of products, and whole cache lines
WIDE_EACH = 512  # columns a thread from which an array is wide
ROWS_EACH = 8  # rows a thread needs for a split by rows to be even


def share_of(count, thread, threads, unit):
    """The part [first, last) of count items that a thread works on: whole units, but for the end."""
    chunk = -(-count // (threads * unit)) * unit
    first = min(count, thread * chunk)
    return first, min(count, first + chunk)


def splits_rows(rows, columns, threads):
    """Whether threads split an array by its rows.

    Wide arrays are split by columns: in a product each thread then reads a part of B of its own, the larger factor
    where layers are wide.
    """
    return columns <= COLUMN_UNIT or (rows >= ROWS_EACH * threads and columns < WIDE_EACH * threads)
