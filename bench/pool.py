"""The parent's side of the worker processes: starting, asking, and being sure that they end."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading

from bench import ROOT


class Lost(Exception):
    """A worker is gone, or was never there; the message says why."""


class Missing(Lost):
    """A worker's library is not installed."""


class Refused(Exception):
    """A worker lives, but could not do what it was asked."""


class Worker:
    """A peer's process.

    Parameters
    ----------
    peer : str
    threads : int
    timeout : float
        Seconds after which an answer is given up, and the process ended.
    is_free : bool, default False
        Whether it may run on any CPU, whatever its number of threads.

    Attributes
    ----------
    about : dict
        Once `greet` has returned: the peer's version, configuration and thread pools.
    """

    def __init__(self, peer, threads, timeout, is_free=False):
        self.peer, self.threads, self.timeout = peer, threads, timeout
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        counts = ("OMP", "MKL", "OPENBLAS", "NUMBA", "SOFTMAX_EXT")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", peer, str(threads), *["free"] * is_free],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            cwd=ROOT,
            env={**os.environ, **{f"{name}_NUM_THREADS": str(threads) for name in counts}},
            # Ctrl-C is for the parent, which then ends this group and whatever it has started.
            start_new_session=True,
        )

    def greet(self):
        """Wait until the library is imported."""
        self.about = self._receive(self.timeout)
        if "missing" in self.about:
            self.stop()
            raise Missing(f"not installed ({self.about['missing']})")
        return self

    def ask(self, request, **arguments):
        """Have a method of `bench.worker.Session` called.

        Returns
        -------
        object
            What the method returned.

        Raises
        ------
        Lost
            If the process has died, or did not answer in time.
        Refused
            If the method raised an error.
        """
        self.send(request, **arguments)
        return self.receive()

    def send(self, request, **arguments):
        """The first half of `ask`, for workers that are to work at the same time."""
        try:
            pickle.dump((request, arguments), self.process.stdin)
            self.process.stdin.flush()
        except OSError:
            pass  # It has died; reading tells how.

    def receive(self):
        """The second half of `ask`: wait for the answer."""
        answer = self._receive(self.timeout)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def _receive(self, timeout):
        # A pipe cannot be read with a time limit everywhere; ending the process ends the reading.
        late = threading.Event()
        timer = threading.Timer(timeout, lambda: (late.set(), self._kill()))
        timer.start()
        try:
            return pickle.load(self.process.stdout)
        except (EOFError, pickle.UnpicklingError):
            pass
        finally:
            timer.cancel()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)  # A crash has a status, once it is over.
        reason = f"no answer within {timeout:g} s" if late.is_set() else self._reason()
        self.stop()
        raise Lost(reason)

    def _reason(self):
        code = self.process.poll()
        how = signal.Signals(-code).name if code and code < 0 else f"exit status {code}"
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return f"crashed ({how})" + (f": {lines[-1]}" if lines else "")

    def _kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (AttributeError, ProcessLookupError):
            self.process.kill()

    def stop(self):
        """End the process and all that it has started, now."""
        self._kill()
        self.process.wait()
        for file in (self.log, self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):  # What was not sent is of no use now.
                file.close()
