"""Nothing is read or written outside the arrays of a call (what sanitizers see: tests/sanitize/run)."""

import sys
from pathlib import Path

import pytest

import softmax_ext

LEVEL = softmax_ext.show_config(mode="dicts")["isa"]


@pytest.mark.skipif(sys.platform == "win32", reason="guards pages by mprotect")
def test_not_one_byte_outside(python):
    """At every length from 1 to 300, beside pages that no one may touch; the other levels have runs of their own."""
    script = Path(__file__).with_name("guard_pages.py")
    done = python(str(script), LEVEL, "300", OMP_NUM_THREADS="1", check=False)
    # What was printed last is the call that the process died in.
    assert done.returncode == 0, done.stdout[-160:] + done.stderr
    assert "calls" in done.stdout.splitlines()[-1]
