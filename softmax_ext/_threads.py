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


def default_threads() -> int:
    """Return the number of threads used until `set_num_threads` says otherwise.

    The first of these that is set: ``SOFTMAX_EXT_NUM_THREADS``; ``OMP_NUM_THREADS``; the CPUs that this process may
    use, by its affinity and by the CPU quota of its control group.

    Returns
    -------
    int

    Raises
    ------
    ImportError
        If ``SOFTMAX_EXT_NUM_THREADS`` is not a positive integer.
    """
    asked = os.environ.get("SOFTMAX_EXT_NUM_THREADS", "").strip()
    if asked:
        if not asked.isdecimal() or int(asked) < 1:
            raise ImportError(f"SOFTMAX_EXT_NUM_THREADS: got {asked!r}, expected a positive integer")
        return int(asked)
    # A list is for nested regions, the outermost first. What is no number the OpenMP runtime ignores too.
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return max(1, min(_cpus(), _quota()))


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _quota(root: str = "/sys/fs/cgroup") -> int:
    """Return the CPUs that the control group's quota is worth, rounded up; without one, more than any machine has."""
    try:
        with open(f"{root}/cpu.max", encoding="utf-8") as file:  # version 2: "quota period" or "max period"
            quota, period = file.read().split()
    except (OSError, ValueError):
        try:
            with open(f"{root}/cpu/cpu.cfs_quota_us", encoding="utf-8") as file:  # version 1: -1 for none
                quota = file.read().strip()
            with open(f"{root}/cpu/cpu.cfs_period_us", encoding="utf-8") as file:
                period = file.read().strip()
        except OSError:
            quota = "max"
    if not quota.isdecimal():
        return 1 << 20
    return max(1, -(-int(quota) // int(period)))
