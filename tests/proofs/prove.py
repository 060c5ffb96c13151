"""Proves the bounds of docs/accuracy.md, and compares the table there with what comes out.

    python tests/proofs/prove.py [--table] [step ...]

--table prints the table instead of comparing. Steps are named TYPE-WHAT: float32-exact, float64-table and so on.
"""

import os
import re
import sys
import time
from fractions import Fraction
from math import ceil
from pathlib import Path

import reduction
import theorems
from tools import Failed, Type

PAGE = Path(os.environ.get("SMX_PAGE", Path(__file__).resolve().parents[2] / "docs" / "accuracy.md"))
ROW = re.compile(r"^\| `([\w, ]+)` \| (float32|float64) \| (\w+) \| ([\d. |]+) \|$", re.M)
TEMPERATURE = {"none": False, "any": True}


def documented():
    """Return {(function, type, temperature): [bound for each length]} as the page has it."""
    rows = {
        (m[0], m[1], m[2]): [Fraction(b.strip()) for b in m[3].split("|")]
        for m in ROW.findall(PAGE.read_text())
    }
    if not rows:
        raise Failed(f"no table in {PAGE}")
    return rows


def proven(t, table=theorems.table):
    """Return the same as it is proven, rounded up to hundredths."""
    rows = {}
    for (function, tempered, _), bound in table(t).items():
        name = next(k for k, v in TEMPERATURE.items() if v == tempered)
        rows.setdefault((function, t.name, name), []).append(Fraction(ceil(bound * 100), 100))
    return rows


def row_text(key, bounds):
    return f"| `{key[0]}` | {key[1]} | {key[2]} | " + " | ".join(f"{float(b):.2f}" for b in bounds) + " |"


def compare(t):
    return compare_rows(t, proven(t), documented())


def compare_steps(t):
    rows = proven(t, theorems.table_of_steps)
    return compare_rows(t, rows, {k: v for k, v in documented().items() if k in rows})


def compare_rows(t, rows, page):
    page = {k: v for k, v in page.items() if k[1] == t.name}
    wrong = []
    for key in sorted(rows.keys() | page.keys()):
        if rows.get(key) != page.get(key):
            for what, have in (("proven", rows), ("page  ", page)):
                wrong.append(f"  {what} {row_text(key, have[key]) if key in have else 'nothing'}")
    if wrong:
        raise Failed("the page says otherwise:\n" + "\n".join(wrong))
    return f"{sum(map(len, rows.values()))} bounds as on the page"


STEPS = {
    "exact": reduction.first_part_is_exact,
    "sums": reduction.sums_are_exact,
    "factor": reduction.factor_is_short,
    "last": reduction.last_step,
    "exp": compare_steps,
    "table": compare,
}


def main(names):
    types = [Type(bits) for bits in (32, 64)]  # what is proven of a type is remembered by the object
    if names == ["--table"]:
        for t in types:
            for key, bounds in proven(t).items():
                print(row_text(key, bounds))
        return 0
    failed = 0
    for t in types:
        for what, step in STEPS.items():
            name = f"{t.name}-{what}"
            if names and name not in names:
                continue
            began = time.monotonic()
            try:
                print(f"ok     {name}: {step(t)} ({time.monotonic() - began:.0f} s)", flush=True)
            except Failed as error:
                failed += 1
                print(f"FAILED {name}: {error}", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
