"""Behaviour in a process (contract 1.6): threads, fork, the GIL, the environment, import.

What could hang runs in a process of its own with a time limit. Nothing here measures time against an
absolute figure, and nothing that a busy machine could fail.
"""

import contextlib
import os
import re
import signal
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import softmax_ext
from softmax_ext import log_softmax, softmax, softmax_vjp

CONFIG = softmax_ext.show_config(mode="dicts")
needs_openmp = pytest.mark.skipif(not CONFIG["openmp"], reason="built without OpenMP: always serial")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")

# Large enough that a call that comes alone uses threads.
PARALLEL = "np.arange(800_000, dtype=np.float32).reshape(800, 1000) % 97"


def code(text):
    """Return a script that has the usual names, a parallel call behind it, and the bytes that it gave."""
    return textwrap.dedent(f"""\
        import os, sys, threading
        import numpy as np
        import softmax_ext
        from softmax_ext import softmax, log_softmax, set_num_threads, get_num_threads
        x = {PARALLEL}
    """) + textwrap.dedent(text)


# The number of threads ----------------------------------------------------------------------------


def test_number_of_threads_is_set_and_read(threads):
    for n in (1, 2, 3, 7, np.int64(4)):
        threads(n)
        assert softmax_ext.get_num_threads() == (n if CONFIG["openmp"] else 1)
        assert softmax_ext.show_config(mode="dicts")["threads"] == softmax_ext.get_num_threads()


@pytest.mark.parametrize("n", [0, -1])
def test_too_few_threads_are_refused(n, threads):
    threads(2)
    with pytest.raises(ValueError, match=rf"\bn\b.*{n}"):
        softmax_ext.set_num_threads(n)
    assert softmax_ext.get_num_threads() == (2 if CONFIG["openmp"] else 1)


@pytest.mark.parametrize("n", [1.0, "2", None])
def test_a_number_of_threads_is_an_integer(n):
    with pytest.raises(TypeError, match=r"\bn\b"):
        softmax_ext.set_num_threads(n)


def threads_of(python, **env):
    cleared = {"SOFTMAX_EXT_NUM_THREADS": None, "OMP_NUM_THREADS": None, **env}
    return int(python("-c", "import softmax_ext; print(softmax_ext.get_num_threads())", **cleared))


@needs_openmp
def test_environment_sets_the_number_of_threads(python):
    assert threads_of(python, SOFTMAX_EXT_NUM_THREADS="3") == 3
    assert threads_of(python, OMP_NUM_THREADS="3") == 3
    assert threads_of(python, OMP_NUM_THREADS="3,2") == 3  # a list: one number per nesting level
    assert threads_of(python, SOFTMAX_EXT_NUM_THREADS="1", OMP_NUM_THREADS="3") == 1
    assert threads_of(python, SOFTMAX_EXT_NUM_THREADS="3", OMP_NUM_THREADS="1") == 3


@pytest.mark.parametrize("bad", ["0", "-2", "many", "1.5"])
def test_bad_number_in_the_environment_is_an_error_at_import(python, bad):
    done = python("-c", "import softmax_ext", SOFTMAX_EXT_NUM_THREADS=bad, check=False)
    assert done.returncode != 0
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: SOFTMAX_EXT_NUM_THREADS: ")
    assert repr(bad) in message
    assert "a positive integer" in message


@needs_linux
@needs_openmp
def test_affinity_bounds_the_number_of_threads(python):
    script = """
        cpus = os.sched_getaffinity(0)
        print(len(cpus), get_num_threads())
        """
    clean = {"SOFTMAX_EXT_NUM_THREADS": None, "OMP_NUM_THREADS": None}
    available, used = map(int, python("-c", code(script), **clean).split())
    assert 1 <= used <= available  # fewer under a control group's quota
    pinned = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n" + code(script)
    assert python("-c", pinned, **clean).split() == ["1", "1"]


