"""docs/accuracy.md against the claims in the C sources: what is proven there is what is claimed here.

The proofs themselves are tests/proofs (Gappa, Sollya), a step of .ci/run.
"""

import re
from pathlib import Path

import claims
import numpy as np
import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "accuracy.md"
CLAIMS = claims.read()

pytestmark = pytest.mark.skipif(not (CLAIMS and PAGE.exists()), reason="sources or page not at hand")


def proven():
    """Return {(function, type, temperature): the largest bound of its rows}."""
    row = re.compile(r"^\| `(\w+)` \| (float32|float64) \| (none|any) \| ([\d. |]+) \|$", re.M)
    return {m[:3]: max(map(float, m[3].split("|"))) for m in row.findall(PAGE.read_text())}


def key_of(claim):
    return claim.function, np.dtype(claim.dtype).name, "none" if claim.temperature == 1 else "any"


def found():
    """Return {(function, type, temperature): the worst case on the page}."""
    row = re.compile(r"^\| ([\d.]+) \| `(\w+)` \| (float32|float64) \| (none|any) \|$", re.M)
    return {m[1:]: float(m[0]) for m in row.findall(PAGE.read_text())}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.name)
def test_what_a_claim_calls_proven_is_on_the_page(claim):
    bounds = proven()
    key = key_of(claim)
    if claim.proven:
        assert claim.bound >= bounds[key]
    if key in bounds:
        assert claim.found <= bounds[key]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.name)
def test_the_page_knows_the_worst_case_of_a_claim(claim):
    key = key_of(claim)
    if key in found():
        assert found()[key] >= claim.found - 0.005


def test_what_was_found_is_within_what_is_proven():
    bounds = proven()
    for key, worst in found().items():
        assert worst <= bounds[key], key
