"""A cluster on this machine whose workers are killed if they hold too much."""

import contextlib

import dask
import pytest


@contextlib.contextmanager
def small_cluster(megabytes):
    """Give a client of two worker processes with that much memory each.

    Spilling is off, and a task that was lost is not tried again, so that a worker that holds its chunks ends the test.
    """
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("psutil")  # without it the limit would not be kept
    memory = {"target": False, "spill": False, "pause": False, "terminate": 0.95}
    with (
        dask.config.set({f"distributed.worker.memory.{key}": value for key, value in memory.items()}),
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            memory_limit=f"{megabytes}MB",
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
