"""The benchmarks' command line, where it is given what makes no sense; what it prints of extremes; small types."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(not (ROOT / "bench").is_dir(), reason="not in a checkout")
for package in ("rich", "ml_dtypes", "threadpoolctl"):
    pytest.importorskip(package)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, text=True, capture_output=True, timeout=120
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--case", "softmax:float32:999999x999999"], "would take some"),
        (["--case", "softmax:int8:3x3"], "unknown type 'int8'"),
        (["--load", "{file}"], "is no run that --json has saved"),
        (["--compare", "{file}"], "is no run that --json has saved"),
        (["--load", "no-such-file"], "there is no file no-such-file"),
    ],
)
def test_nonsense_is_an_error_and_no_traceback(tmp_path, arguments, words):
    file = tmp_path / "run.json"
    file.write_text("not json" if "--compare" in arguments else "{}")
    done = run(*(argument.format(file=file) for argument in arguments))
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_types_of_16_bits_are_measured(tmp_path, dtype):
    saved = tmp_path / "run.json"
    cases = [f"{op}:{dtype}:8x10" for op in ("softmax", "softmax_vjp", "cross_entropy")]
    done = run(
        *(w for case in cases for w in ("--case", case)),
        "--peers",
        "numpy",
        "--rounds",
        "1",
        "--json",
        str(saved),
    )
    assert done.returncode == 0, done.stderr
    records = json.loads(saved.read_text())["speed"]
    ours = {record["case"]: record for record in records if record["peer"] == "softmax_ext"}
    assert len(ours) == len(cases)
    assert all(record["seconds"] and not record["error"] for record in ours.values()), ours


def test_no_ratio_is_shown_as_zero_and_none_is_endless():
    from bench.report import moved, times

    assert [times(x) for x in (None, 0.004, 0.5, 1.234, 3165.4)] == ["–", "0.004×", "0.50×", "1.23×", "3165×"]
    assert [moved(x) for x in (0.5, 1.25, 3165.4, 0.001)] == ["-50%", "+25%", "3165×", "0.001×"]


def test_a_disturbed_roof_is_timed_again(monkeypatch):
    from bench.rounds import Rounds

    rounds = Rounds([], [1], timeout=1, rounds=2, tick=None)
    ours, roof = ("softmax_ext", 1), ("roof", 1)
    records = {(ours, "own"): {"seconds": [1.0, 1.1]}, (roof, "own"): {"seconds": [10.0, 0.5, 10.0]}}
    turns = iter([9.0, 9.0, 0.5, 0.6])
    monkeypatch.setattr(
        rounds, "take_turn", lambda key, *_: records[key, "own"]["seconds"].append(next(turns))
    )
    rounds.mend_roof(roof, records, [ours, roof])
    assert records[roof, "own"]["seconds"] == [0.5, 0.6]
    rounds.mend_roof(roof, records, [ours, roof])  # an ordinary one stays
    assert records[roof, "own"]["seconds"] == [0.5, 0.6]


def test_absent_peers_are_named_once():
    import io

    from rich.console import Console

    from bench.report import show_troubles

    absent = [{"peer": "jax", "threads": n, "absent": "not installed"} for n in (1, 2)]
    text = io.StringIO()
    show_troubles(Console(file=text), {"peers": absent, "speed": [], "digits": [], "accuracy": []})
    assert text.getvalue().count("not installed") == 1


def test_pictures_carry_the_warning(tmp_path):
    plots = pytest.importorskip("bench.plots", exc_type=ImportError)
    record = {
        "set": "case",
        "case": "softmax:float32:8x10:axis=-1",
        "threads": 1,
        "form": "own",
        "error": None,
    }
    results = {
        "environment": {"cpu": "a processor", "others": 0.5},
        "speed": [{**record, "peer": peer, "seconds": [1e-6]} for peer in ("softmax_ext", "numpy")],
        "accuracy": [],
    }
    path = tmp_path / "picture.svg"
    with np.errstate(all="ignore"), plots.pyplot.rc_context({"svg.fonttype": "none"}):
        assert plots.draw(results, path, "light")
    assert "do not trust these figures" in path.read_text(encoding="utf-8")
