"""Derive the polynomial coefficients of exp.inc.h and log.inc.h, and print coefficients.h.

    python csrc/kernels/coefficients.py > csrc/kernels/coefficients.h        (needs mpmath)

Both polynomials are minimax ones, found by the exchange algorithm of Remez (1934) at 200 bits, their coefficients
then rounded to the working precision: each enters the result times r^2 or z, which hides that rounding. The errors
printed are those of the rounded coefficients.

    exp   exp(r) - 1 = r + r^2 q(r) where exp.inc.h has r, error relative to exp(r)
    log   log(1 + f) = 2 s + s R(s^2), s = f / (2 + f), R(z) = z l(z), on 1 + f in [sqrt(1/2), sqrt(2)],
          error relative to 2 s
"""

import mpmath as mp

mp.mp.prec = 200

# 2^(j / 8) = CENTRE (1 + j / 8) exp(REST_j). Without CENTRE the rests would lie between -0.06 and 0, and r to one side
# of 0. This number makes the largest exp(r) - 1 about the same on both sides, and has few bits, so that its product
# with a power is exact.
CENTRE = mp.mpf(31) / 32
RESTS = [mp.log(2) * j / 8 - mp.log((1 + mp.mpf(j) / 8) * CENTRE) for j in range(8)]
# The range goes a little beyond half a step on either side: the integer nearest to 8 x / (T ln2) is found in rounded
# arithmetic, which may find the second nearest where |x| is large and both are almost equally near. (In float, with a
# temperature, and with |x / T| close to LARGE, r goes beyond by as much as 0.022 of a step instead of 0.015; the error
# there is not noticeably larger.)
HALF_STEP = mp.log(2) / 16 * mp.mpf("1.03")
EXP_RANGE = (min(RESTS) - HALF_STEP, max(RESTS) + HALF_STEP)
LOG_RANGE = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2

TYPES = {  # name of the macros' type: bits of the significand, degree of q, degree of l
    "F32": (24, 2, 3),
    "F64": (53, 6, 6),
}


def remez(target, weight, powers, low, high):
    """Coefficients c that minimise max |weight(x) (target(x) - sum of c_k x^k)| over [low, high]."""
    count = len(powers) + 1
    middle, half = (low + high) / 2, (high - low) / 2
    # No node and no point of the grid is 0, where the weight of exp vanishes, and the target is 0 / 0.
    nodes = [middle - half * mp.cos(mp.pi * (k + mp.mpf("0.4")) / count) for k in range(count)]
    grid = [middle - half * mp.cos(mp.pi * k / 1201) for k in range(1202)]
    for _ in range(12):
        system, values = mp.matrix(count, count), mp.matrix(count, 1)
        for i, x in enumerate(nodes):
            for j, power in enumerate(powers):
                system[i, j] = x**power
            system[i, count - 1] = (-1) ** i / weight(x)
            values[i] = target(x)
        solution = mp.lu_solve(system, values)
        coefficients = [solution[j] for j in range(len(powers))]

        def error(x, coefficients=coefficients):
            fit = sum(c * x**power for c, power in zip(coefficients, powers, strict=True))
            return weight(x) * (target(x) - fit)

        errors = [error(x) for x in grid]
        # The new nodes: the largest error between two changes of its sign.
        extrema, start = [], 0
        for k in range(1, len(grid) + 1):
            if k == len(grid) or mp.sign(errors[k]) != mp.sign(errors[start]):
                extrema.append(max(range(start, k), key=lambda m: abs(errors[m])))
                start = k
        while len(extrema) > count:
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
        if len(extrema) < count:
            break
        nodes = [grid[k] for k in extrema]
    return coefficients, max(abs(e) for e in errors)


def rounded(value, bits):
    """The number with a significand of that many bits nearest to value."""
    with mp.workprec(bits):
        return +value


def minimax(target, weight, degree, low, high, bits):
    """Rounded coefficients of powers 0 to degree, and the largest weighted error that they leave."""
    found, _ = remez(target, weight, range(degree + 1), low, high)
    found = [rounded(c, bits) for c in found]
    grid = [low + (high - low) * (2 * k + 1) / 4000 for k in range(2000)]
    worst = max(abs(weight(x) * (target(x) - mp.polyval(found[::-1], x))) for x in grid)
    return found, worst


def literal(value, kind):
    """A C literal that is exactly the value."""
    return float(value).hex() + ("f" if kind == "F32" else "")


def define(name, value, note=""):
    print(f"#define {name} {value}" + (f" /* {note} */" if note else ""))


def main():
    print(
        "/* The constants of exp.inc.h and log.inc.h. Printed by coefficients.py, which says how they were found. */\n"
    )
    print("#ifndef SMX_COEFFICIENTS_H\n#define SMX_COEFFICIENTS_H\n")
    for kind, (bits, degree, terms) in TYPES.items():
        log2e, ln2 = rounded(1 / mp.log(2), bits), mp.log(2)
        high = rounded(ln2, bits)
        low = rounded(ln2 - high, bits)
        define(f"{kind}_LOG2E", literal(log2e, kind))
        define(f"{kind}_LN2_HIGH", literal(high, kind))
        define(f"{kind}_LN2_LOW", literal(low, kind))
        # k * LN2_TOP is exact for every exponent k of the type.
        top = rounded(ln2, bits - 12)
        define(f"{kind}_LN2_TOP", literal(top, kind))
        define(f"{kind}_LN2_REST", literal(rounded(ln2 - top, bits), kind))

        found, worst = minimax(
            lambda r: (mp.expm1(r) - r) / r**2,
            lambda r: r**2 / mp.exp(r),
            degree, *EXP_RANGE, bits,
        )  # fmt: skip
        print("/* 2^(j / 8) = CENTRE (1 + j / 8) exp(REST_j) */")
        define(f"{kind}_CENTRE", literal(CENTRE, kind))
        for j, rest in enumerate(RESTS):
            define(f"{kind}_REST_{j}", literal(rounded(rest, bits), kind))
        print(f"/* q of exp: relative error at most 2^{mp.nstr(mp.log(worst, 2), 4)} */")
        for k, c in enumerate(found):
            define(f"{kind}_EXP_{k + 2}", literal(c, kind))

        found, worst = minimax(
            lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z,
            lambda z: z / 2,
            terms, LOG_RANGE / 10**6, LOG_RANGE, bits,
        )  # fmt: skip
        print(f"/* l of log: relative error at most 2^{mp.nstr(mp.log(worst, 2), 4)} */")
        for k, c in enumerate(found):
            define(f"{kind}_LOG_{k + 1}", literal(c, kind))
        print()
    print("#endif")


if __name__ == "__main__":
    main()
