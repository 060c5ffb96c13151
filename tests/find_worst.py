"""Searches for the row with the largest error, and prints it as a claim for the C sources::

    python tests/find_worst.py --function softmax --type float32 --seconds 60 [--temperature]

A genetic search over rows of a few elements, of which every error of a long row can be seen too: it
starts from random rows of all scales, keeps the worst of them, and changes these by a few units in
the last place, by a random step, or by mixing two. Each length has a share of the time. With --temperature each start
has a random temperature, and its rows that scale; of a derivative or a loss the whole search has one. Errors are
measured with longdouble during the search and with MPFR at its end (`ulp.py`); so the search needs
a longdouble wider than float64, or float32 rows. With ``--any-size`` the targets of cross-entropy are of any
magnitude, all alike or each by itself.

The line printed goes beside the algorithm; `test_accuracy.py` reads it there.
"""

import argparse
import sys
import time

import claims
import numpy as np
import operations
import ulp

import softmax_ext
from softmax_ext import _reference

POPULATION = 4096
SURVIVORS = 256
LENGTHS = (2, 3, 4, 6, 12)
#: Functions of one array that have a temperature, and results whose temperature is that of the whole search.
TEMPERED = [
    name for name, o in operations.OPERATIONS.items() if o.takes("temperature") and name in operations.OF_ONE
]
TEMPERED_AS_A_WHOLE = [*operations.DERIVATIVES, *operations.LOSSES]


def errors(function, genes, temperature, truth=ulp.wide):
    """Return the largest error of each row."""
    rows = rows_of(function, genes)
    got = ulp.call(softmax_ext, function, *rows, temperature=temperature)
    true = truth(function, *rows, temperature=temperature)
    return ulp.errors(function, got, true, *rows, temperature=temperature).max(axis=-1)


def rows_of(function, genes):
    """Return the function's arguments: genes are (1 or 2, rows, n), inputs of softmax first."""
    result = operations.RESULTS[function]
    if len(result.arguments) == 1:
        return (genes[0],)
    if not result.forward:  # weights, or probabilities
        return genes[0], genes[1] if result.has_signs else np.abs(genes[1])
    return getattr(_reference, result.forward)(genes[0]), genes[1]


def random_genes(rng, kinds, length, dtype, temperature, any_size):
    scale = 10.0 ** rng.uniform(-3, 2.5, size=(kinds, POPULATION, 1))
    genes = rng.normal(size=(kinds, POPULATION, length)) * scale
    genes[0] += np.where(rng.random((POPULATION, 1)) < 0.3, rng.normal(size=(POPULATION, 1)) * 100, 0)
    if any_size and kinds == 2:
        most = 30 if dtype is np.float32 else 250
        genes[1] *= 10.0 ** rng.uniform(-most, most, size=(POPULATION, 1 + (length - 1) * rng.integers(2)))
    return (genes * temperature).astype(dtype)


def changed(rng, genes):
    """Return a population of changed copies, between a few last places and a third of the number."""
    parents = genes[:, rng.integers(genes.shape[1], size=POPULATION)]
    others = genes[:, rng.integers(genes.shape[1], size=POPULATION)]
    steps = rng.normal(size=parents.shape) * 2.0 ** rng.uniform(-25, -1.5, size=(1, POPULATION, 1))
    places = rng.integers(-3, 4, size=parents.shape) * np.spacing(np.abs(parents))
    hit = rng.random(parents.shape) < 0.5
    near = rng.random((1, POPULATION, 1)) < 0.6
    children = parents + np.where(hit, np.where(near, places, parents * steps), 0)
    mix = (rng.random((1, POPULATION, 1)) < 0.1) & (rng.random(parents.shape) < 0.3)
    return np.where(mix, others, children).astype(genes.dtype)


def search(function, dtype, length, seconds, rng, tempered, any_size):
    """Return (error, genes of one row, temperature) of the worst row of a length."""
    kinds = len(operations.RESULTS[function].arguments)
    end = time.monotonic() + seconds
    best = (-1.0, None, 1.0)
    while time.monotonic() < end:  # every round starts anew, and ends when it is stuck
        temperature = float(2 ** rng.uniform(-12, 12)) if tempered else 1.0
        genes = random_genes(rng, kinds, length, dtype, temperature, any_size)
        error = errors(function, genes, temperature)
        stuck = 0
        while stuck < 12 and time.monotonic() < end:
            worst = error.max()
            # A few random ones beside the worst keep the population from becoming all one family.
            order = np.argsort(-error)[: SURVIVORS - 16]
            keep = np.concatenate([order, rng.integers(len(error), size=16)])
            genes = np.concatenate([genes[:, keep], changed(rng, genes[:, keep])], axis=1)
            error = np.concatenate([error[keep], errors(function, genes[:, len(keep) :], temperature)])
            stuck = stuck + 1 if error.max() <= worst else 0
        i = error.argmax()
        if error[i] > best[0]:
            best = error[i], genes[:, i : i + 1], temperature
    return best


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--function", choices=sorted(claims.CONTRACT), required=True)
    parser.add_argument("--type", choices=["float32", "float64"], required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temperature", action="store_true", help="any temperature, not 1")
    parser.add_argument(
        "--any-size", action="store_true", help="probabilities of losses, weights and gradients, of any size"
    )
    options = parser.parse_args(argv)
    function, dtype = options.function, np.dtype(options.type).type
    if not ulp.WIDE_ENOUGH[dtype]:
        sys.exit("longdouble is no wider than float64 here")

    if options.temperature and function not in (*TEMPERED, *TEMPERED_AS_A_WHOLE):
        sys.exit(f"{function} has no temperature")
    if options.temperature and function in TEMPERED_AS_A_WHOLE:
        of_all = float(2 ** np.random.default_rng(options.seed).uniform(-12, 12))
        print(f"  T = {of_all.hex()}", file=sys.stderr)
        operations.RESULTS[function] = operations.tempered(function, of_all)
        options.temperature = False

    rng = np.random.default_rng(options.seed)
    best = (-1.0, None, 1.0)
    for length in LENGTHS:
        found = search(
            function,
            dtype,
            length,
            options.seconds / len(LENGTHS),
            rng,
            options.temperature,
            options.any_size,
        )
        print(f"  {length} elements: {found[0]:.3f}", file=sys.stderr)
        if found[0] > best[0] + 0.01:  # a shorter row is worth more
            best = found
    _, genes, temperature = best
    worst = float(errors(function, genes, temperature, truth=ulp.exact)[0])
    bound = claims.CONTRACT[function]
    print(claims.Claim(function, dtype, bound, worst, rows_of(function, genes), temperature=temperature))


if __name__ == "__main__":
    main()