@needs_linux
@needs_openmp
def test_as_many_threads_run_as_were_set(python):
    """Seen from outside: the runtime's pool stays after a parallel call."""
    script = """
        import time
        time.sleep(0.1)  # a program that has just begun goes alone
        before = len(os.listdir("/proc/self/task"))
        for n in (1, 3):
            set_num_threads(n)
            softmax(x)
            print(len(os.listdir("/proc/self/task")) - before)
        """
    assert python("-c", code(script)).split() == ["0", "2"]


@needs_openmp
def test_threadpoolctl_sees_the_runtime_and_its_limits_are_obeyed(python):
    script = """
        from threadpoolctl import threadpool_info, threadpool_limits
        assert any(lib["user_api"] == "openmp" for lib in threadpool_info())
        with threadpool_limits(1):
            print(get_num_threads())
            with threadpool_limits(3):
                print(get_num_threads())
            print(get_num_threads())
        print(get_num_threads())
        """
    counts = python("-c", code(script), OMP_NUM_THREADS="4", SOFTMAX_EXT_NUM_THREADS=None).split()
    assert counts == ["1", "3", "1", "4"]


@needs_linux
@needs_openmp
def test_threadpoolctl_limit_keeps_the_pool_from_growing(python):
    script = """
        import threadpoolctl
        set_num_threads(3)
        before = len(os.listdir("/proc/self/task"))
        with threadpoolctl.threadpool_limits(1):
            softmax(x)
        print(len(os.listdir("/proc/self/task")) - before)
        """
    assert python("-c", code(script), OMP_NUM_THREADS="3").split() == ["0"]


