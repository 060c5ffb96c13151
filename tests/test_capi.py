"""The functions for compiled code, by address, from Cython and from Numba: the bytes of the Python functions."""

import ctypes
import importlib
import re
import threading

import cython_module
import numpy as np
import pytest
from conftest import PACKAGE

import softmax_ext
from softmax_ext import capi

TYPES = {"f32": np.float32, "f64": np.float64}
MAPS = ["softmax", "log_softmax", "logsumexp"]
DERIVATIVES = ["softmax_vjp", "log_softmax_vjp"]
NAMES = [f"{name}_{kind}" for name in MAPS + DERIVATIVES for kind in TYPES]
# The tiny route and each of the others for contiguous rows, up to rows in pieces.
SHAPES = [(1, 1), (1, 10), (4, 3), (64, 10), (300, 3), (500, 80), (2, 81), (7, 1000), (1, 20_000), (3, 9000)]

pythonapi = ctypes.pythonapi
pythonapi.PyCapsule_GetName.restype = ctypes.c_char_p
pythonapi.PyCapsule_GetName.argtypes = [ctypes.py_object]
pythonapi.PyCapsule_GetPointer.restype = ctypes.c_void_p
pythonapi.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def function_at(name):
    """Return the function that a capsule points at; ctypes lets the GIL go around its calls."""
    capsule = capi.__pyx_capi__[name]
    address = pythonapi.PyCapsule_GetPointer(capsule, pythonapi.PyCapsule_GetName(capsule))
    pointers = [ctypes.c_void_p] * (3 if "vjp" in name else 2)
    return ctypes.CFUNCTYPE(ctypes.c_int, *pointers, ctypes.c_ssize_t, ctypes.c_ssize_t)(address)


def address_of(array):
    return array.ctypes.data


def inputs(name, shape, seed=0):
    """Return the arrays of a call: ordinary rows, and rows with special values."""
    base, kind = name.rsplit("_", 1)
    rng = np.random.default_rng([seed, *shape])
    x = (8 * rng.normal(size=shape)).astype(TYPES[kind])
    for row, value in enumerate([np.nan, np.inf, -np.inf, 1e30]):
        if 2 * row + 1 < shape[0]:
            x[2 * row + 1, rng.integers(shape[1])] = value
    if base in MAPS:
        return [x]
    y = getattr(softmax_ext, base.removesuffix("_vjp"))(x)
    return [y, rng.normal(size=shape).astype(TYPES[kind])]


def expected(name, arrays):
    return getattr(softmax_ext, name.rsplit("_", 1)[0])(*arrays)


def call(function, arrays, out, shape):
    return function(*map(address_of, arrays), address_of(out), *shape)


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_of_the_python_functions(name, isa):
    function = function_at(name)
    for shape in SHAPES:
        arrays = inputs(name, shape)
        want = expected(name, arrays)
        out = np.full_like(want, 7)
        assert call(function, arrays, out, shape) == 0
        assert out.tobytes() == want.tobytes(), shape


@pytest.mark.parametrize("name", [name for name in NAMES if "logsumexp" not in name])
def test_out_may_be_an_input(name):
    for shape in SHAPES:
        for k in range(len(inputs(name, shape))):
            arrays = inputs(name, shape)
            want = expected(name, arrays)
            assert call(function_at(name), arrays, arrays[k], shape) == 0
            assert arrays[k].tobytes() == want.tobytes(), shape


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_and_rows_of_nothing(name):
    dtype = TYPES[name.rsplit("_", 1)[1]]
    for shape in [(0, 3), (3, 0), (0, 0)]:
        arrays = [np.zeros(8, dtype)] * (2 if "vjp" in name else 1)
        out = np.full(8, 7, dtype)
        assert call(function_at(name), arrays, out, shape) == 0
        written = shape[0] if "logsumexp" in name else 0
        assert (out[:written] == -np.inf).all()
        assert (out[written:] == 7).all()


def test_many_threads_at_once():
    name, shape = "softmax_f64", (50, 300)
    function = function_at(name)
    wrong = []

    def work(seed):
        arrays = inputs(name, shape, seed)
        want = expected(name, arrays).tobytes()
        for _ in range(50):
            out = np.empty(shape)
            if call(function, arrays, out, shape) != 0 or out.tobytes() != want:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_pxd_declares_what_the_module_has():
    text = (PACKAGE / "capi.pxd").read_text()
    assert set(re.findall(r"^cdef int (\w+)\(", text, re.MULTILINE)) == set(capi.__pyx_capi__) == set(NAMES)
    # capi.py has a line for both of each pair.
    assert re.findall(r"^``(\w+)\(", capi.__doc__, re.MULTILINE) == MAPS + DERIVATIVES


def test_cython_module_of_a_user(tmp_path, monkeypatch):
    """Each function called without the GIL; Cython compares the signatures when the module is imported."""
    source = "# cython: language_level=3\nfrom softmax_ext cimport capi\n"
    for name in NAMES:
        real = "float" if name.endswith("f32") else "double"
        arrays = ["y", "g", "out"] if "vjp" in name else ["x", "out"]
        source += (
            f"def {name}({', '.join('size_t ' + array for array in arrays)}, Py_ssize_t rows, Py_ssize_t n):\n"
            f"    with nogil:\n"
            f"        status = capi.{name}({', '.join(f'<{real} *>{array}' for array in arrays)}, rows, n)\n"
            f"    return status\n"
        )
    cython_module.build(tmp_path, "uses_capi", source)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("uses_capi")
    for name in NAMES:
        for shape in SHAPES:
            arrays = inputs(name, shape)
            want = expected(name, arrays)
            out = np.empty_like(want)
            assert call(getattr(module, name), arrays, out, shape) == 0
            assert out.tobytes() == want.tobytes(), (name, shape)


def test_numba_in_parallel():
    numba = pytest.importorskip("numba", reason="numba is in the extra `interop`")
    from numba.extending import get_cython_function_address

    def compiled(name):
        pointers = [ctypes.c_void_p] * (3 if "vjp" in name else 2)
        kind = ctypes.CFUNCTYPE(ctypes.c_int, *pointers, ctypes.c_ssize_t, ctypes.c_ssize_t)
        function = kind(get_cython_function_address("softmax_ext.capi", name))
        if "vjp" in name:

            @numba.njit(nogil=True, parallel=True)
            def each_row(y, g, out):
                status = 0
                for i in numba.prange(y.shape[0]):
                    status += function(y[i].ctypes, g[i].ctypes, out[i].ctypes, 1, y.shape[1])
                return status

        else:

            @numba.njit(nogil=True, parallel=True)
            def each_row(x, out):
                status = 0
                for i in numba.prange(x.shape[0]):
                    status += function(x[i].ctypes, out[i].ctypes, 1, x.shape[1])
                return status

        return each_row

    for name in NAMES:
        each_row = compiled(name)
        for shape in [(64, 10), (300, 3), (7, 1000), (3, 9000)]:
            arrays = inputs(name, shape)
            want = expected(name, arrays)
            out = np.empty((shape[0], want.size // shape[0]), want.dtype)
            assert each_row(*arrays, out) == 0
            assert out.tobytes() == want.tobytes(), (name, shape)
