"""A call needs at most 48 KB of stack (contract 1.6), on its own thread and on OpenMP's.

The stack is painted: while a thread waits, another one fills the memory below the waiting thread's stack pointer with
a pattern. Then the thread makes the call and waits again, and what has lost the pattern is the stack that the call
used.
"""

import ctypes
import sys
import threading
from pathlib import Path

import numpy as np
import operations
import pytest

import softmax_ext

MOST = 48 * 1024
STACK = 256 * 1024
#: Below the stack pointer: a leaf function may use so much without moving it.
RED_ZONE = 256
PATTERN = 0xA5

can_paint = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir()
    or not Path(f"/proc/self/task/{threading.get_native_id()}/syscall").exists(),
    reason="reads Linux's /proc",
)

#: Rows that are tiny, few, short, long, side by side (wide and narrow), of several pieces; along one axis and two.
SHAPES = [((1, 10), -1), ((200, 5), -1), ((4, 250), -1), ((300, 3), -1), ((20, 1000), -1), ((1, 9000), -1)]
SHAPES += [
    ((100, 32), 0),
    ((100, 16), 0),
    ((100, 10), 0),
    ((100, 256), 0),
    ((40, 256), 0),
    ((6, 200, 10), (0, 2)),
]


def _calls():
    """Every operation on every shape, in both types and with 16 bits, with a mask and without; and the losses."""
    rng = np.random.default_rng(5)
    for shape, axis in SHAPES:
        for dtype in (np.float32, np.float64, np.float16):
            x, g = (rng.normal(size=shape).astype(dtype) for _ in range(2))
            for where in (None, rng.random(shape) > 0.5)[: 1 if dtype == np.float16 else 2]:
                kw = {"axis": axis} if where is None else {"axis": axis, "where": where}
                for name in operations.DISTINCT:
                    operation = operations.OPERATIONS[name]
                    yield operation.function, (x, g)[: len(operation.arguments)], kw
            if isinstance(axis, int):
                labels = np.zeros(np.delete(shape, axis), np.intp)
                for targets in (
                    labels,
                    np.asarray(np.abs(g), np.float64 if dtype == np.float64 else np.float32),
                ):
                    for function in (softmax_ext.cross_entropy, softmax_ext.cross_entropy_with_grad):
                        yield function, (x, targets), {"axis": axis, "label_smoothing": 0.1}
    for beside in ((), (16,), (256,)):
        lengths = np.concatenate([rng.integers(0, 90, size=9), [100, 0, 500]])
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        for dtype in (np.float32, np.float64):
            x = rng.normal(size=(indptr[-1], *beside)).astype(dtype)
            yield softmax_ext.segment_softmax, (x, indptr), {}
            yield softmax_ext.segment_log_softmax_vjp, (x, x, indptr), {}


class Painter(threading.Thread):
    """Makes calls, and has its stack painted before each."""

    def __init__(self):
        super().__init__()
        self.turn, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.call = None

    def run(self):
        while True:
            self.turn.acquire()
            if self.call is None:
                return
            function, arguments, keywords = self.call
            function(*arguments, **keywords)
            self.done.release()

    def stack_pointer(self):
        """Where the stack ends while the thread waits for its turn."""
        while True:
            fields = Path(f"/proc/self/task/{self.native_id}/syscall").read_text().split()
            if len(fields) >= 3:  # else it is running still
                return int(fields[-2], 16)

    def used_by(self, call):
        """How many bytes of stack the call uses, as seen from the frame that waits."""
        pointer = self.stack_pointer()
        reach = STACK // 2  # as much as is surely left below
        bottom = pointer - reach
        ctypes.memset(bottom, PATTERN, reach - RED_ZONE)
        self.call = call
        self.turn.release()
        self.done.acquire()
        painted = np.ctypeslib.as_array((ctypes.c_uint8 * (reach - RED_ZONE)).from_address(bottom))
        lost = np.flatnonzero(painted != PATTERN)
        return reach - int(lost[0]) if lost.size else 0

    def stop(self):
        self.call = None
        self.turn.release()
        self.join()


@pytest.fixture
def painter():
    former = threading.stack_size(STACK)
    painter = Painter()
    painter.start()
    threading.stack_size(former)
    yield painter
    painter.stop()


@can_paint
def test_painting_sees_what_is_used(painter):
    """Python recurses in C for the representation of a list in a list."""
    nested = [[]]
    for _ in range(100):
        nested.append([nested[-1]])
    small, large = (painter.used_by((repr, (nested[depth],), {})) for depth in (20, 100))
    assert 0 < small < large < STACK // 2


@can_paint
@pytest.mark.usefixtures("isa")
def test_calls_use_at_most_48_kb(painter, threads):
    threads(1)
    most = 0
    for call in _calls():
        painter.used_by(call)  # the first call may have the loader resolve names
        used = painter.used_by(call)
        most = max(most, used)
        assert used <= MOST, f"{call[0].__name__} of {call[1][0].dtype} {call[1][0].shape}, {call[2]}"
    assert most > 8 * 1024  # a plan alone takes that


CALLS_OF_A_PROCESS = """
import sys, threading
import numpy as np
import softmax_ext
from softmax_ext import cross_entropy_with_grad, log_softmax, log_softmax_vjp, segment_softmax, softmax

softmax_ext.set_num_threads(2)
softmax_ext._core._always_use_threads(True)

def calls():
    for dtype in ("f4", "f8", "f2"):
        x = np.ones((128, 1000), dtype)
        for axis in (-1, 0):
            softmax(x, axis), log_softmax_vjp(x, x, axis), log_softmax(x[:, :16], axis)
        softmax(x.reshape(-1, 10)), softmax(x.reshape(1, -1)), softmax(x[:1, :10])
        cross_entropy_with_grad(x, np.zeros(128, int))
        if dtype != "f2":
            segment_softmax(x.ravel(), [0, 5, 5, 90, 1000, 110_000, 110_040, 128_000])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="stacks are of another size there")
@pytest.mark.parametrize("level", softmax_ext.show_config(mode="dicts")["isa_available"])
def test_small_stacks(python, level):
    """Threads of Python and of OpenMP with small stacks; with too small ones the process would crash."""
    code = """
calls()
thread = threading.Thread(target=calls)
threading.stack_size(96 * 1024)
thread = threading.Thread(target=calls)
thread.start()
thread.join()
print("done")
"""
    assert python("-c", CALLS_OF_A_PROCESS + code, OMP_STACKSIZE="64K", SOFTMAX_EXT_ISA=level) == "done\n"