@pytest.mark.skipif("GNU" not in str(CONFIG["openmp"]), reason="another OpenMP runtime gives another account")
@pytest.mark.parametrize(
    ("asked", "spins"),
    [({}, 30_000), ({"OMP_WAIT_POLICY": "active"}, 30_000_000_000), ({"GOMP_SPINCOUNT": "77"}, 77)],
    ids=str,
)
def test_idle_threads_spin_briefly_unless_told_otherwise(python, asked, spins):
    """So that they do not keep the processors from another library's threads; by the runtime's own account."""
    script = """
        import os
        before = dict(os.environ)
        import softmax_ext
        assert os.environ == before
        """
    unset = dict.fromkeys(["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
    environment = unset | asked | {"OMP_DISPLAY_ENV": "VERBOSE"}
    done = python("-c", textwrap.dedent(script), check=False, **environment)
    assert done.returncode == 0, done.stderr
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr


@needs_linux
@needs_openmp
def test_a_call_that_comes_alone_wakes_no_threads_for_little_work(python):
    """How often the runtime's thread was run at all: in calls in a row it is, in one after a pause it is not."""
    script = """
        import time
        x = np.zeros((64, 1000), np.float32)
        set_num_threads(2)
        time.sleep(0.1)  # a program that has just begun goes alone
        for _ in range(100):
            softmax(x)
        (worker,) = set(os.listdir("/proc/self/task")) - before
        def switches():
            with open(f"/proc/self/task/{worker}/status") as file:
                return sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
        time.sleep(0.1)
        count = switches()
        for _ in range(20):
            time.sleep(0.01)
            softmax(x)
        print(switches() - count)
        """
    before = 'import os\nimport numpy as np\nbefore = set(os.listdir("/proc/self/task"))\n'
    assert python("-c", before + code(script)).split() == ["0"]


# The level of instructions ------------------------------------------------------------------------


@pytest.mark.parametrize("level", CONFIG["isa_available"])
def test_environment_sets_the_level(python, level):
    script = "import softmax_ext; print(softmax_ext.show_config(mode='dicts')['isa'])"
    assert python("-c", script, SOFTMAX_EXT_ISA=level).strip() == level


def test_best_level_is_the_default(python):
    script = "import softmax_ext; print(softmax_ext.show_config(mode='dicts')['isa'])"
    assert python("-c", script, SOFTMAX_EXT_ISA=None).strip() == CONFIG["isa_available"][-1]
    assert python("-c", script, SOFTMAX_EXT_ISA="").strip() == CONFIG["isa_available"][-1]


@pytest.mark.parametrize("level", ["pdp11", "AVX9000"])
def test_level_that_the_machine_lacks_is_an_error_at_import(python, level):
    done = python("-c", "import softmax_ext", SOFTMAX_EXT_ISA=level, check=False)
    assert done.returncode != 0
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: SOFTMAX_EXT_ISA")
    assert repr(level) in message
    assert ", ".join(CONFIG["isa_available"]) in message


# Fork ---------------------------------------------------------------------------------------------


@needs_fork
def test_child_of_fork_gives_the_same_bytes(python):
    script = """
        set_num_threads(3)
        want = softmax(x).tobytes()
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(0 if softmax(x).tobytes() == want else 3)
            finally:
                os._exit(4)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        assert softmax(x).tobytes() == want  # the parent goes on, threads and all
        """
    assert python("-W", "ignore", "-c", code(script)).split() == ["0"]


@needs_fork
def test_grandchildren_and_threads_of_children(python):
    script = """
        set_num_threads(2)
        want = softmax(x).tobytes()

        def family(depth):
            pid = os.fork()
            if pid == 0:
                status = 4
                try:
                    set_num_threads(3)  # has no effect on what a child may do, and no ill one
                    results = []
                    pool = [threading.Thread(target=lambda: results.append(softmax(x).tobytes()))
                            for _ in range(3)]
                    [t.start() for t in pool]
                    [t.join() for t in pool]
                    status = family(depth - 1) if depth else 0
                    if results != [want] * 3:
                        status = 3
                finally:
                    os._exit(status)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        print(family(2))
        """
    assert python("-W", "ignore", "-c", code(script)).split() == ["0"]


@needs_fork
def test_fork_while_another_thread_is_inside_a_call(python):
    script = """
        set_num_threads(2)
        want = softmax(x).tobytes()
        stop = threading.Event()

        def work():
            while not stop.is_set():
                softmax(x)

        worker = threading.Thread(target=work)
        worker.start()
        codes = set()
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                try:
                    os._exit(0 if softmax(x).tobytes() == want else 3)
                finally:
                    os._exit(4)
            codes.add(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        stop.set()
        worker.join()
        print(codes)
        """
    assert python("-W", "ignore", "-c", code(script)).strip() == "{0}"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(python, tmp_path, method):
    if method != "spawn" and not hasattr(os, "fork"):
        pytest.skip("no fork here")
    # A file, since spawned children import the main module.
    script = f"""
        import multiprocessing

        def work(i):
            return softmax(x + i).tobytes()

        if __name__ == "__main__":
            set_num_threads(2)
            want = [work(i) for i in range(6)]
            with multiprocessing.get_context("{method}").Pool(2) as pool:
                assert pool.map(work, range(6)) == want
            assert work(0) == want[0]
            print("same")
        """
    path = tmp_path / "script.py"
    path.write_text(code(script))
    assert python("-W", "ignore", str(path)).strip() == "same"


# Python threads, the GIL --------------------------------------------------------------------------


def test_eight_python_threads_at_once(threads):
    """Each sees its own results, small calls and large, and of every function."""
    threads(2)
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape) for shape in [(3, 5), (40, 33), (1, 200_000), (300, 700)] * 2]
    want = [(softmax(x), log_softmax(x, 0), softmax_vjp(x, x)) for x in inputs]
    barrier = threading.Barrier(8)

    def work(i):
        barrier.wait()
        out = np.empty_like(inputs[i])
        for _ in range(20):
            softmax(inputs[i], out=out)
            results = out, log_softmax(inputs[i], 0), softmax_vjp(inputs[i], inputs[i])
            for got, expected in zip(results, want[i], strict=True):
                if got.tobytes() != expected.tobytes():
                    return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_number_of_threads_may_change_while_calls_run(threads):
    x = np.random.default_rng(1).normal(size=(300, 700))
    want = softmax(x).tobytes()

    def change(i):
        for n in range(200):
            threads(1 + (n + i) % 4)
        return True

    def work(_):
        return all(softmax(x).tobytes() == want for _ in range(30))

    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(work, i) for i in range(4)] + [pool.submit(change, i) for i in range(2)]
        assert all(job.result() for job in jobs)


