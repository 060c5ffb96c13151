"""Calls on arrays that end, or begin, where the memory does.

Pages that no one may touch lie directly before and directly behind every input and output, so that one byte
read or written outside ends the process. What is written beside the array on its own pages is compared
afterwards. Every function, type, length up to 300, way through the runner and side::

    python tests/guard_pages.py            every level that this machine has; half a minute
    python tests/guard_pages.py avx2 40    one level, lengths up to 40

Prints each level when it is done; when it dies, the call before the last line is the one.
"""

import ctypes
import faulthandler
import mmap
import sys

import numpy as np
import operations

import softmax_ext

PAGE = mmap.PAGESIZE
LONGEST, ROWS = 300, (1, 3, 19)
TYPES = ("f2", "f4", "f8", ">f4", ">f8")
# How rows lie in memory, as an axis order and a step; steps along the last axis in memory.
LAYOUTS = {"rows": ("C", 1), "columns": ("F", 1), "every other": ("C", 2), "backwards": ("C", -1)}
NO_ACCESS, READ_WRITE = 0, mmap.PROT_READ | mmap.PROT_WRITE
SENTINEL = 0xA5

libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Guarded:
    """Memory between two pages without access, in which arrays are laid down at either end."""

    def __init__(self, size):
        self.size = -(-size // PAGE) * PAGE
        self.map = mmap.mmap(-1, self.size + 2 * PAGE)
        whole = np.frombuffer(self.map, np.uint8)
        for page in (whole[:1], whole[PAGE + self.size :]):
            if libc.mprotect(page.ctypes.data, PAGE, NO_ACCESS):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.bytes = whole[PAGE : PAGE + self.size]

    def place(self, shape, dtype, layout, side):
        """An array of that kind, its first byte or its last beside a guarded page."""
        order, step = LAYOUTS[layout]
        dtype = np.dtype(dtype)
        elements = int(np.prod(shape))
        room = (
            abs(step) * (elements - 1) + 1
        ) * dtype.itemsize  # no byte more than from the first to the last
        start = 0 if side == "front" else self.size - room
        items = np.ndarray(
            elements,
            dtype,
            self.bytes.data,
            start if step > 0 else start + room - dtype.itemsize,
            (step * dtype.itemsize,),
        )
        self.bytes[...] = SENTINEL
        return items.reshape(shape, order=order)


def values(rng, rows, n, kind):
    """Rows of usual numbers, or with some that need more work: NaN, infinities, very large ones."""
    x = rng.normal(size=(rows, n)) * 4
    if kind == "special":
        x[:: max(1, rows // 2), n // 2] = rng.choice([np.nan, np.inf, -np.inf, 1e30, 3e6])
    return x


def check(function, arrays, out, memory):
    """The call, into out, gives what it gives on ordinary arrays, and leaves all else of out's memory alone."""
    want = function(*[a.copy() for a in arrays])
    function(*arrays, out=out)
    if out.tobytes() != want.astype(out.dtype).tobytes():
        raise AssertionError("another result than in ordinary memory")
    out[...] = np.frombuffer(bytes([SENTINEL]) * out.itemsize, out.dtype)[0]
    if memory.bytes.min() != SENTINEL or memory.bytes.max() != SENTINEL:
        raise AssertionError("wrote beside the output")


def run(level, longest):
    softmax_ext._core._set_isa(level)
    rng = np.random.default_rng(0)
    largest = 2 * max(ROWS) * longest * 8
    x_memory, g_memory, out_memory = Guarded(largest), Guarded(largest), Guarded(largest)
    calls = 0
    for n in range(1, longest + 1):
        for rows in ROWS:
            for number, (layout, dtype, side) in enumerate(
                (layout, dtype, side) for layout in LAYOUTS for dtype in TYPES for side in ("front", "back")
            ):
                # Byte orders take one way through the runner, whatever the length: a few lengths tell.
                if dtype[0] == ">" and n % 16 not in (0, 1):
                    continue
                kind = ("usual", "special")[(n + rows + number) % 2]
                x = x_memory.place((rows, n), dtype, layout, side)
                g = g_memory.place((rows, n), dtype, layout, side)
                x[...], g[...] = values(rng, rows, n, kind), rng.normal(size=(rows, n))
                for name in operations.FUNCTIONS:
                    operation = operations.OPERATIONS[name]
                    call = f"{level} {name} {rows} x {n} {dtype} {layout} {side} {kind}"
                    print(f"{call:79}", end="\r", flush=True)  # at once: the process may die
                    shape, how = ((rows, n), layout) if operation.elementwise else ((rows,), "rows")
                    out = out_memory.place(shape, dtype, how, side)
                    arrays = (x, g)[: len(operation.arguments)]
                    check(operation.function, arrays, out, out_memory)
                    calls += 1
    print(f"{f'{level}: {calls} calls':79}")


def main():
    faulthandler.enable()
    levels = sys.argv[1:2] or softmax_ext.show_config(mode="dicts")["isa_available"]
    for level in levels:
        run(level, int(sys.argv[2]) if len(sys.argv) > 2 else LONGEST)


if __name__ == "__main__":
    main()
