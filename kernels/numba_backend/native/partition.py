"""Which part of an array each thread works on.

Threads split rows where there are enough of them, else columns. The rule depends on nothing but the shape, so that
kernels which work on arrays of one shape give a thread the same part of each, and need no barrier between them. These
are ordinary functions: kernels compile them in, the executor calls them from Python.
"""

from ...memory import LINE

# Columns are split in multiples of this: the widest tile of products, two vectors of as many float32 as a line has.
COLUMN_UNIT = 2 * LINE // 4
# Columns a thread from which an array is wide. A compromise: with fewer, each thread reads all of A for a narrow part
# of B. `benchmarks/constants.py partition.WIDE_EACH` compares.
WIDE_EACH = 512
# Rows a thread needs for a split by rows to be even: of fewer, one row more than others have is over an eighth.
# `benchmarks/constants.py partition.ROWS_EACH` compares.
ROWS_EACH = 8


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