def test_gil_is_let_go(threads):
    """While one long call runs, another thread gets its turn, though none is taken from the first."""
    threads(1)
    x = np.zeros((1000, 10_000), np.float32)
    out = np.empty_like(x)

    def turn_during_the_call():
        started, done = threading.Event(), threading.Event()

        def call():
            started.set()
            softmax(x, out=out)
            done.set()

        worker = threading.Thread(target=call)
        worker.start()
        started.wait()
        during = not done.is_set()
        worker.join()
        return during

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # seconds: threads take turns only where the GIL is let go
    try:
        # Once is proof; a busy system may wake this thread too late, again and again.
        assert any(turn_during_the_call() for _ in range(100))
    finally:
        sys.setswitchinterval(interval)


# Signals ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer here")
def test_signals_during_calls_do_not_show(python):
    script = """
        import signal
        caught = []
        signal.signal(signal.SIGALRM, lambda *_: caught.append(softmax(x[:2]).tobytes()))  # a call within a call
        set_num_threads(2)
        small, large = softmax(x[:2]).tobytes(), softmax(x).tobytes()
        signal.setitimer(signal.ITIMER_REAL, 1e-3, 1e-3)
        while len(caught) < 50:
            assert softmax(x).tobytes() == large
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(set(caught) == {small})
        """
    assert python("-c", code(script)).split() == ["True"]


def test_keyboard_interrupt(python):
    """It is raised once the call has come to its end; the next call is as any other."""
    script = """
        import signal, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
        set_num_threads(2)
        want = softmax(x).tobytes()
        out = np.empty_like(x)
        interrupted = 0
        end = time.monotonic() + 60
        for delay in np.linspace(0, 0.01, 20):
            timer = threading.Timer(delay, signal.raise_signal, [signal.SIGINT])
            try:
                timer.start()
                while time.monotonic() < end:
                    softmax(x, out=out)
            except KeyboardInterrupt:
                interrupted += 1
            timer.join()
            assert softmax(x, out=out).tobytes() == want
        print(interrupted)
        """
    assert python("-c", code(script)).split() == ["20"]


# Memory that runs out ------------------------------------------------------------------------------


@needs_linux
@pytest.mark.parametrize("n", [1, pytest.param(2, marks=needs_openmp)])
def test_no_memory_for_working_blocks_is_a_memory_error(python, n):
    """A row of many pieces needs more scratch than the process may have; then it may have it again."""
    script = f"""
        import resource
        set_num_threads({n})
        row = np.zeros((1, 40_000_000), np.float32)  # its partial sums take 2.5 MB
        row[0, 7] = 1
        out = np.empty_like(row)
        softmax(row, out=out)  # also starts the threads, which need memory of their own
        want, kept = hash(out.tobytes()), hash(row.tobytes())
        spare = 1_000_000
        used = 4096 * int(open("/proc/self/statm").read().split()[0])
        former = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + spare, former[1]))
        for _ in range(200):  # lost blocks would add up
            try:
                softmax(row, out=out)
                print("no error")
            except MemoryError as error:
                message = str(error)
        assert 4096 * int(open("/proc/self/statm").read().split()[0]) <= used + spare
        resource.setrlimit(resource.RLIMIT_AS, former)
        assert hash(row.tobytes()) == kept
        assert hash(softmax(row, out=out).tobytes()) == want
        print(message)
        """
    assert python("-c", code(script)).strip() == "softmax_ext: no memory for the working blocks"


# Floating-point state ------------------------------------------------------------------------------


