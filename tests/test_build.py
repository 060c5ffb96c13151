"""What setup.py asks the compiler, and what it says where the answer is no. Nothing is built to the end."""

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import ROOT

pytest.importorskip("Cython")
pytest.importorskip("setuptools")
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="asks for GNU's linker"),
    pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc here"),
    pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="not in a checkout"),
]

# setup.py up to where it would compile: prints the flags then.
SCRIPT = """
import os, sys, tempfile
from setuptools.dist import Distribution
from distutils.core import run_setup

distribution = run_setup("setup.py", ["-q", "build_ext"], stop_after="commandline")
command = distribution.get_command_obj("build_ext")
command.ensure_finalized()
command.build_temp = tempfile.mkdtemp(dir=sys.argv[1])
command.build_lib = sys.argv[1]
kind = type(command)

def stop(self, ext):
    print("compile:", *ext.extra_compile_args)
    print("link:", *ext.extra_link_args)

kind.__base__.build_extension = stop
command.run()
"""


@pytest.fixture
def configure(tmp_path):
    """Give a function that runs setup.py with some environment, and returns status, standard output and error."""

    def run(**env):
        clean = {
            k: v for k, v in os.environ.items() if k not in ("CC", "CFLAGS", "LDFLAGS", "SOFTMAX_EXT_OPENMP")
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path)],
            cwd=ROOT,
            env=clean | env,
            text=True,
            capture_output=True,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_flags(configure):
    status, out, err = configure()
    assert status == 0, err
    compiled, linked = out.splitlines()
    assert "-ffp-contract=off" in compiled
    assert "-fstack-clash-protection" in compiled
    assert "-fopenmp" in compiled
    assert "-fopenmp" in linked


@pytest.mark.parametrize("variable", ["CFLAGS", "LDFLAGS"])
@pytest.mark.parametrize("flag", ["-Ofast", "--optimize=fast", "-ffast-math", "-funsafe-math-optimizations"])
def test_flags_that_give_up_ieee_arithmetic_are_refused(configure, variable, flag):
    status, out, err = configure(**{variable: f"-g {flag}"})
    assert status != 0
    assert not out
    assert f"leave {flag} out" in err


def test_excess_precision_is_refused_once(configure):
    status, out, err = configure(CFLAGS="-mfpmath=387")
    assert status != 0
    assert not out
    assert err.count("error: #error") == 1


def test_openmp_is_found_with_the_flags_of_the_build(configure):
    status, out, err = configure(CFLAGS="-fsanitize=undefined --coverage", SOFTMAX_EXT_OPENMP="1")
    assert status == 0, err
    assert "-fopenmp" in out


def test_openmp_that_linker_flags_bring(configure, tmp_path):
    """As on macOS, where the library is in a folder of its own."""
    wrapper = tmp_path / "cc"
    wrapper.write_text(
        textwrap.dedent("""\
            #!/bin/sh
            # A gcc that has an OpenMP runtime only where -L/runtime is said.
            words=" $(echo "$*" | sed 's/ /  /g') "
            case $words in
                *" -L/runtime "*) ;;
                *" -fopenmp "*) case $words in *" -shared "*) echo "no runtime" >&2; exit 1 ;; esac ;;
            esac
            exec gcc "$@"
        """)
    )
    wrapper.chmod(0o755)
    status, out, err = configure(CC=str(wrapper), LDSHARED=f"{wrapper} -shared")
    assert status == 0, err
    assert "-fopenmp" not in out
    assert "no runtime" in err
    assert "WARNING: no OpenMP" in err
    status, out, err = configure(CC=str(wrapper), LDSHARED=f"{wrapper} -shared", SOFTMAX_EXT_OPENMP="1")
    assert status != 0
    assert "cannot build with OpenMP" in err.splitlines()[-1]
    status, out, err = configure(CC=str(wrapper), LDSHARED=f"{wrapper} -shared", LDFLAGS="-L/runtime")
    assert status == 0, err
    assert "-fopenmp" in out


def test_files_that_are_optimized_less_exist():
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    (table,) = re.findall(r"^LIGHTER = (\{.*?^\})", text, re.MULTILINE | re.DOTALL)
    files = {file.name for file in (ROOT / "csrc").rglob("*.c")} | {"_core.c"}  # which Cython makes
    assert ast.literal_eval(table).keys() <= files


@pytest.mark.parametrize("compiler", ["there-is-no-such-compiler", "false"])
def test_compiler_that_does_not_work_is_the_first_error(configure, compiler):
    status, out, err = configure(CC=compiler)
    assert status != 0
    assert not out
    assert "OpenMP" not in err
    assert compiler in err.splitlines()[-1]


def test_unknown_wish_is_refused(configure):
    status, _, err = configure(SOFTMAX_EXT_OPENMP="yes")
    assert status != 0
    assert "SOFTMAX_EXT_OPENMP is 'yes'" in err


def test_objects_are_used_again_unless_what_they_were_made_from_changed(tmp_path):
    """Build a tiny stand-in for the package with the real setup.py, again and again."""
    for folder in ("softmax_ext", "csrc/kernels"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("setup.py", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copy(ROOT / "csrc" / "arch.h", tmp_path / "csrc")
    (tmp_path / "softmax_ext" / "_core.pyx").write_text("def one():\n    return 1\n")
    (tmp_path / "csrc" / "a.c").write_text('#include "a.h"\nint a(void) { return A; }\n')
    (tmp_path / "csrc" / "a.h").write_text("#define A 1\n")
    (tmp_path / "csrc" / "b.c").write_text("int b(void) { return 1; }\n")

    def built(**env):
        before = {file: file.stat().st_mtime_ns for file in Path(tmp_path, "build").rglob("*.o")}
        command = [sys.executable, "-W", "ignore", "setup.py", "-q", "build_ext"]
        subprocess.run(
            command, cwd=tmp_path, env=os.environ | env, check=True, capture_output=True, timeout=120
        )
        after = {file: file.stat().st_mtime_ns for file in Path(tmp_path, "build").rglob("*.o")}
        return {file.name for file in after if after[file] != before.get(file)}

    everything = {"_core.o", "a.o", "b.o"}
    assert built() == everything
    assert built() == set()
    later = (tmp_path / "csrc" / "a.h").stat().st_mtime + 3600
    os.utime(tmp_path / "csrc" / "a.h", (later, later))
    assert built() == {"a.o"}
    os.utime(
        tmp_path / "csrc" / "a.h", (later - 7200, later - 7200)
    )  # or it would stay younger than its object
    assert built(CFLAGS="-DOTHER") == everything
    # A build that fails does not cost the next one more than the file that is mended.
    (tmp_path / "csrc" / "b.c").write_text("no C\n")
    with pytest.raises(subprocess.CalledProcessError):
        built(CFLAGS="-DTHIRD")
    (tmp_path / "csrc" / "b.c").write_text("int b(void) { return 2; }\n")
    assert "b.o" in built(CFLAGS="-DTHIRD")
    assert built(CFLAGS="-DTHIRD") == set()
