"""Makes pytest test the installed package; gives tests the levels, thread counts and processes."""

import importlib.machinery
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# `python -m pytest` puts the checkout on the path. Unless the module was built in place, the
# softmax_ext/ that lies there must not hide the installed package.
if not any((ROOT / "softmax_ext" / f"_core{end}").exists() for end in importlib.machinery.EXTENSION_SUFFIXES):
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != ROOT]

import softmax_ext  # noqa: E402

PACKAGE = Path(softmax_ext.__file__).parent


def pytest_report_header():
    config = softmax_ext.show_config(mode="dicts")
    return [
        f"softmax_ext: {PACKAGE}",
        "softmax_ext: "
        + ", ".join(
            f"{key} {config[key]}" for key in ("version", "isa", "isa_available", "openmp", "threads")
        ),
    ]


LEVELS = softmax_ext.show_config(mode="dicts")["isa_available"]


@pytest.fixture(params=[pytest.param(level, marks=pytest.mark.every_level) for level in LEVELS])
def isa(request):
    """Run the test once at each level that this machine has."""
    former = softmax_ext._core._set_isa(request.param)
    yield request.param
    softmax_ext._core._set_isa(former)


@pytest.fixture(scope="session", autouse=True)
def _threads_used():
    """Have threads used by calls that come alone, as those of tests do; not in processes of their own."""
    softmax_ext._core._always_use_threads(True)


@pytest.fixture
def threads():
    """Give `set_num_threads`; what was set before comes back after the test."""
    former = softmax_ext.get_num_threads()
    yield softmax_ext.set_num_threads
    softmax_ext.set_num_threads(former)


@pytest.fixture
def python(tmp_path):
    """Give a function that runs Python code in a fresh process and returns what it printed.

    The timeout is there for processes that hang: it is far beyond what any of them needs.
    """

    def run(*args, timeout=120, check=True, **env):
        env = {k: v for k, v in {**os.environ, **env}.items() if v is not None}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), env.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, *args], cwd=tmp_path, env=env, timeout=timeout, text=True, capture_output=True
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done if not check else done.stdout

    return run
