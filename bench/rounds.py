"""The schedule: peers take turns, round by round, and every time is written down.

A machine drifts, by tens of percent in minutes. So each peer gets a short turn in each round, and
peers are compared within rounds. Only one process works at any moment.
"""

import itertools
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from bench import accuracy
from bench.cases import DTYPES, expected, make
from bench.peers import OURS, YARDSTICKS
from bench.pool import Lost, Refused, Worker

# Rough costs in seconds, for the progress bar.
START = 2.0
PREPARE = 12  # Turns that it takes to prepare a case.
TRAINING = 0.5
JUDGING = 2.0

TRAININGS = 3
PATIENCE = 2  # Times that a peer may crash or hang before it is left out.


class Rounds:
    """All processes, and the records that come of them.

    Use as a context manager: on leaving it, no process is left.

    Parameters
    ----------
    peers : list of str
        Names of `bench.peers.PEERS`; softmax_ext and the yardsticks come by themselves.
    threads : list of int
        Each peer gets a process for each of these.
    timeout : float
        Seconds that a peer may take to answer.
    rounds : int
    tick : callable
        Called with a description and a rough cost in seconds, whenever that much is done.
    """

    def __init__(self, peers, threads, timeout, rounds, tick):
        self.timeout, self.rounds, self.tick = timeout, rounds, tick
        names = [OURS, *peers, *YARDSTICKS]
        self.workers = {(name, count): None for count in threads for name in names}
        self.crashes = Counter()
        self.results = {"peers": [], "digits": [], "accuracy": [], "speed": []}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for worker in filter(None, self.workers.values()):
            worker.stop()

    def start(self):
        """Start all processes at once, then wait for each."""
        for key in self.workers:
            self.workers[key] = Worker(*key, self.timeout)
        for key in list(self.workers):
            about = {"peer": key[0], "threads": key[1]}
            self.results["peers"].append(about)
            try:
                about |= self.workers[key].greet().about
            except Lost as error:
                about["absent"] = str(error)
                del self.workers[key]
            self.tick(f"starting {key[0]}", START)

    def ask(self, key, request, **arguments):
        """Ask one worker. A lost one is started anew, and left out once it is lost too often.

        Raises
        ------
        Lost, Refused
            As `Worker.ask`.
        """
        try:
            if self.workers[key] is None:
                self.workers[key] = Worker(*key, self.timeout)
                self.workers[key].greet()
            return self.workers[key].ask(request, **arguments)
        except Lost as error:
            self.workers[key] = None
            self.crashes[key] += 1
            if self.crashes[key] == PATIENCE:
                del self.workers[key]
                raise Lost(f"{error}; left out from here on") from None
            raise

    def measure(self, name, case, forms):
        """Time one case.

        Parameters
        ----------
        name : str
            The set that the case belongs to.
        case : bench.cases.Case
        forms : list of str
            Names of `bench.peers.FORMS`.
        """
        turn = turn_cost(case)
        about = {"set": name, "case": case.name}
        records = {}
        with tempfile.TemporaryDirectory() as folder:
            arrays = make(case)
            np.savez(Path(folder, "case.npz"), **arrays, expected=expected(case, arrays))
            del arrays
            for key in list(self.workers):
                entry = about | {"threads": key[1], "peer": key[0]}
                try:
                    prepared = self.ask(key, "prepare", case=case, folder=folder, forms=forms)
                except (Lost, Refused) as error:
                    self.results["speed"].append(entry | {"form": "own", "seconds": [], "error": str(error)})
                    continue
                finally:
                    self.tick(case.name, PREPARE * turn)
                for form, statement in prepared.items():
                    record = entry | {"form": form, "statement": statement}
                    records[key, form] = record | {"seconds": [], "error": None}
        self.results["speed"].extend(records.values())
        ready = list(dict.fromkeys(key for key, _ in records))
        order = list(ready)
        for _ in range(self.rounds):
            for key in order:
                if key in ready:
                    self.take_turn(key, records, ready)
                self.tick(case.name, turn)
            # Nobody always comes first, or last.
            order = order[1:] + order[:1]

    def take_turn(self, key, records, ready):
        """Have one peer time its forms once; strike it from `ready` if it is lost."""
        try:
            for form, seconds in self.ask(key, "turn").items():
                records[key, form]["seconds"].append(seconds)
        except (Lost, Refused) as error:
            ready.remove(key)
            for (owner, _), record in records.items():
                if owner == key:
                    record["error"] = str(error)

    def train(self):
        """Train on the digits, with plain NumPy and with softmax_ext."""
        keys = [key for key in self.workers if key[0] in (OURS, "numpy")]
        records = [{"peer": peer, "threads": threads, "trainings": []} for peer, threads in keys]
        self.results["digits"].extend(records)
        for _ in range(TRAININGS):
            for key, record in zip(keys, records, strict=True):
                try:
                    record["trainings"].append(self.ask(key, "train"))
                except (Lost, Refused) as error:
                    record["error"] = str(error)
                self.tick("training on digits", TRAINING)

    def judge(self):
        """Find the largest errors of every peer, with the first of the numbers of threads."""
        threads = min(count for _, count in self.workers)
        for dtype, length in itertools.product(DTYPES, accuracy.ROWS):
            for op, arrays, truth in accuracy.truths(dtype, length):
                for key in [key for key in self.workers if key[1] == threads]:
                    about = {"op": op, "dtype": dtype, "length": length, "peer": key[0]}
                    record = about | {"unit": accuracy.UNITS[op], "worst": None, "error": None}
                    try:
                        result = self.ask(key, "results", op=op, arrays=arrays)
                        if result is not None:
                            record["worst"] = accuracy.worst(result, truth)
                    except (Lost, Refused) as error:
                        record["error"] = str(error)
                    self.results["accuracy"].append(record)
                self.tick(f"accuracy of {op}, {dtype}", JUDGING)

    def cost_of_judging(self):
        """Guess the seconds that `judge` takes."""
        return JUDGING * len(DTYPES) * len(accuracy.ROWS) * len(accuracy.OPERATIONS)

    def cost_of_training(self):
        """Guess the seconds that `train` takes."""
        return TRAINING * TRAININGS * sum(name in (OURS, "numpy") for name, _ in self.workers)

    def cost_of_start(self):
        """Guess the seconds that starting takes."""
        return START * len(self.workers)

    def cost_of(self, case):
        """Guess the seconds that a case takes."""
        return len(self.workers) * (PREPARE + self.rounds) * turn_cost(case)


def turn_cost(case):
    """Guess the seconds of a turn, for the progress bar."""
    return 0.13 + 1e-8 * case.size
