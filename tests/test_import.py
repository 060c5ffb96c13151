"""What an import that cannot work says, and what programs that are packed up whole have to find."""

import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import PACKAGE, ROOT


@pytest.fixture
def sources(tmp_path):
    """A package without its compiled module, in a folder of its own."""
    folder = tmp_path / "place" / "softmax_ext"
    folder.mkdir(parents=True)
    for file in PACKAGE.glob("*.py"):
        shutil.copy(file, folder)
    return folder


def message(python, path):
    """Import the package from there; the last line that comes out."""
    done = python("-c", f"import sys; sys.path.insert(0, {str(path)!r}); import softmax_ext", check=False)
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


def test_source_folder_in_front_of_the_installed_package(python, sources):
    (sources.parent / "setup.py").touch()
    said = message(python, sources.parent)
    assert said.startswith(f"ImportError: softmax_ext was imported from its source folder, {sources.parent}")
    assert "another folder" in said
    assert "circular" not in said


def test_zip(python, sources, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in sources.iterdir():
            archive.write(file, f"softmax_ext/{file.name}")
    said = message(python, tmp_path / "all.zip")
    assert said.startswith(f"ImportError: softmax_ext cannot be imported from {tmp_path / 'all.zip'}")


def test_module_for_another_python(python, sources):
    (sources / "_core.cpython-39-x86_64-linux-gnu.so").touch()
    said = message(python, sources.parent)
    assert "another Python (_core.cpython-39-x86_64-linux-gnu.so;" in said
    assert sys.executable in said


def test_compiled_module_that_is_gone(python, sources):
    assert message(python, sources.parent).endswith("has lost its compiled module. Install it anew")


def test_error_within_the_compiled_module_is_not_hidden(python):
    assert (
        "SOFTMAX_EXT_NUM_THREADS"
        in python(
            "-c", "import softmax_ext", check=False, SOFTMAX_EXT_NUM_THREADS="none"
        ).stderr.splitlines()[-1]
    )


def test_modules_that_compiled_code_imports_are_imported_by_the_package_too():
    """PyInstaller and its like find out by reading Python files what a program needs."""
    files = [file for ending in ("pyx", "pxi") for file in (ROOT / "softmax_ext").glob(f"*.{ending}")]
    compiled = "".join(file.read_text(encoding="utf-8") for file in files)
    wanted = set(re.findall(r"^\s*from softmax_ext\.(\w+) import", compiled, re.M))
    assert wanted, "the pattern is out of date"
    named = set(re.findall(r"^from softmax_ext import (\w+)", Path(PACKAGE, "__init__.py").read_text(), re.M))
    assert wanted <= named


def test_import_names_every_encoding(python):
    python(
        "-X", "warn_default_encoding", "-W", "error", "-c", "import numpy, softmax_ext, softmax_ext.__main__"
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SECURITY.md names the files of Linux")
def test_import_reads_the_files_that_security_md_names(python):
    read = python(
        "-c",
        """if True:
        import sys, numpy
        opened = []
        sys.addaudithook(lambda event, arguments: event == "open" and opened.append(str(arguments[0])))
        import softmax_ext
        print(*opened, sep="\\n")
        """,
        SOFTMAX_EXT_NUM_THREADS=None,  # either number would make the quotas needless
        OMP_NUM_THREADS=None,
    ).split("\n")
    # Python itself reads modules, and on the way to them folders are listed, which is another event.
    others = {
        file
        for file in read
        if file.startswith(("/proc/", "/sys/", "/etc/")) or not re.search(r"\.pyc?\b|\.so", file)
    }
    others.discard("")
    assert "/proc/self/cgroup" in others
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for file in others:
        *folder, name = file.split("/")
        assert f"`{file}`" in text or (
            "/".join(folder).startswith("/sys/fs/cgroup") and f"`{name}`" in text
        ), file
