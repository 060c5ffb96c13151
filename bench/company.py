"""Calls in company: beside busy loops, beside copies of the same program, with pauses in between.

Each call is timed by itself, since the slow ones count: a median would not show that a second thread makes a call wait,
now and then, for the slice of another program.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.cases import expected, make
from bench.environment import usable_cpus
from bench.peers import OURS
from bench.pool import Lost, Refused, Worker

TURN = 0.5  # Seconds.


class Company:
    """Processes that are measured together, and the records that come of them.

    Use as a context manager: on leaving it, no process is left.

    Parameters
    ----------
    peers, threads, timeout, rounds, tick
        As of `bench.rounds.Rounds`. One thread, and all CPUs' number, come by themselves.
    """

    def __init__(self, peers, threads, timeout, rounds, tick):
        self.timeout, self.rounds, self.tick = timeout, rounds, tick
        counts = sorted({1, len(usable_cpus()), *threads})
        self.keys = [(name, count) for name in [OURS, *peers] for count in counts]
        self.processes, self.records = [], []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()

    def stop(self):
        """End all processes."""
        for process in self.processes:
            process.stop() if isinstance(process, Worker) else (process.kill(), process.wait())
        self.processes = []

    def cost(self):
        """Guess the seconds that a case takes."""
        return len(self.keys) * self.rounds * TURN

    def measure(self, case, busy, copies, gap):
        """Time one case: each peer with each number of threads, in turns.

        Parameters
        ----------
        case : bench.cases.Case
        busy : int
            Loops that run all the while.
        copies : int
            Processes of a peer that call at the same time.
        gap : float
            Seconds between calls.
        """
        about = {"case": case.name, "busy": busy, "processes": copies, "gap": gap, "error": None}
        teams, found = {}, {key: [] for key in self.keys}
        records = {key: about | {"peer": key[0], "threads": key[1]} for key in self.keys}
        self.records.extend(records.values())
        try:
            with tempfile.TemporaryDirectory() as folder:
                arrays = make(case)
                np.savez(Path(folder, "case.npz"), **arrays, expected=expected(case, arrays))
                for key in self.keys:
                    try:
                        teams[key] = self.start(key, copies, case, folder)
                    except (Lost, Refused) as error:
                        records[key]["error"] = str(error)
            for _ in range(busy):
                self.processes.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            for _ in range(self.rounds):
                for key, team in teams.items():
                    for worker in team:
                        worker.send("every_call", seconds=TURN, gap=gap)
                    try:
                        found[key] += [seconds for worker in team for seconds in worker.receive()]
                    except (Lost, Refused) as error:
                        records[key]["error"] = str(error)
                    self.tick(case.name, TURN)
        finally:
            self.stop()
        for key, seconds in found.items():
            if seconds:
                records[key] |= {
                    "calls": len(seconds),
                    "mean": statistics.fmean(seconds),
                    "median": statistics.median(seconds),
                    "p99": float(np.quantile(seconds, 0.99)),
                }
            elif not records[key]["error"]:
                records[key]["error"] = "no call ended in time"

    def start(self, key, copies, case, folder):
        """Start the processes of one peer, ready to be timed."""
        team = [Worker(*key, self.timeout, is_free=True) for _ in range(copies)]
        self.processes += team
        for worker in team:
            worker.greet()
            if "own" not in worker.ask("prepare", case=case, folder=folder, forms=["own"]):
                raise Refused("does not offer it")
        return team
