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
        (["--load", "{of_numbers}"], "is no run that --json has saved"),
        (["--quick", "--timeout", "0"], "--timeout takes a number of seconds above 0"),
    ],
)
def test_nonsense_is_an_error_and_no_traceback(tmp_path, arguments, words):
    file = tmp_path / "run.json"
    file.write_text("not json" if "--compare" in arguments else "{}")
    of_numbers = tmp_path / "numbers.json"
    of_numbers.write_text(
        json.dumps(dict.fromkeys(["environment", "peers", "speed", "digits", "accuracy"], 1))
    )
    done = run(*(argument.format(file=file, of_numbers=of_numbers) for argument in arguments))
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


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_torch_is_given_types_of_16_bits_and_masks(dtype):
    pytest.importorskip("torch")
    from bench import cases, peers

    torch = peers.load("torch", 1)
    for name in (f"softmax:{dtype}:8x10", f"softmax_vjp:{dtype}:8x10", "log_softmax:float32:8x10:masked"):
        case = cases.parse(name)
        arrays = cases.make(case)
        for call in torch.calls(case.op, case.axis, arrays)["own"]:
            result = torch.as_numpy(eval(call.statement, dict(call.names)))
            rows = cases.first_rows(result, -1).astype(float)
            np.testing.assert_allclose(rows, cases.expected(case, arrays), rtol=6e-2, atol=1e-2)


def test_masks_and_wide_logits_are_cells():
    from bench.cases import CELLS, make, parse

    assert {cell.data for cell in CELLS} == {"ordinary", "wide", "masked"}
    assert {cell.dtype for cell in CELLS} == {"float32", "float64", "float16", "bfloat16"}
    shares = make(parse("softmax:float32:64x1000:masked"))["where"].mean(axis=1)
    assert shares.min() > 0.5
    assert shares.max() < 1
    with pytest.raises(ValueError, match="masks are measured for"):
        parse("softmax_vjp:float32:8x10:masked")


def test_a_bound_that_something_disturbed_is_measured_again(monkeypatch):
    from bench import worker
    from bench.worker import TRIES, Session

    monkeypatch.setattr(worker, "WARM", 0)  # else the disturbance is over when the samples begin

    class Timer:
        """Calls of 1 ms, but the disturbed ones."""

        def __init__(self, disturbed):
            self.left = disturbed

        def timeit(self, number):
            self.left -= 1
            return number * (1.0 if self.left >= 0 else 1e-3)

        def repeat(self, repeat, number):
            return [self.timeit(number) for _ in range(repeat)]

    class Peer:
        is_bound = True

    for peer, disturbed, right in (
        (Peer(), 2, 1e-3),
        (Peer(), 2 + TRIES, 1.0),  # it lasts: that is what the bound is now
        (object(), 2, 1.0),  # contestants get no second chance
    ):
        session = Session(peer)
        session.timers, session.usual = {"own": (Timer(disturbed), 1)}, {"own": 1e-3}
        assert session.turn() == {"own": right}


def test_no_ratio_is_shown_as_zero_and_none_is_endless():
    from bench.report import moved, times

    assert [times(x) for x in (None, 0.004, 0.5, 1.234, 3165.4)] == ["–", "0.004×", "0.50×", "1.23×", "3165×"]
    assert [moved(x) for x in (0.5, 1.25, 3165.4, 0.001)] == ["-50%", "+25%", "3165×", "0.001×"]


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
