"""One peer in a process of its own: ``python -m bench.worker PEER THREADS [free]``.

With fewer threads than CPUs it keeps to as many CPUs, unless it is to be free to run on any.

Reads pickled requests from standard input and answers each on standard output: a dict, in which
``error`` or ``missing`` says what went wrong. Ends when its input ends, so that it outlives no
parent. `Worker` in `pool` is the other side.
"""

import math
import os
import pickle
import statistics
import sys
import time
from timeit import Timer

from bench.environment import usable_cpus

SAMPLE = 2e-3  # Seconds that one sample takes at least.
SAMPLES = 5  # In a turn; fewer, down to one, if they take longer than
TURN = 0.1  # seconds.
WARM = 0.1  # Seconds of calls before the samples of a turn.
ONE = (None,)  # What a timer goes through to make one call.
FAR_ABOVE = 3  # Times its usual time, at which a bound is measured again,
TRIES = 5  # so many times at most.
IDLE = 5e-3  # Seconds over which the threads' rest is watched.


class Session:
    """What a worker can be asked for: each method is a request, and returns the answer."""

    def __init__(self, peer):
        self.peer = peer
        self.timers = {}
        self.usual = {}

    def prepare(self, case, folder, forms):
        """Compile, check and calibrate a case, and keep the fastest statement of each form.

        Parameters
        ----------
        case : Case
        folder : str
            Where the parent has put the case's arrays, and what a right result is.
        forms : list of str
            The forms that are wanted.

        Returns
        -------
        dict of str to str
            The statement of each form that the peer has.
        """
        arrays, expected = load_arrays(folder)
        self.timers, statements = {}, {}
        self.usual = {}
        if "where" in arrays and not getattr(self.peer, "knows_masks", False):
            return statements
        offered = self.peer.calls(case.op, case.axis, arrays)
        for form in forms:
            best = math.inf
            for call in offered.get(form, ()):
                if hasattr(self.peer, "as_numpy"):
                    self.check(call, case, expected)
                timer = Timer(call.statement, globals=call.names)
                seconds, calls = calibrate(timer)
                if seconds / calls < best:
                    self.usual[form] = best = seconds / calls
                    self.timers[form], statements[form] = (timer, calls), call.statement
        settle()
        return statements

    def check(self, call, case, expected):
        """Raise an error unless a statement's result is roughly right."""
        import numpy as np

        from bench.cases import first_rows

        result = self.peer.as_numpy(eval(call.statement, dict(call.names)))
        if case.op == "cross_entropy":
            result = result[1]
        if case.op == "logsumexp":
            result = np.expand_dims(result, case.axis)
        rows = first_rows(result, case.axis)
        if str(rows.dtype) != case.dtype:
            raise TypeError(f"{call.statement} gives {rows.dtype}")
        rtol = {"float16": 8e-3, "bfloat16": 6e-2}.get(case.dtype, 1e-3)
        if not np.allclose(rows.astype(np.float64), expected, rtol=rtol, atol=1e-5 * np.abs(expected).max()):
            raise ArithmeticError(f"{call.statement} gives a wrong result")

    def turn(self):
        """Time every form once more.

        Returns
        -------
        dict of str to float
            Seconds a call, the median of a few samples.
        """
        seconds = {}
        for form, (timer, calls) in self.timers.items():
            # Does not count: wakes the threads, and fills the caches with this peer's arrays again. It takes as long as
            # a library needs that learns from its calls, such as how many threads they are worth.
            end = time.perf_counter() + WARM
            first = timer.timeit(calls)
            while time.perf_counter() < end:
                timer.timeit(calls)
            # A hitch then or now: what was calibrated no longer fits.
            if first < SAMPLE / 2 or (calls > 1 and first > 10 * SAMPLE):
                first, calls = calibrate(timer)
                self.timers[form] = timer, calls
            count = min(SAMPLES, int(TURN / first) or 1)
            seconds[form] = sample(timer, count, calls)
            # A bound that was far lower before is not what it is now: something was in its way.
            tries = TRIES if getattr(self.peer, "is_bound", False) else 0
            while tries and seconds[form] > FAR_ABOVE * self.usual[form]:
                settle()
                seconds[form] = min(seconds[form], sample(timer, count, calls))
                tries -= 1
            self.usual[form] = min(self.usual[form], seconds[form])
        settle()
        return seconds

    def every_call(self, seconds, gap):
        """Time each call of the case's own form, for so long; between calls, sleep for `gap` seconds.

        Returns
        -------
        list of float
            Seconds of each call, without those of the first tenth of the time.
        """
        timer, _ = self.timers["own"]
        start, once, found = time.perf_counter(), timer.inner, []
        while (now := time.perf_counter() - start) < seconds:
            if gap:
                time.sleep(gap)
            took = once(ONE, time.perf_counter)
            if now > seconds / 10:
                found.append(took)
        return found

    def results(self, op, arrays):
        """Compute an operation over the last axis, by the first of the peer's statements.

        Returns
        -------
        ndarray or None
            None if the peer does not offer it, or only measures.
        """
        calls = self.peer.calls(op, -1, arrays).get("own")
        if not calls or not hasattr(self.peer, "as_numpy"):
            return None
        return self.peer.as_numpy(eval(calls[0].statement, dict(calls[0].names)))

    def train(self):
        """Train on the digits with this peer's functions on NumPy arrays."""
        from bench import digits

        result = digits.train(self.peer.functions)
        settle()
        return result