@needs_linux
def test_floating_point_state_is_the_callers(python):
    """Rounding upward and pending flags are kept, and show in no result; nor do those that workers inherit."""
    script = """
        import ctypes
        libm = ctypes.CDLL("libm.so.6")
        upward = {"x86_64": 0x800, "aarch64": 0x400000}[os.uname().machine]
        invalid, overflow = {"x86_64": (1, 8), "aarch64": (1, 4)}[os.uname().machine]
        every_flag = libm.fetestexcept  # of those raised, the ones asked for
        x[0, :3] = np.nan, np.inf, 1e-45
        x[1, :2] = -np.inf, 1e30
        small = x[:2, :5].copy()
        set_num_threads(1)
        want = [f(a).tobytes() for f in (softmax, log_softmax) for a in (x, small, x[::-1, ::2], x.T)]
        for n in (1, 3):  # the threads beside the first start in the odd state
            set_num_threads(n)
            for flags in (0, invalid, overflow):
                libm.feclearexcept(0x1f)
                libm.feraiseexcept(flags)
                libm.fesetround(upward)
                got = [f(a).tobytes() for f in (softmax, log_softmax) for a in (x, small, x[::-1, ::2], x.T)]
                state = libm.fegetround(), every_flag(0x1f) & ~flags & (invalid | overflow), every_flag(flags)
                libm.fesetround(0)
                assert state == (upward, 0, flags), state
                assert got == want
        print("kept")
        """
    assert python("-c", code(script)).strip() == "kept"


# Sub-interpreters ----------------------------------------------------------------------------------


def test_sub_interpreters_are_refused_or_right(python):
    inside = f"""
        import warnings
        warnings.simplefilter("ignore")  # NumPy warns, or refuses
        try:
            import numpy as np
            from softmax_ext import softmax
        except ImportError:
            print("refused", flush=True)
        else:
            x = {PARALLEL}
            print("right" if softmax(x).tobytes().hex()[:64] == WANT else "wrong", flush=True)
        """
    script = """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        want = softmax(x).tobytes().hex()[:64]
        for _ in range(2):
            other = interpreters.create()
            interpreters.run_string(other, f"WANT = {want!r}" + chr(10) + os.environ["INSIDE"])
            interpreters.destroy(other)
        assert softmax(x).tobytes().hex()[:64] == want
        """
    done = python("-c", code(script), INSIDE=textwrap.dedent(inside), check=False)
    if "No module named '_xxsubinterpreters'" in done.stderr:
        pytest.skip("this Python shows no sub-interpreters")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() in (["refused"] * 2, ["right"] * 2)


# Sizes ---------------------------------------------------------------------------------------------

BEYOND_32_BITS = 2**31 + 100


def available_memory():
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return 0
    return 1024 * int(re.search(r"^MemAvailable: +(\d+) kB", text, re.MULTILINE)[1])


