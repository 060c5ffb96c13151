"""Build of the one compiled module, `softmax_ext._core`; everything else is in pyproject.toml.

The module is `softmax_ext/_core.pyx`, with the `.pxi` files that it includes, plus every C file of csrc/.
All files get the same flags: a kernel that wants an instruction set says so itself, by a target pragma, so
nothing here knows about levels.

Environment:
  SOFTMAX_EXT_OPENMP   unset: OpenMP where a probe can compile and link it, else a serial build;
                       0: a serial build;  1: a missing OpenMP is an error.
  CC, CFLAGS, LDFLAGS  as usual (ours come after CFLAGS, so they win).

GCC and Clang on Linux are tried in CI. The branches for macOS and MSVC are untried.
"""

import json
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

import Cython
import numpy
from Cython.Distutils.build_ext import build_ext
from setuptools import Extension, setup
from setuptools.errors import CompileError, LinkError, PlatformError

# Every operation has to be the IEEE one that was written, on every level: contraction would fuse some
# multiply-adds and not others, and -ffast-math would undo the accuracy (the C code refuses it).
UNIX_FLAGS = [
    "-std=c11",
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-pthread",
]
MSVC_FLAGS = ["/std:c11", "/O2", "/fp:precise"]

# (compile flags, link flags), the first pair that works is used.
UNIX_OPENMP = [(["-fopenmp"], ["-fopenmp"])]
MACOS_OPENMP = [*UNIX_OPENMP, (["-Xpreprocessor", "-fopenmp"], ["-lomp"])]  # GCC, then Apple's Clang
MSVC_OPENMP = [(["/openmp"], [])]

OPENMP_PROBE = """
#include <omp.h>
#ifndef _OPENMP
#error "the flag was accepted and ignored"
#endif
int main(void) {
    int n = 0;
    #pragma omp parallel reduction(+ : n)
    n += omp_get_num_threads();
    return n < 1;
}
"""


class BuildExt(build_ext):
    """build_ext that asks the compiler in hand what it can do, and compiles the C files at once."""

    def initialize_options(self):
        super().initialize_options()
        self.cython_c_in_temp = True  # the generated C belongs to build/, not beside the sources
        self.cython_directives = {"language_level": "3"}

    def build_extension(self, ext):
        msvc = self.compiler.compiler_type == "msvc"
        openmp_compile, openmp_link = self.find_openmp(msvc)
        ext.extra_compile_args = [*(MSVC_FLAGS if msvc else UNIX_FLAGS), *openmp_compile]
        ext.extra_link_args = list(openmp_link)
        if not msvc:
            # CPython's own flags hold -g, which makes the module five times as large; debuggers, sanitizers
            # and profilers get it by CFLAGS=-g.
            if not re.search(r"(^|\s)-g", os.environ.get("CFLAGS", "")):
                ext.extra_compile_args.append("-g0")
            ext.extra_link_args.append("-pthread")
            ext.libraries = ["m"]
        if sys.platform.startswith("linux"):
            # Hidden visibility does not reach what the compiler makes up (Clang's lock for OpenMP
            # reductions) nor what static libraries bring along; a version script does.
            script = Path(self.build_temp, "exports.map")
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text("{ global: PyInit__core; local: *; };\n", encoding="utf-8")
            ext.extra_link_args.append(f"-Wl,--version-script={script}")

        # pip builds in the checkout, so build/ may hold objects of another compiler or other flags, which
        # time stamps alone would take for fresh.
        stamp = Path(self.build_temp, "build_settings.json")
        settings = self.settings(ext)
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != settings:
            self.force = True
        if not msvc:  # MSVC's compiler object sets itself up on first use: not for threads
            self.compile_in_parallel()
        super().build_extension(ext)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(settings, encoding="utf-8")

    def settings(self, ext):
        """All that decides the objects besides the sources, as text."""
        values = {
            "compiler": getattr(self.compiler, "compiler_so", self.compiler.compiler_type),
            "linker": getattr(self.compiler, "linker_so", None),
            "compile": ext.extra_compile_args,
            "link": ext.extra_link_args,
            "macros": ext.define_macros,
            "versions": [sys.version, Cython.__version__, numpy.__version__],
        }
        return json.dumps(values, indent=1)

    def find_openmp(self, msvc):
        """Flags (compile, link) with which OpenMP works here; two empty lists for a serial build."""
        wish = os.environ.get("SOFTMAX_EXT_OPENMP", "")
        if wish not in ("", "0", "1"):
            raise PlatformError(f"SOFTMAX_EXT_OPENMP is {wish!r}; it may be unset, 0 or 1")
        if wish == "0":
            print("softmax_ext: SOFTMAX_EXT_OPENMP=0, building without threads", file=sys.stderr)
            return [], []
        for flags in MSVC_OPENMP if msvc else MACOS_OPENMP if sys.platform == "darwin" else UNIX_OPENMP:
            if self.links_openmp(*flags):
                print(f"softmax_ext: building with OpenMP ({' '.join(flags[0])})", file=sys.stderr)
                return flags
        if wish == "1":
            raise PlatformError("SOFTMAX_EXT_OPENMP=1, but this compiler cannot build an OpenMP program")
        print(
            "softmax_ext: WARNING: this compiler cannot build an OpenMP program, building without threads",
            file=sys.stderr,
        )
        return [], []

    def links_openmp(self, compile_flags, link_flags):
        """Whether a small OpenMP program compiles and links. It is not run: we may be cross-compiling."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(OPENMP_PROBE, encoding="utf-8")
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=compile_flags
                )
                self.compiler.link_executable(objects, "probe", output_dir=folder, extra_postargs=link_flags)
            except (CompileError, LinkError):
                return False
        return True

    def compile_in_parallel(self):
        """Let `self.compiler.compile` take its source files side by side."""
        compile_all = self.compiler.compile

        def compile_each(sources, **options):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                parts = pool.map(lambda source: compile_all([source], **options), sources)
                return [name for part in parts for name in part]

        self.compiler.compile = compile_each


setup(
    ext_modules=[
        Extension(
            "softmax_ext._core",
            sources=[
                "softmax_ext/_core.pyx",
                *sorted(glob("csrc/*.c")),
                *sorted(glob("csrc/kernels/*.c")),
            ],
            # What the sources include.
            depends=sorted([*glob("csrc/**/*.h", recursive=True), *glob("softmax_ext/*.px[di]")]),
            include_dirs=["csrc", numpy.get_include()],
            define_macros=[
                # Built against any NumPy 2, the module runs on all of them.
                ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
                ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
            ],
        )
    ],
    cmdclass={"build_ext": BuildExt},
)
