"""Counter-based random bits: element i of draw ``counter`` of ``seed`` is a function of these three and nothing else.

The key of a draw is two 32-bit words from SplitMix64's output function (Steele, Lea and Flood 2014,
doi 10.1145/2660193.2660195) of seed + counter * golden gamma. The bits of element i are the 32-bit hash ``mix``
(``lowbias32`` of Chris Wellons' hash-prospector, public domain) applied to i with the first word, then to the result
with the second. It is made for dropout, where speed counts, not for cryptography.
"""

from __future__ import annotations

MASK_32, MASK_64 = (1 << 32) - 1, (1 << 64) - 1
GOLDEN_GAMMA = 0x9E3779B97F4A7C15
MULTIPLIER_1, MULTIPLIER_2 = 0x7FEB352D, 0x846CA68B


def key(seed: int, counter: int) -> tuple[int, int]:
    """Two 32-bit words for draw ``counter`` of ``seed``."""
    z = (seed + (counter + 1) * GOLDEN_GAMMA) & MASK_64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK_64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK_64
    z ^= z >> 31
    return z >> 32, z & MASK_32


def mix(x: int) -> int:
    """A bijection of 32-bit words in which every input bit flips every output bit with probability close to 1/2."""
    x ^= x >> 16
    x = (x * MULTIPLIER_1) & MASK_32
    x ^= x >> 15
    x = (x * MULTIPLIER_2) & MASK_32
    return x ^ (x >> 16)


def random_bits(seed: int, counter: int, element: int) -> int:
    """mix(mix(element ^ key_0) + key_1): 32 random bits."""
    first, second = key(seed, counter)
    return mix((mix((element ^ first) & MASK_32) + second) & MASK_32)


def drop_below(rate: float) -> int:
    """An element is dropped where its bits are below this: floor(rate * 2**32)."""
    return int(rate * 2.0**32)
