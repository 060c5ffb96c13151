"""Segments of many distributions of lengths, against the same segments sorted and against NumPy's `reduceat`.

    python -m bench.ragged [--sizes 10000 100000 1000000] [--threads 1] [--dtypes float32 float64] [lengths ...]

Each line is a distribution of lengths. Its columns are, for each function, the time of an element in nanoseconds; how
many times as long that is as for the same segments sorted by length; and how many times as long the `reduceat` form
takes. The three take turns, and the medians of their times are compared.
"""

import argparse
import time

import numpy as np

import softmax_ext

# ---- lengths ------------------------------------------------------------------------------------


def _uniform(low, high):
    return lambda rng, count: rng.integers(low, high + 1, count)


def _geometric(mean):
    return lambda rng, count: rng.geometric(1 / mean, count)


def _power_law(rng, count):
    """Degrees of a graph: many nodes have a neighbour or two, a few have thousands."""
    return np.minimum(rng.zipf(1.8, count), 10_000)


def _cycle(*lengths):
    return lambda rng, count: np.resize(lengths, count)


LENGTHS = {
    "1..160": _uniform(1, 160),
    "1..20": _uniform(1, 20),
    "60..100": _uniform(60, 100),
    "geometric 8": _geometric(8),
    "power law": _power_law,
    "all 1": _cycle(1),
    "all 3": _cycle(3),
    "5, 200": _cycle(5, 200),
}


def indptr_of(name, size, seed=0):
    """Return segments of that distribution that hold about so many elements.

    Parameters
    ----------
    name : str
        A name of `LENGTHS`.
    size : int
        Elements; the last segment reaches over.
    seed : int

    Returns
    -------
    ndarray
        Where the segments begin and end.
    """
    ends = np.cumsum(LENGTHS[name](np.random.default_rng(seed), size))
    return np.concatenate([[0], ends[: np.searchsorted(ends, size) + 1]])


# ---- the functions, and the same in NumPy -------------------------------------------------------


def _numpy_softmax(x, starts, counts):
    largest = np.maximum.reduceat(x, starts)
    e = np.subtract(x, np.repeat(largest, counts))
    np.exp(e, out=e)
    return np.divide(e, np.repeat(np.add.reduceat(e, starts), counts), out=e)


def _numpy_logsumexp(x, starts, counts):
    largest = np.maximum.reduceat(x, starts)
    e = np.subtract(x, np.repeat(largest, counts))
    np.exp(e, out=e)
    return largest + np.log(np.add.reduceat(e, starts))


def _numpy_softmax_vjp(y, g, starts, counts):
    sums = np.add.reduceat(y * g, starts)
    d = np.subtract(g, np.repeat(sums, counts))
    return np.multiply(y, d, out=d)


def _numpy_log_softmax_vjp(y, g, starts, counts):
    sums = np.add.reduceat(g, starts)
    e = np.exp(y)
    np.multiply(e, np.repeat(sums, counts), out=e)
    return np.subtract(g, e, out=e)


FUNCTIONS = {
    "softmax": _numpy_softmax,
    "logsumexp": _numpy_logsumexp,
    "softmax_vjp": _numpy_softmax_vjp,
    "log_softmax_vjp": _numpy_log_softmax_vjp,
}


def _arrays(name, size, dtype):
    rng = np.random.default_rng(1)
    x = (3 * rng.normal(size=size)).astype(dtype)
    if not name.endswith("vjp"):
        return [x]
    y = rng.random(size) if name == "softmax_vjp" else -8 * rng.random(size)
    return [y.astype(dtype), x]


# ---- time ---------------------------------------------------------------------------------------


def medians(calls, seconds):
    """Return the median time of each call; they take turns for about so many seconds."""
    times = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for call, list_ in zip(calls, times, strict=True):
            call()  # what another call has left in the cache is gone
            start = time.perf_counter()
            call()
            list_.append(time.perf_counter() - start)
    return [float(np.median(list_)) for list_ in times]


def compare(function, name, size, dtype, seconds):
    """Return nanoseconds an element, that over sorted segments' time, and `reduceat`'s time over that."""
    indptr = indptr_of(name, size)
    counts = np.diff(indptr)
    ordered = np.concatenate([[0], np.cumsum(np.sort(counts))])
    arrays = _arrays(function, indptr[-1], dtype)
    out = None if function == "logsumexp" else np.empty(indptr[-1], dtype)
    segment, plain, starts = getattr(softmax_ext, f"segment_{function}"), FUNCTIONS[function], indptr[:-1]
    ours, of_sorted, of_numpy = medians(
        [
            lambda: segment(*arrays, indptr, out=out),
            lambda: segment(*arrays, ordered, out=out),
            lambda: plain(*arrays, starts, counts),
        ],
        seconds,
    )
    return ours / indptr[-1] * 1e9, ours / of_sorted, of_numpy / ours


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.ragged", description=__doc__.partition("\n")[0])
    parser.add_argument("lengths", nargs="*", help=f"distributions: {', '.join(LENGTHS)}")
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--functions", nargs="+", default=list(FUNCTIONS), choices=list(FUNCTIONS))
    parser.add_argument("--seconds", type=float, default=0.2, help="for each number of the table")
    asked = parser.parse_args()
    softmax_ext.set_num_threads(asked.threads)
    print(f"{asked.threads} thread(s); ns an element, times sorted, times faster than reduceat")
    for size in asked.sizes:
        for dtype in asked.dtypes:
            heads = "".join(f"{function:>20}" for function in asked.functions)
            print(f"\n{dtype}, {size} elements\n{'':14}{heads}")
            for name in asked.lengths or LENGTHS:
                cells = [compare(f, name, size, dtype, asked.seconds) for f in asked.functions]
                line = "".join(f"{ns:10.2f} {more:4.2f} {less:4.1f}" for ns, more, less in cells)
                print(f"{name:14}{line}", flush=True)


if __name__ == "__main__":
    main()
