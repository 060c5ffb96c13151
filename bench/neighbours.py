"""`python -m bench.neighbours`: what calls cost between another library's calls.

A BLAS has threads of its own, and so may have a runtime of its own; threads of one that spin, waiting for
more, take the processors from the other's. Measures a matrix product and a softmax of its result, each over
and over on its own; in turn with the BLAS held to one thread, which leaves the caches as they are in turn,
but no thread to fight with; and in turn with all its threads. The last against the one before is the price
of the neighbours' threads; the aim is at most 1.25 for softmax. What it is depends on the machine, its load
and the BLAS, so nothing is asserted.

    python -m bench.neighbours --size 512 --threads 2
    GOMP_SPINCOUNT=300000 python -m bench.neighbours    GNU OpenMP's own default instead of ours
"""

import argparse
import time

import numpy as np
import threadpoolctl

import softmax_ext

WAYS = ("alone", "in turn, BLAS on 1 thread", "on all")


def times(calls, seconds):
    """Seconds of each of the calls, made in turn for so long: one array a call."""
    found = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for call, into in zip(calls, found, strict=True):
            start = time.perf_counter()
            call()
            into.append(time.perf_counter() - start)
    return [np.array(t[len(t) // 10 :]) for t in found]  # without the first tenth, which warms up


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=512, help="rows and columns of the matrices")
    parser.add_argument("--threads", type=int, default=softmax_ext.get_num_threads(), help="of softmax_ext")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    softmax_ext.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    a = rng.normal(size=(options.size, options.size)).astype(np.float32)
    product, out = np.empty_like(a), np.empty_like(a)

    def blas():
        np.matmul(a, a, out=product)

    def softmax():
        softmax_ext.softmax(product, out=out)

    for library in threadpoolctl.threadpool_info():
        print(f"{library['user_api']:8}{library['internal_api']:12}{library['num_threads']} threads")
    blas(), softmax()
    # The lower decile is what the calls cost one another; on a machine with other work, medians are its.
    print(f"{options.size} x {options.size} float32; lower deciles and medians in µs")
    for _ in range(options.rounds):
        (blas_alone,), (own_alone,) = times([blas], options.seconds), times([softmax], options.seconds)
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            blas()
            blas_quiet, own_quiet = times([blas, softmax], options.seconds)
        blas_all, own_all = times([blas, softmax], options.seconds)
        for name, ways in (
            ("BLAS", (blas_alone, blas_quiet, blas_all)),
            ("softmax", (own_alone, own_quiet, own_all)),
        ):
            cells = [1e6 * np.quantile(t, [0.1, 0.5]) for t in ways]
            price = cells[2] / cells[1]
            print(
                f"{name:8}"
                + "".join(
                    f"{label} {low:8.1f} {median:8.1f}   "
                    for label, (low, median) in zip(WAYS, cells, strict=True)
                )
                + (f"price {price[0]:.2f} {price[1]:.2f}" if name == "softmax" else "")
            )


if __name__ == "__main__":
    main()