def sample(timer, count, calls):
    """Seconds a call, the median of so many samples."""
    return statistics.median(timer.repeat(count, calls)) / calls


def calibrate(timer):
    """Find how many calls fill a sample.

    Parameters
    ----------
    timer : timeit.Timer

    Returns
    -------
    seconds : float
        What those calls took.
    calls : int
    """
    timer.timeit(1)
    calls = 1
    # The best of three: one hitch must not make the samples too short.
    while (seconds := min(timer.repeat(3, calls))) < SAMPLE:
        calls = max(2 * calls, int(1.2 * calls * SAMPLE / max(seconds, 1e-9)))
    return seconds, calls


def settle(patience=1.0):
    """Wait until this process's threads rest, so that the next peer has the machine to itself.

    Thread pools spin for a while after their work, some for a fifth of a second. To forbid it would
    change how a peer runs; so it is waited for.
    """
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before = time.process_time()
        time.sleep(IDLE)
        if time.process_time() - before < IDLE / 10:
            return


def load_arrays(folder):
    """Read what `rounds` has saved for a case: its arrays, and what a right result is."""
    import numpy as np

    with np.load(os.path.join(folder, "case.npz")) as saved:
        arrays = {name: saved[name] for name in saved.files}
    for name, array in arrays.items():
        if array.dtype.kind == "V":  # NumPy's files do not know the type
            from ml_dtypes import bfloat16

            arrays[name] = array.view(bfloat16)
    return arrays, arrays.pop("expected")


def main():
    """Serve requests until there are no more."""
    name, threads = sys.argv[1], int(sys.argv[2])
    # Libraries print; the answers need a channel that nothing else writes to.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    cpus = usable_cpus()
    if hasattr(os, "sched_setaffinity") and threads < len(cpus) and "free" not in sys.argv:
        os.sched_setaffinity(0, cpus[:threads])

    def answer(reply):
        pickle.dump(reply, answers)
        answers.flush()

    from threadpoolctl import threadpool_info

    from bench import peers

    try:
        session = Session(peers.load(name, threads))
    except ImportError as error:
        return answer({"missing": str(error)})
    keys = ("user_api", "internal_api", "version", "num_threads", "prefix")
    pools = [{key: pool.get(key) for key in keys} for pool in threadpool_info()]
    config = getattr(session.peer, "config", None)
    answer({"version": session.peer.version, "config": config, "pools": pools})

    while True:
        try:
            request, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return None
        try:
            reply = {"result": getattr(session, request)(**arguments)}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        answer(reply)


if __name__ == "__main__":
    main()
