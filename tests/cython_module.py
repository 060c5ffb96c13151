"""Compiles Cython modules of users against the installed package, as setuptools does it for them."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import PACKAGE

SCRIPT = """
import sys
from setuptools import Extension, setup
from Cython.Build import cythonize

name = sys.argv.pop()
modules = cythonize([Extension(name, [name + ".pyx"])], quiet=True)
setup(ext_modules=modules, script_args=["-q", "build_ext", "--inplace"])
"""


def build(folder, name, source):
    """Compile the text of name.pyx in that folder; the test is skipped where that takes what is not here."""
    for module in ("Cython", "setuptools"):
        pytest.importorskip(module)
    if sys.platform == "linux" and not (shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("no C compiler here")
    (folder / f"{name}.pyx").write_text(source, encoding="utf-8")
    # Cython looks for the .pxd in the folders of sys.path, where an editable install need not have put it.
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, name],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        text=True,
        capture_output=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
