"""`python -m bench.neighbours`: what calls cost between another library's calls.

A BLAS has threads of its own, and so may have a runtime of its own; threads of one that spin, waiting for
more, take the processors from the other's. Measures a matrix product and a softmax of its result, each
over and over on its own, and the two in turn, and prints how much each costs more in turn than on its own.
The aim is at most 1.25 for softmax; what it is depends on the machine and the BLAS, so nothing is asserted.

    python -m bench.neighbours --size 512 --threads 2
"""

import argparse
import time

import numpy as np
import threadpoolctl

import softmax_ext


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
    print(f"{options.size} x {options.size} float32; medians and means in µs")
    for _ in range(options.rounds):
        (blas_alone,), (own_alone,) = times([blas], options.seconds), times([softmax], options.seconds)
        blas_between, own_between = times([blas, softmax], options.seconds)
        for name, alone, between in (("BLAS", blas_alone, blas_between), ("softmax", own_alone, own_between)):
            medians, means = [np.median(t) for t in (alone, between)], [np.mean(t) for t in (alone, between)]
            print(
                f"{name:9}alone {1e6 * medians[0]:8.1f} {1e6 * means[0]:8.1f}   "
                f"in turn {1e6 * medians[1]:8.1f} {1e6 * means[1]:8.1f}   "
                f"ratio {medians[1] / medians[0]:.2f} {means[1] / means[0]:.2f}"
            )


if __name__ == "__main__":
    main()