@pytest.mark.slow
@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_row_of_more_elements_than_32_bits_count(function):
    """In place: one number, whose exponential is no simple one, but for a few elements far apart."""
    if available_memory() < 5 * BEYOND_32_BITS:
        pytest.skip("takes 9 GB of memory")
    places = [0, 4096, 2**31 - 1, 2**31, 2**31 + 1, BEYOND_32_BITS - 1]
    x = np.full(BEYOND_32_BITS, 3, np.float32)
    x[places] = np.arange(20, 20 + len(places))
    usual, terms = np.exp(np.longdouble(3)), np.exp(x[places].astype(np.longdouble))
    total = (BEYOND_32_BITS - len(places)) * usual + np.sum(terms)
    shares, rest = terms / total, usual / total
    want, rest = (shares, rest) if function is softmax else (np.log(shares), np.log(rest))
    assert function(x, out=x) is x
    assert np.max(np.abs(x[places] - want) / np.spacing(np.abs(want).astype(np.float32))) <= 2
    x[places] = x[1]
    assert x.min() == x.max()  # every other element is the same one
    assert abs(x[1] - rest) <= 2 * np.spacing(np.abs(np.float32(rest)))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_view_of_more_elements_than_32_bits_count(dtype):
    """A zero stride: no memory is needed, and rows are gathered."""
    row = np.broadcast_to(dtype(3), BEYOND_32_BITS)
    want = np.longdouble(3) + np.log(np.longdouble(BEYOND_32_BITS))
    assert abs(softmax_ext.logsumexp(row) - want) <= 2 * np.spacing(dtype(want))
    columns = np.broadcast_to(np.array([dtype(3), dtype(4)]), (BEYOND_32_BITS // 2, 2))
    want = np.longdouble([3, 4]) + np.log(np.longdouble(BEYOND_32_BITS // 2))
    assert np.all(np.abs(softmax_ext.logsumexp(columns, axis=0) - want) <= 2 * np.spacing(want.astype(dtype)))


# Import -------------------------------------------------------------------------------------------


@needs_linux
def test_import_starts_no_thread(python):
    script = """
        import os, numpy
        before = len(os.listdir("/proc/self/task"))
        import softmax_ext
        print(len(os.listdir("/proc/self/task")) - before)
        """
    assert python("-c", textwrap.dedent(script)).strip() == "0"


def test_import_brings_in_numpy_alone(python):
    script = """
        import sys, numpy
        before = set(sys.modules)
        import softmax_ext
        print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
        """
    found = set(python("-c", textwrap.dedent(script)).split())
    assert found <= {"softmax_ext", "cython_runtime", "__future__", "typing", "numpy"} | {
        name for name in found if name.startswith("_cython")
    }


def test_import_is_fast_beside_numpys(python):
    """A tenth of NumPy's own would be a lot; half is a margin that no busy machine needs."""
    script = """
        import time
        start = time.perf_counter()
        import numpy
        middle = time.perf_counter()
        import softmax_ext
        print(middle - start, time.perf_counter() - middle)
        """
    times = [[float(t) for t in python("-c", textwrap.dedent(script)).split()] for _ in range(5)]
    numpy, own = np.min(times, axis=0)
    assert own < numpy / 2


def test_import_leaves_the_floating_point_mode_alone(python):
    """A library linked with -ffast-math would flush subnormals to zero from here on."""
    script = """
        import numpy as np
        np.seterr(all="ignore")
        tiny = np.float64(5e-324), np.float32(1e-45)
        import softmax_ext
        softmax_ext.softmax(np.zeros((400, 1000)))
        assert tiny[0] * 1 == tiny[0] and tiny[1] * np.float32(1) == tiny[1]
        assert np.float64(2.3e-308) / 4 > 0
        print("kept", np.geterr()["all"] if "all" in np.geterr() else np.geterr()["over"])
        """
    assert python("-c", textwrap.dedent(script)).strip() == "kept ignore"


@pytest.mark.parametrize("calls", [30_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_memory_stays_flat(calls):
    """References and scratch memory are given back, also by calls that fail."""
    resource = pytest.importorskip("resource")
    x = np.random.default_rng(2).normal(size=(50, 10))
    deep = np.random.default_rng(2).normal(size=(5000, 3))  # more scratch than the stack has
    bad = np.empty((50, 9))

    def rounds(n):
        for i in range(n):
            softmax(x)
            softmax(x[::-1, ::2], 0)
            softmax_vjp(x, x[0])
            softmax(x.astype(">f8"), out=x)
            if i % 10 == 0:
                softmax(deep, 0)
            for axis, out in ((7, None), (-1, bad)):
                with contextlib.suppress(ValueError):
                    softmax(x, axis, out=out)

    rounds(500)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rounds(calls // 6)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    unit = 1 if sys.platform == "darwin" else 1024
    # One array lost in each round would be 4 kB times the rounds; the allocator itself may take some more.
    assert grown * unit < 8e6
    references = sys.getrefcount(x)
    rounds(10)
    assert sys.getrefcount(x) == references
