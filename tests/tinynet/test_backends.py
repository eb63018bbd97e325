"""Which backend is in force: by default, in a block, in a thread."""

import threading

import pytest
from backends import loaded
from children import LIMIT

import tinynet as tn
from tinynet import Tensor, backends


def test_use_backend_holds_in_its_block_and_thread():
    with tn.use_backend("naive"):
        assert tn.current_backend().name == "naive"
        elsewhere = []
        thread = threading.Thread(target=lambda: elsewhere.append(tn.current_backend().name))
        thread.start()
        thread.join(LIMIT)
        with tn.use_backend(loaded("numpy")):
            assert tn.current_backend().name == "numpy"
        assert tn.current_backend().name == "naive"
    assert elsewhere == ["numba"] and tn.current_backend().name == "numba"
    tn.use_backend("numpy")
    assert tn.current_backend().name == "numpy"
    tn.use_backend("numba")
    assert (Tensor([1.0]) + 1).numpy() == 2


def test_a_block_of_a_backend_is_entered_again():
    """One after the other, within itself, within others, by an error's way out, and in threads at once."""
    names, numpy = [], tn.use_backend("numpy")
    with numpy, tn.use_backend("naive"), numpy:
        names.append(tn.current_backend().name)
        with pytest.raises(ZeroDivisionError), numpy:
            1 / 0  # noqa: B018
        names.append(tn.current_backend().name)
    with numpy:
        names.append(tn.current_backend().name)
    assert names == ["numpy"] * 3 and tn.current_backend().name == "numba"
    both = threading.Barrier(2)

    def enter():
        with numpy:
            both.wait(60)
            names.append(tn.current_backend().name)
            both.wait(60)
        names.append(tn.current_backend().name)

    threads = [threading.Thread(target=enter) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(names) == ["numba"] * 2 + ["numpy"] * 5 and tn.current_backend().name == "numba"


def test_a_block_takes_back_the_default_it_set_and_no_other():
    first, second = tn.use_backend("naive"), tn.use_backend("numpy")
    with first:  # the default is the second's now
        assert tn.current_backend().name == "naive"
    assert tn.current_backend().name == "numpy"
    with second:
        pass
    assert tn.current_backend().name == "numba"
    third = tn.use_backend("naive")
    tn.use_backend("numpy")  # for good
    with third:
        pass
    assert tn.current_backend().name == "numpy"
    tn.use_backend("numba")
    with third:
        pass
    assert tn.current_backend().name == "numba"


def test_blocks_and_defaults_leave_nothing_behind():
    for _ in range(5):
        tn.use_backend("numpy")
        with tn.use_backend("naive"):
            pass
    tn.use_backend("numba")
    assert len(backends._defaults) <= 2 and tn.current_backend().name == "numba"
