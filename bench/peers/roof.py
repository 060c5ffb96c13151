"""The memory roof: how fast as many threads move a case's bytes, into a result that exists.

Compiled from roof.c with the system's compiler; where that fails, NumPy copies in threads. No peer:
it computes nothing, so it is not checked and never counts as the fastest.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bench.peers import call

# GCC must not turn the copy into a call of memcpy, which stores past the cache as it sees fit.
FLAGS = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-fno-builtin"]
FLAGS_GCC = ["-fno-tree-loop-distribute-patterns"]


class Peer:
    """See `bench.peers.load`."""

    knows_masks = True  # the mask is not moved, so that the roof is a bound all the more
    is_bound = True

    def __init__(self, threads):
        self.threads = threads
        self.library = compiled()
        self.version = "C" if self.library else "NumPy copies in threads, for lack of a C compiler"
        self.pool = ThreadPoolExecutor(threads)

    def calls(self, op, axis, arrays):
        """Statements for an operation: with all threads, and with one where waking costs more."""
        first, *others = arrays.values()
        inputs = [first, others[0]] if op.endswith("_vjp") else [first]
        out = [] if op == "logsumexp" else [np.empty_like(first)]
        counts = sorted({1, self.threads})
        if self.library:
            return {"own": [self._compiled(out + inputs, count) for count in counts]}
        return {"own": [self._copies(out + inputs, count) for count in counts] if out else []}

    def _compiled(self, arrays, threads):
        function = {1: "scan", 2: "copy", 3: "merge"}[len(arrays)]
        names = {f"p{i}": ctypes.c_void_p(a.ctypes.data) for i, a in enumerate(arrays)}
        names |= {"n": ctypes.c_ssize_t(arrays[0].nbytes // 4), "threads": ctypes.c_int(threads)}
        return call(
            f"{function}({', '.join(names)})",
            keep_alive=arrays,
            **{function: getattr(self.library, function)},
            **names,
        )

    def _copies(self, arrays, threads):
        function = {2: np.copyto, 3: lambda out, a, b: np.add(a, b, out=out)}[len(arrays)]
        parts = [np.array_split(array.reshape(-1), threads) for array in arrays]
        if threads == 1:
            names = {f"p{i}": part[0] for i, part in enumerate(parts)}
            return call(f"copy({', '.join(names)})", copy=function, **names)
        return call("list(map(copy, *parts))", map=self.pool.map, copy=function, parts=parts)


def compiled():
    """Compile and load roof.c.

    Returns
    -------
    ctypes.PyDLL or None
        None where there is no compiler that will.
    """
    source = Path(__file__).with_name("roof.c")
    compilers = [os.environ.get("CC"), "cc", "gcc", "clang"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        library = Path(folder, "roof.so")
        for compiler in filter(None, map(shutil.which, filter(None, compilers))):
            for flags in (FLAGS + FLAGS_GCC, FLAGS):
                command = [compiler, *flags, str(source), "-o", str(library)]
                if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                    # PyDLL keeps the GIL: a call is cheaper so, and no other thread wants it.
                    return ctypes.PyDLL(str(library))
    return None
