"""The machine's ceilings: measured with arrays of each level's size, and what they say a call takes at least."""

from dataclasses import replace

import pytest

from kernels import hardware


@pytest.fixture(scope="module")
def ceilings():
    pytest.importorskip("numba")
    return hardware.measure("float32", 1, budget=0.002)


def test_ceilings_are_measured(ceilings):
    assert list(ceilings.gflops) == sorted(ceilings.gflops) and ceilings.peak == max(ceilings.gflops.values())
    assert set(ceilings.gigabytes) == set(hardware.LEVELS)
    assert ceilings.level(1) == "L1" and ceilings.level(1 << 40) == "memory"
    assert ceilings.seconds(0, 0) == 0 and ceilings.seconds(1e9, 0) == pytest.approx(1 / ceilings.peak)


KNOWN = hardware.Ceilings(
    "float32", 1, {1: 10.0, 8: 80.0}, {"L1": 40.0, "L2": 20.0, "L3": 10.0, "memory": 5.0},
    {"L1": 100, "L2": 1000, "L3": 10000},
)  # fmt: skip


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([(2, 3)], 1),
        ([(0, 1), (0.05, 1.05)], 1),  # woken one after the other
        ([(0, 1), (0.01, 1.06)], 2 / (1 + 1 / 1.05)),  # a slower one
        ([(0, 1), (1, 2)], 2),  # on one CPU by turns
        ([(0, 1), (0, 2)], 2),
    ],
)
def test_threads_count_together_only_where_they_ran_together(times, seconds):
    pytest.importorskip("numba")
    from kernels.hardware.peak import seconds_of

    assert seconds_of(times) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("third", "count", "threads"), [(32 << 20, 8, 64), (105 << 20, 1, 56), (32 << 20, 1, 2), (0, 1, 4)]
)
def test_each_level_is_measured_with_arrays_that_the_nearer_one_does_not_hold(monkeypatch, third, count, threads):
    peak = pytest.importorskip("kernels.hardware.peak")
    sizes = {1: 48 << 10, 2: 1 << 20, 3: third}
    monkeypatch.setattr(peak.host, "cache_bytes", sizes.get)
    monkeypatch.setattr(peak.host, "cache_count", lambda level: count)
    sets = {level: peak.working_set(level, threads) for level in hardware.LEVELS}
    assert sets["L1"] < sizes[1] < sets["L2"] < sizes[2] < sets["L3"]
    assert sets["memory"] * threads >= 4 * max(third * count, threads * sizes[2])
    assert list(peak.holds(threads).values()) == [threads * sizes[1], threads * sizes[2], third * count]


def test_the_roof_is_the_lower_of_arithmetic_and_memory():
    assert KNOWN.seconds(1000, 100) == pytest.approx(1000 / 80e9)
    assert KNOWN.seconds(100, 100) == pytest.approx(100 / 40e9)


def test_products_in_bfloat16_have_a_roof_of_their_own():
    faster = replace(KNOWN, bfloat16=320.0)
    assert faster.seconds(1000, 100) == KNOWN.seconds(1000, 100, precision="bfloat16") == pytest.approx(1000 / 80e9)
    assert faster.seconds(1000, 0, precision="bfloat16") == pytest.approx(1000 / 320e9)
    assert replace(KNOWN, bfloat16=40.0).peak_of("bfloat16") == KNOWN.peak  # nothing keeps a backend from float32


def test_the_peak_of_bfloat16_is_measured_where_there_are_instructions(ceilings):
    from kernels.numba_backend.simd import host

    assert (ceilings.bfloat16 is None) is not host.has_feature("avx512bf16")
    if host.has_tiles():
        assert ceilings.bfloat16 > ceilings.peak


def test_each_level_holds_what_it_can_of_a_footprint():
    """Of what is further away, what the nearer levels hold may be there from the instruction before."""
    assert KNOWN.seconds(0, 1000) == pytest.approx(100 / 40e9 + 900 / 20e9)
    assert KNOWN.seconds(0, 20000) == pytest.approx(100 / 40e9 + 900 / 20e9 + 9000 / 10e9 + 10000 / 5e9)
    assert KNOWN.seconds(0, 200, footprint=100) == pytest.approx(200 / 40e9)  # updated in place
