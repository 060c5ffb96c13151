"""What a reader needs to judge the figures: the machine, and what was set on it."""

import datetime
import os
import platform
import time
from pathlib import Path

# Variables that change how a peer runs. They are passed on as they are.
PREFIXES = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMBA_", "NPY_", "ATEN_", "XLA_", "MALLOC_")
PREFIXES += ("TF_ENABLE_", "TF_NUM_", "TF_XLA_", "SOFTMAX_EXT_")


def describe():
    """Describe the machine.

    Returns
    -------
    dict
        Strings and numbers, ready for JSON.
    """
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cpus": len(usable_cpus()),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(PREFIXES)},
    }


class Bystanders:
    """Measures how much of the machine other programs used, while a run went on."""

    def __init__(self):
        self.start = self._others(), time.monotonic()

    def share(self):
        """Share of the CPUs' time since the start; None where the system does not tell.

        Processes of the run must have ended, or theirs counts as that of others.
        """
        if self.start[0] is None:
            return None
        seconds = self._others() - self.start[0]
        return max(0.0, seconds) / (time.monotonic() - self.start[1]) / os.cpu_count()

    @staticmethod
    def _others():
        """CPU seconds used since boot, less those of this process and its children."""
        line = (_read("/proc/stat") or "").partition("\n")[0].split()
        if not line:
            return None
        user, nice, system, _idle, _wait, *rest = map(int, line[1:9])
        ticks = user + nice + system + sum(rest)
        return ticks / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


def cpu_model():
    """Name the CPU as the system does, or as Python can."""
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cpus():
    """CPUs that this process may use, those on cores of their own first.

    Returns
    -------
    list of int
    """
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    cpus, taken = sorted(os.sched_getaffinity(0)), []

    def turn(cpu):
        topology = f"/sys/devices/system/cpu/cpu{cpu}/topology/"
        core = (_read(topology + "physical_package_id"), _read(topology + "core_id"))
        taken.append(core if None not in core else cpu)
        return taken.count(taken[-1])

    return sorted(cpus, key=turn)


def _read(path):
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
