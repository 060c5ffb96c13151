"""Holds the results of `parity golden` to the digests of tests/golden.json; needs no package.

    parity golden float32 | python golden.py float32

For every level, function and family the program prints a line ``case LEVEL FUNCTION TYPE FAMILY BYTES``
and as many bytes of results. Prints what differs, then ``N passed, N failed``.
"""

import hashlib
import json
import sys
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "golden.json"


def read_cases(stream):
    """Yield (level, case, digest), the case named as in the table."""
    while line := stream.readline():
        word, level, *case, size = line.decode().split()
        assert word == "case", line
        results = stream.read(int(size))
        assert len(results) == int(size), "the results end too early"
        yield level, " ".join(case), hashlib.sha256(results).hexdigest()[:32]


def main():
    dtype = sys.argv[1]
    if not TABLE.exists():
        print(f"FAILED golden: there is no {TABLE}", file=sys.stderr)
        print("0 passed, 1 failed")
        return True
    table = json.loads(TABLE.read_text())["digests"]
    wanted = {case: digest for case, digest in table.items() if case.split()[1] == dtype}
    found = {}
    for level, case, digest in read_cases(sys.stdin.buffer):
        found.setdefault(level, {})[case] = digest
    passed = failed = 0
    if not found:
        failed += 1
        print("FAILED golden: no results", file=sys.stderr)
    for level, digests in found.items():
        for case in sorted(wanted.keys() | digests.keys()):
            if wanted.get(case) == digests.get(case):
                passed += 1
                continue
            failed += 1
            what = f"{digests.get(case, 'not computed')}, not {wanted.get(case, 'in the table')}"
            print(f"FAILED golden {level} {case}: {what}", file=sys.stderr)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
