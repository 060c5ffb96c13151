"""The OpenMP runtime's start: how many threads to use by default, and how long they wait for more work."""

import contextlib
import os
from collections.abc import Iterator

# What OpenMP runtimes read, when they are loaded, about threads that have nothing to do. What the user sets rules.
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")

# GNU's runtime would spin 300,000 times, LLVM's for 200 ms: all the while on a processor that another library's threads
# want. This is 1 ms or so. Much less, and a thread that is woken on the processor of the thread that waits for it, as
# Linux may do, would never be there long enough to be moved to another (bench/README.md).
BRIEFLY = {"GOMP_SPINCOUNT": "30000", "KMP_BLOCKTIME": "1"}


@contextlib.contextmanager
def brief_waits() -> Iterator[None]:
    """Have an OpenMP runtime that is loaded meanwhile let threads without work spin for a short time only.

    Leaves the environment as it was. A runtime that another package has loaded before, and shares, stays as it is.
    """
    if any(name in os.environ for name in WAITING):
        yield
        return
    os.environ.update(BRIEFLY)
    try:
        yield
    finally:
        for name in BRIEFLY:
            os.environ.pop(name, None)


MOST_THREADS = 1 << 16
NO_QUOTA = 1 << 20  # CPUs: more than any machine has


def default_threads(processors: int, runtime_threads: int) -> int:
    """Return the number of threads used until `set_num_threads` says otherwise.

    The first of these that is set: ``SOFTMAX_EXT_NUM_THREADS``; ``OMP_NUM_THREADS``; the CPUs that this process may
    use, by its affinity and by the CPU quota of its control group.

    Parameters
    ----------
    processors : int
        CPUs that the OpenMP runtime has found, 0 for none. ``OMP_PROC_BIND``, ``OMP_PLACES`` and ``GOMP_CPU_AFFINITY``
        have it bind the thread that loads it to a single one: so the affinity says no more how many there were.
    runtime_threads : int
        Threads that the runtime would use: what it has made of ``OMP_NUM_THREADS``.

    Returns
    -------
    int

    Raises
    ------
    ImportError
        If ``SOFTMAX_EXT_NUM_THREADS`` is not an integer from 1 to 65536.
    """
    asked = os.environ.get("SOFTMAX_EXT_NUM_THREADS", "").strip()
    if asked:
        # Python refuses to read thousands of digits.
        if not asked.isdecimal() or len(asked) > 100 or not 1 <= int(asked) <= MOST_THREADS:
            raise ImportError(
                f"SOFTMAX_EXT_NUM_THREADS: got {asked[:100]!r}, expected a positive integer up to {MOST_THREADS}"
            )
        return int(asked)
    # A list is for nested regions, the outermost first. The runtime ignores what is no number. What it makes of one
    # that is too large may be anything, even something negative.
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdecimal() and len(asked) < 10 and int(asked) > 0:
        return min(int(asked), MOST_THREADS)
    if asked.isdecimal() and 0 < runtime_threads <= MOST_THREADS:
        return runtime_threads
    return max(1, min(processors or _cpus(), _quota()))


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _quota(root: str = "/") -> int:
    """Return the CPUs that the quotas of this process's control groups are worth, rounded up.

    A group has a share of its parent's, so the least quota on the way up counts. In a container, the mounted root may
    be the process's own group, and the path that the kernel tells may lead nowhere: a missing file sets no limit.

    Parameters
    ----------
    root : str
        Where ``proc`` and ``sys`` are; for tests.

    Returns
    -------
    int
        `NO_QUOTA` if there is none.
    """
    mounted = os.path.join(root, "sys/fs/cgroup")
    least = NO_QUOTA
    for line in _read(os.path.join(root, "proc/self/cgroup")).splitlines() or ["0::/"]:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":  # version 2, alone or beside version 1
            tops, read = [mounted, os.path.join(mounted, "unified")], _quota_2
        elif "cpu" in controllers.split(","):
            tops, read = [os.path.join(mounted, name) for name in ("cpu", controllers)], _quota_1
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for top in tops:
            for depth in range(len(parts) + 1):
                least = min(least, read(os.path.join(top, *parts[:depth])))
    return least


def _quota_2(group: str) -> int:
    quota, period, *_ = [*_read(os.path.join(group, "cpu.max")).split(), "", ""]  # or "max period"
    return _whole_cpus(quota, period)


def _quota_1(group: str) -> int:
    quota, period = (_read(os.path.join(group, f"cpu.cfs_{name}_us")).strip() for name in ("quota", "period"))
    return _whole_cpus(quota, period)  # -1 for none


def _whole_cpus(quota: str, period: str) -> int:
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return NO_QUOTA
    return max(1, -(-int(quota) // int(period)))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
