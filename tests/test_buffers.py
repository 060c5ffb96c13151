"""The memory of large released results: used again, never more than the limit held, nothing shared."""

import gc
import os
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from numpy._core.multiarray import get_handler_name

import softmax_ext
from softmax_ext import _buffers, _core

MIB = 2**20


@pytest.fixture(autouse=True)
def limit():
    """Each test starts with nothing held and 16 MiB allowed."""
    before = softmax_ext.get_buffer_limit()
    gc.collect()
    softmax_ext.set_buffer_limit(0)
    softmax_ext.set_buffer_limit(16 * MIB)
    yield
    softmax_ext.set_buffer_limit(before)


def rows(mib, dtype=np.float32, seed=0):
    """Logits of so many MiB."""
    n = int(mib * MIB) // np.dtype(dtype).itemsize
    return np.random.default_rng(seed).standard_normal((n // 64, 64), dtype=dtype)


def address(array):
    return array.__array_interface__["data"][0]


CALLS = {
    "softmax": lambda x: softmax_ext.softmax(x),
    "log_softmax": lambda x: softmax_ext.log_softmax(x),
    "softmax_vjp": lambda x: softmax_ext.softmax_vjp(x, x),
    "the long way": lambda x: softmax_ext.softmax(x, axis=0),
}


@pytest.mark.parametrize("name", CALLS)
def test_memory_of_a_released_result_is_used_again(name):
    x = rows(2)
    y = CALLS[name](x)
    where = address(y)
    assert get_handler_name(y) == "softmax_ext"
    del y
    assert 2 * MIB <= _core._buffers_held() <= 2 * MIB + 4096
    y = CALLS[name](x)
    assert address(y) == where
    assert _core._buffers_held() == 0


def test_results_in_used_memory_are_those_in_fresh_memory():
    for seed in range(4):
        x = rows(2, seed=seed)
        used = softmax_ext.softmax(x)
        fresh = softmax_ext.softmax(x, out=np.empty_like(x))
        np.testing.assert_array_equal(used, fresh)
        del used


def test_small_results_come_from_numpy():
    assert get_handler_name(softmax_ext.softmax(np.zeros((100, 100)))) == "default_allocator"


def test_later_arrays_of_others_come_from_numpy():
    softmax_ext.softmax(rows(2))
    assert get_handler_name(np.empty(2 * MIB)) == "default_allocator"


def test_handler_is_put_back_after_an_error():
    with pytest.raises(MemoryError):
        softmax_ext.softmax(np.broadcast_to(np.float32(0), (2**20, 2**40)))
    assert get_handler_name(np.empty(2 * MIB)) == "default_allocator"


def test_a_view_keeps_the_memory():
    x = rows(2)
    view = softmax_ext.softmax(x)[::2]
    expected = view.copy()
    assert _core._buffers_held() == 0
    softmax_ext.log_softmax(x)  # would be written over the view if its memory were taken for free
    np.testing.assert_array_equal(view, expected)


def test_never_more_than_the_limit_is_held():
    rng = np.random.default_rng(1)
    alive = []
    for _ in range(60):
        alive.append(softmax_ext.softmax(rows(rng.integers(1, 24))))
        while len(alive) > 2:
            del alive[rng.integers(len(alive))]
            assert _core._buffers_held() <= 16 * MIB
    alive.clear()
    assert _core._buffers_held() <= 16 * MIB


def test_a_result_above_the_limit_is_given_back():
    y = softmax_ext.softmax(rows(20))
    del y
    assert _core._buffers_held() == 0


def test_the_longest_held_is_given_back_first():
    first, second = softmax_ext.softmax(rows(10)), softmax_ext.softmax(rows(5))
    there = address(second)
    del first, second
    third = softmax_ext.softmax(rows(8, seed=1))  # too small for the first, too large for the second
    del third
    assert address(softmax_ext.softmax(rows(5))) == there
    assert _core._buffers_held() <= 16 * MIB


def test_a_lower_limit_gives_back_at_once():
    y, z = softmax_ext.softmax(rows(3)), softmax_ext.softmax(rows(4))
    del y, z
    assert _core._buffers_held() >= 7 * MIB
    softmax_ext.set_buffer_limit(5 * MIB)
    assert 4 * MIB <= _core._buffers_held() <= 5 * MIB
    softmax_ext.set_buffer_limit(0)
    assert _core._buffers_held() == 0


def test_limit_0_leaves_numpys_memory_alone():
    softmax_ext.set_buffer_limit(0)
    y = softmax_ext.softmax(rows(2))
    assert get_handler_name(y) == "default_allocator"
    del y
    assert _core._buffers_held() == 0


def test_result_can_be_resized():
    y = softmax_ext.softmax(rows(2))
    before = y.copy()
    y.resize((before.shape[0] * 2, 64), refcheck=False)
    np.testing.assert_array_equal(y[: len(before)], before)
    assert not y[len(before) :].any()


def test_tracemalloc_sees_results_once():
    x = rows(4)
    tracemalloc.start()
    try:
        for _ in range(3):
            y = softmax_ext.softmax(x)
            current, _ = tracemalloc.get_traced_memory()
            assert 4 * MIB <= current < 5 * MIB
            del y
            assert tracemalloc.get_traced_memory()[0] < MIB
    finally:
        tracemalloc.stop()


def test_threads_do_not_share_memory():
    x = [rows(1.5, seed=k) for k in range(4)]
    expected = [softmax_ext.softmax(a, out=np.empty_like(a)) for a in x]
    wrong = []

    def work(k):
        for _ in range(20):
            y = softmax_ext.softmax(x[k])
            if not np.array_equal(y, expected[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert _core._buffers_held() <= 16 * MIB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_of_the_process_stays_flat(python):
    code = """
import numpy as np, softmax_ext, os
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
softmax_ext.set_buffer_limit(8 << 20)
x = np.zeros((1 << 14, 64), np.float32)
rng = np.random.default_rng(0)
def calls(count):
    for _ in range(count):
        softmax_ext.softmax(x[: rng.integers(4096, 1 << 14)])
calls(50)
before = resident()
calls(300)
print(resident() - before)
"""
    grown = int(python("-c", code))
    assert grown < 8 * MIB


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_child_of_a_fork_starts_with_none(python):
    code = """
import os, numpy as np, softmax_ext
from softmax_ext import _buffers, _core
x = np.zeros((1 << 14, 64), np.float32)
y = softmax_ext.softmax(x)
z = softmax_ext.softmax(x)
del y
pid = os.fork()
if pid == 0:
    good = _core._buffers_held() == 0 and np.array_equal(softmax_ext.softmax(x), z)
    del z
    os._exit(0 if good else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), _core._buffers_held() > 0)
"""
    assert python("-c", code).split() == ["0", "True"]


@pytest.mark.parametrize(("value", "text"), [(-1, "-1"), (2**63, str(2**63))])
def test_limit_out_of_range(value, text):
    with pytest.raises(ValueError, match=rf"n: got {text}, expected a number of bytes"):
        softmax_ext.set_buffer_limit(value)


@pytest.mark.parametrize("value", [1.5, "1", None, True])
def test_limit_no_integer(value):
    with pytest.raises(TypeError, match="n: got"):
        softmax_ext.set_buffer_limit(value)


@pytest.mark.parametrize(("value", "expected"), [("0", 0), (" 4096 ", 4096), ("", 128 * MIB)])
def test_environment(value, expected, python):
    code = "import softmax_ext; print(softmax_ext.get_buffer_limit())"
    assert int(python("-c", code, SOFTMAX_EXT_BUFFER_LIMIT=value)) == expected


@pytest.mark.parametrize("value", ["-1", "64M", "1e9", str(2**63), "9" * 5000])
def test_settings_that_are_no_number_of_bytes(value, monkeypatch):
    monkeypatch.setenv("SOFTMAX_EXT_BUFFER_LIMIT", value)
    with pytest.raises(ImportError, match=r"^SOFTMAX_EXT_BUFFER_LIMIT: got"):
        _buffers.default_buffer_limit()


def test_the_largest_limit(monkeypatch):
    monkeypatch.setenv("SOFTMAX_EXT_BUFFER_LIMIT", str(2**63 - 1))
    assert _buffers.default_buffer_limit() == 2**63 - 1


@pytest.mark.parametrize("value", ["-1", "+1", "64M", "1e9", "4_096", str(2**63), "9" * 100, "9" * 5000])
def test_environment_that_is_no_number(value, python):
    """The message is the last line, names the variable and the bounds, and shows no more than 100 characters."""
    done = python("-c", "import softmax_ext", check=False, SOFTMAX_EXT_BUFFER_LIMIT=value)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: SOFTMAX_EXT_BUFFER_LIMIT: got '{value[:100]}', "
        f"expected a number of bytes from 0 to {2**63 - 1}"
    )


def test_environment_of_the_largest_limit(python):
    code = "import softmax_ext; print(softmax_ext.get_buffer_limit())"
    assert int(python("-c", code, SOFTMAX_EXT_BUFFER_LIMIT=str(2**63 - 1))) == 2**63 - 1
