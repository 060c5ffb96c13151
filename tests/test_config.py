"""What the package says of itself: `show_config` and `python -m softmax_ext`."""

import re
from importlib import metadata

import pytest

import softmax_ext

KEYS = ["version", "isa", "isa_available", "compiler", "openmp", "threads"]
KEYS += ["calls_together", "calls_alone", "buffer_limit"]
LEVELS = ["scalar", "sse2", "avx2", "avx512", "neon"]


def test_dicts():
    config = softmax_ext.show_config(mode="dicts")
    assert list(config) == KEYS
    assert config["version"] == softmax_ext.__version__ == metadata.version("softmax_ext")
    assert config["isa"] in config["isa_available"]
    assert set(config["isa_available"]) <= set(LEVELS)
    assert config["isa_available"][0] == "scalar"
    assert config["compiler"]
    assert config["openmp"] is None or isinstance(config["openmp"], str)
    assert config["threads"] == softmax_ext.get_num_threads() >= 1


def test_dict_is_the_callers_own():
    softmax_ext.show_config(mode="dicts")["isa_available"].clear()
    assert softmax_ext.show_config(mode="dicts")["isa_available"]


def test_printed(capsys):
    assert softmax_ext.show_config() is None
    text = capsys.readouterr().out
    config = softmax_ext.show_config(mode="dicts")
    for key in KEYS:
        value = config[key]
        shown = ", ".join(value) if isinstance(value, list) else str(value or "")
        assert re.search(rf"^{key}:\s+.*{re.escape(shown)}", text, re.MULTILINE)


@pytest.mark.parametrize("mode", ["dict", "", None])
def test_bad_mode(mode):
    with pytest.raises(ValueError, match=rf"mode.*{mode!r}"):
        softmax_ext.show_config(mode=mode)


# python -m softmax_ext ----------------------------------------------------------------------------


def test_module_prints_the_configuration_and_checks_every_level(python):
    done = python("-m", "softmax_ext", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert softmax_ext.__version__ in done.stdout
    for level in softmax_ext.show_config(mode="dicts")["isa_available"]:
        assert re.search(rf"\b{level}\b", done.stdout)
    assert not done.stderr


BREAK = """
import runpy, sys
import numpy as np
import softmax_ext

true = softmax_ext.{function}

def wrong(x, *args, **kwargs):
    result = np.array(true(x, *args, **kwargs))
    if softmax_ext.show_config(mode="dicts")["isa"] == {level!r}:
        {damage}
    return result

softmax_ext.{function} = wrong
runpy.run_module("softmax_ext", run_name="__main__")
"""


@pytest.mark.parametrize("damage", ["result += 100 * np.spacing(result)", "result[..., -1:] = np.nan"])
@pytest.mark.parametrize(
    "function", ["softmax", "log_softmax", "softmax_vjp", "cross_entropy", "segment_softmax"]
)
@pytest.mark.parametrize("level", softmax_ext.show_config(mode="dicts")["isa_available"])
def test_module_exits_with_1_when_a_check_fails(python, function, level, damage):
    """Results that are 100 ULP off, or no numbers, at one level alone, must not pass."""
    broken = BREAK.format(function=function, level=level, damage=damage)
    done = python("-c", broken, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert level in done.stdout + done.stderr
