"""`python -m bench.layouts`: what arrays cost that are not contiguous, aligned numbers in this machine's byte order.

Each cell is the time of a call on such arrays against the time of copying them first (to contiguous,
native arrays) and then calling: the aim is at most 1.2. The two take turns, and a cell is the median of
the quotients of all turns. Derivatives get two such arrays.

    python -m bench.layouts --threads 1 --functions softmax softmax_vjp --layouts byte-swapped reversed
    python -m bench.layouts --threads 1 --more --list  # other shapes, layouts and types; only cells above the aim
"""

import argparse
import itertools
import time

import numpy as np

import softmax_ext

GOAL = 1.2
SAMPLE = 1e-3  # seconds that a call is repeated for, in each turn


def unaligned(a):
    buffer = np.empty(a.nbytes + a.itemsize, np.uint8)
    view = buffer[1 : 1 + a.nbytes].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def spread(a, step):
    view = np.zeros((*a.shape[:-1], step * a.shape[-1]), a.dtype)[..., ::step]
    view[...] = a
    return view


def swapped(a):
    return a.astype(a.dtype.newbyteorder())


#: The same numbers, but for "broadcast", whose rows are all the first one.
LAYOUTS = {
    "byte-swapped": swapped,
    "unaligned": unaligned,
    "strided": lambda a: spread(a, 2),
    "reversed": lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
    "swapped, strided": lambda a: spread(swapped(a), 2),
    "broadcast": lambda a: np.broadcast_to(a[:1].copy(), a.shape),
}
#: (shape, axis): rows of any length along the last axis and the first.
SHAPES = [((128, 1000), -1), ((20000, 10), -1), ((8, 40000), -1), ((1000, 128), 0), ((10, 20000), 0)]
MORE_LAYOUTS = {
    "reversed rows": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "every third": lambda a: spread(a, 3),
    "every fifth": lambda a: spread(a, 5),
    "gaps": lambda a: np.concatenate([a, a[..., :1]], -1)[..., :-1],
    "Fortran": np.asfortranarray,
}
MORE_SHAPES = [
    ((1, 10), -1), ((64, 10), -1), ((8, 3), 0), ((1, 1000), -1), ((10, 64), -1), ((300, 77), -1), ((300, 77), 0),
    ((5, 200000), -1), ((50000, 4), -1), ((20, 30, 40), 1), ((100, 200, 5), 1), ((300000, 10), -1),
]  # fmt: skip
FUNCTIONS = ["softmax", "logsumexp", "softmax_vjp", "log_softmax_vjp", "cross_entropy"]
OF_TWO = {"softmax_vjp": softmax_ext.softmax, "log_softmax_vjp": softmax_ext.log_softmax}


def native(a):
    """Return a copy that is contiguous, aligned and in this machine's byte order."""
    return np.array(a, a.dtype.newbyteorder("="), order="C")


def calls_of(name, dtype, shape, axis, layout):
    """Return the call on the arrays as they are, and the one that copies them first."""
    rng = np.random.default_rng(0)
    x, g = (rng.normal(size=shape).astype(dtype) * 3 for _ in range(2))
    function = getattr(softmax_ext, name)
    if name in OF_TWO:
        arrays = [layout(OF_TWO[name](x, axis)), layout(g)]
    else:
        arrays = [layout(x)]
    labels = []
    if name == "cross_entropy":
        labels = [rng.integers(shape[axis], size=np.delete(shape, axis))]

    def as_they_are():
        function(*arrays, *labels, axis)

    def copied():
        function(*[native(a) for a in arrays], *labels, axis)

    return as_they_are, copied


def turn(call, count):
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def quotient(calls, rounds):
    """Return the median quotient of the two calls' times, and the median time of the first."""
    counts = [max(1, int(SAMPLE / min(turn(call, 1) for _ in range(3)))) for call in calls]
    times = np.array(
        [[turn(call, count) for call, count in zip(calls, counts, strict=True)] for _ in range(rounds)]
    )
    return float(np.median(times[:, 0] / times[:, 1])), float(np.median(times[:, 0]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=softmax_ext.get_num_threads())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--functions", nargs="*", default=FUNCTIONS, choices=FUNCTIONS)
    parser.add_argument("--layouts", nargs="*", choices=[*LAYOUTS, *MORE_LAYOUTS])
    parser.add_argument("--more", action="store_true", help="shapes and layouts beside those of the table")
    parser.add_argument(
        "--list", action="store_true", help="print cells above the aim, each in a line, and no table"
    )
    parser.add_argument("--types", nargs="*", default=["float32", "float64"])
    options = parser.parse_args()
    softmax_ext.set_num_threads(options.threads)
    shapes, layouts = (MORE_SHAPES, LAYOUTS | MORE_LAYOUTS) if options.more else (SHAPES, LAYOUTS)
    layouts = {name: (LAYOUTS | MORE_LAYOUTS)[name] for name in options.layouts or layouts}
    if not options.list:
        print(f"| {'function, type, shape':42} | " + " | ".join(f"{name:>16}" for name in layouts) + " |")
        print(f"| {'---':42} | " + " | ".join(f"{'--:':>16}" for _ in layouts) + " |")
    found = []
    for name, dtype, (shape, axis) in itertools.product(options.functions, options.types, shapes):
        cells = [
            quotient(calls_of(name, dtype, shape, axis, layout), options.rounds)
            for layout in layouts.values()
        ]
        found += [ratio for ratio, _ in cells]
        label = f"{name} {dtype} {'x'.join(map(str, shape))} axis={axis}"
        if not options.list:
            print(f"| {label:42} | " + " | ".join(f"{r:6.2f} {1e6 * t:6.0f} µs" for r, t in cells) + " |")
        for layout, (ratio, t) in zip(layouts, cells, strict=True):
            if options.list and ratio > GOAL:
                print(f"{label:42} {layout:16} {ratio:6.2f} {1e6 * t:8.1f} µs", flush=True)
    above = sum(ratio > GOAL for ratio in found)
    print(f"\n{above} of {len(found)} cells above {GOAL}; the worst {max(found):.2f}")


if __name__ == "__main__":
    main()
