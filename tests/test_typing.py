"""Types and documentation as checkers and editors find them: the stub, and a file of typical uses.

The checkers themselves run in `.ci/run lint`; here their findings are compared with what really comes out.
"""

import runpy
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

import softmax_ext

FOLDER = Path(__file__).parent / "typing"
docstrings = runpy.run_path(str(FOLDER / "docstrings.py"))


def assert_is(value, expected):
    """Compare a result with a type as a checker shows it: NDArray[...], a tuple of types, a class, or Any."""
    if expected is typing.Any:
        return
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is tuple:
        assert len(value) == len(arguments)
        for item, kind in zip(value, arguments, strict=True):
            assert_is(item, kind)
    elif origin is np.ndarray:
        assert isinstance(value, np.ndarray)
        assert value.dtype == typing.get_args(arguments[1])[0]
    else:
        assert type(value) is (origin or expected)


def test_uses_give_what_the_types_say(monkeypatch):
    found = []

    def check(value, expected):
        assert_is(value, expected)
        found.append(expected)

    monkeypatch.setattr(typing, "assert_type", check)
    runpy.run_path(str(FOLDER / "uses.py"))
    assert len(found) == (FOLDER / "uses.py").read_text().count("\nassert_type(")


def test_refused_uses_raise():
    """Each line that a checker must refuse is an error when it runs, too."""
    lines = (FOLDER / "refused.py").read_text().splitlines()
    calls = [line for line in lines if "# type: ignore" in line]
    names = vars(softmax_ext) | {"x": np.ones((2, 3))}
    assert calls
    for line in calls:
        with pytest.raises((TypeError, ValueError)):
            eval(line, names)


def test_the_stub_has_the_docstrings_of_the_module():
    stub = docstrings["STUB"].read_text()
    texts = docstrings["compiled_docstrings"]()
    assert set(texts) >= {"softmax", "log_softmax", "logsumexp", "softmax_vjp", "set_num_threads"}
    assert docstrings["with_docstrings"](stub, texts) == stub, "run python tests/typing/docstrings.py"
    assert docstrings["with_docstrings"](stub, texts | {"softmax": "Another."}) != stub


def test_stub_and_module_agree(tmp_path):
    pytest.importorskip("mypy", reason="mypy is in the extra `lint`")
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "softmax_ext", "--ignore-missing-stub",
         "--mypy-config-file", str(FOLDER.parents[1] / "pyproject.toml"),
         "--allowlist", str(FOLDER / "stubtest-allowed")],
        cwd=tmp_path, capture_output=True, text=True,  # in the checkout, it would find the source folder
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
