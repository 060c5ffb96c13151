"""Build of the one compiled module, `softmax_ext._core`; everything else is in pyproject.toml.

The module is `softmax_ext/_core.pyx`, with the `.pxi` files that it includes, plus every C file of csrc/.
All files get the same flags, but for a few that are optimized less (`LIGHTER`): a kernel that wants an instruction set
says so itself, by a target pragma.

Environment:
  SOFTMAX_EXT_OPENMP   unset: OpenMP where a probe can compile and link it, else a serial build;
                       0: a serial build;  1: a missing OpenMP is an error.
  CC, CFLAGS, LDFLAGS  as usual (ours come after CFLAGS, so they win). Flags that give up IEEE arithmetic are refused.

An object file in build/ is used again if nothing that it was made from has changed.

GCC and Clang on Linux are tried in CI. The branches for macOS and MSVC are untried.
"""

import json
import os
import re
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

from setuptools import Extension, setup  # before Cython, which would take another distutils
from setuptools.errors import CompileError, LinkError, PlatformError

# isort: split
import Cython
import numpy
from Cython.Distutils.build_ext import build_ext

# Every operation has to be the IEEE one that was written, on every level: contraction would fuse some
# multiply-adds and not others, and -ffast-math would undo the accuracy (the C code refuses it).
UNIX_FLAGS = [
    "-std=gnu11",  # under c11, GCC takes float arithmetic to double on s390x, as old standards there had it
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-pthread",
]
MSVC_FLAGS = ["/std:c11", "/O2", "/fp:precise"]
# Files that gain nothing by -O3 but time to compile, by the ends of their names. Cython's spends its time in Python and
# NumPy; by -O1, which takes 5 s instead of 8, calls of 1x10 would take a thirtieth longer. The scalar level is a
# yardstick, and sse2 is for processors older than 2013. (Nothing else: see docs/decisions.md.)
LIGHTER = {
    "_core.c": "-O2",
    "scalar_f32.c": "-O2",
    "scalar_f64.c": "-O2",
    "sse2_f32.c": "-O2",
    "sse2_f64.c": "-O2",
}
# Used where the compiler knows them.
OPTIONAL_UNIX_FLAGS = ["-fstack-clash-protection"]

# Ours would undo some of them for the compiler, but GCC's linker sees them, too, and adds code that makes the whole
# process take subnormal numbers for zero, from the import on.
NOT_IEEE = {
    "-Ofast",
    "--optimize=fast",
    "-ffast-math",
    "-funsafe-math-optimizations",
    "-fassociative-math",
    "-freciprocal-math",
    "-ffinite-math-only",
    "-fno-signed-zeros",
    "-fsingle-precision-constant",
    "-mdaz-ftz",
    "/fp:fast",
}

# (compile flags, link flags), the first pair that works is used.
UNIX_OPENMP = [(["-fopenmp"], ["-fopenmp"])]
MACOS_OPENMP = [*UNIX_OPENMP, (["-Xpreprocessor", "-fopenmp"], ["-lomp"])]  # GCC, then Apple's Clang
MSVC_OPENMP = [(["/openmp"], [])]

# arch.h refuses, once instead of for every file, what the kernels could not be right with.
COMPILER_PROBE = """
#include "arch.h"
int probe(void) { return 0; }
"""

OPENMP_PROBE = """
#include <omp.h>
#ifndef _OPENMP
#error "the flag was accepted and ignored"
#endif
int probe(void) {
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

    def finalize_options(self):
        super().finalize_options()
        # An editable install would have a folder of its own each time, and find no object to use again.
        self.build_temp = f"build/temp.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"

    def build_extension(self, ext):
        msvc = self.compiler.compiler_type == "msvc"
        self.refuse_fast_math()
        ext.extra_compile_args = list(MSVC_FLAGS if msvc else UNIX_FLAGS)
        ext.extra_link_args = []
        if not msvc:
            # CPython's own flags hold -g, which makes the module five times as large; debuggers, sanitizers
            # and profilers get it by CFLAGS=-g.
            if not re.search(r"(^|\s)-g", os.environ.get("CFLAGS", "")):
                ext.extra_compile_args.append("-g0")
            ext.extra_link_args.append("-pthread")
            ext.libraries = ["m"]
        # Each probe is built as the module is to be: what it finds holds for that. The first fails with the compiler's
        # own message if there is no compiler, or none that takes the flags.
        self.build_probe(COMPILER_PROBE, ext)
        if not msvc:
            ext.extra_compile_args += [flag for flag in OPTIONAL_UNIX_FLAGS if self.takes_flag(flag, ext)]
        openmp_compile, openmp_link = self.find_openmp(msvc, ext)
        ext.extra_compile_args += openmp_compile
        ext.extra_link_args += openmp_link
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
            # Should this build fail, the next one of the same settings goes on where it ended: with these files gone,
            # nothing that is left from before counts as up to date.
            for made_from in Path(self.build_temp).rglob("*.o.d"):
                made_from.unlink()
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.write_text(settings, encoding="utf-8")
        if not msvc:  # MSVC's compiler object sets itself up on first use: not for threads
            self.compile_in_parallel()
        super().build_extension(ext)

    def settings(self, ext):
        """All that decides the objects besides the sources, as text."""
        values = {
            "compiler": getattr(self.compiler, "compiler_so", self.compiler.compiler_type),
            "linker": getattr(self.compiler, "linker_so", None),
            "compile": ext.extra_compile_args,
            "lighter": LIGHTER,
            "link": ext.extra_link_args,
            "macros": ext.define_macros,
            "versions": [sys.version, Cython.__version__, numpy.__version__],
        }
        return json.dumps(values, indent=1)

    def refuse_fast_math(self):
        """Raise PlatformError if the compiler or the linker is called with a flag that gives up IEEE arithmetic."""
        commands = [*getattr(self.compiler, "compiler_so", []), *getattr(self.compiler, "linker_so", [])]
        commands += os.environ.get("CL", "").split()  # MSVC's own variable
        if unwanted := sorted(NOT_IEEE.intersection(commands)):
            raise PlatformError(
                f"softmax_ext relies on IEEE arithmetic: leave {', '.join(unwanted)} out of CC, CFLAGS and LDFLAGS"
            )

    def find_openmp(self, msvc, ext):
        """Flags (compile, link) with which OpenMP works here; two empty lists for a serial build."""
        wish = os.environ.get("SOFTMAX_EXT_OPENMP", "")
        if wish not in ("", "0", "1"):
            raise PlatformError(f"SOFTMAX_EXT_OPENMP is {wish!r}; it may be unset, 0 or 1")
        if wish == "0":
            print("softmax_ext: SOFTMAX_EXT_OPENMP=0, building without threads", file=sys.stderr)
            return [], []
        for flags in MSVC_OPENMP if msvc else MACOS_OPENMP if sys.platform == "darwin" else UNIX_OPENMP:
            try:
                self.build_probe(OPENMP_PROBE, ext, *flags)
            except (CompileError, LinkError) as error:
                # The compiler has said why on the lines before.
                print(f"softmax_ext: no OpenMP by {' '.join(flags[0] + flags[1])}: {error}", file=sys.stderr)
            else:
                print(f"softmax_ext: building with OpenMP ({' '.join(flags[0])})", file=sys.stderr)
                return flags
        if wish == "1":
            raise PlatformError(
                "SOFTMAX_EXT_OPENMP=1, but this compiler cannot build with OpenMP (see above)"
            )
        print("softmax_ext: WARNING: no OpenMP (see above), building without threads", file=sys.stderr)
        return [], []

    def takes_flag(self, flag, ext):
        """Whether the compiler knows a flag."""
        try:
            self.build_probe(COMPILER_PROBE, ext, [flag, "-Werror"])
        except (CompileError, LinkError):
            print(f"softmax_ext: building without {flag}", file=sys.stderr)
            return False
        return True

    def build_probe(self, text, ext, compile_flags=(), link_flags=()):
        """Compile and link a few lines as the module will be, flags added; raise CompileError or LinkError.

        What comes out is not run: we may be cross-compiling.
        """
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(text, encoding="utf-8")
            objects = self.compiler.compile(
                [str(source)],
                output_dir=folder,
                include_dirs=ext.include_dirs,
                extra_postargs=[*ext.extra_compile_args, *compile_flags],
            )
            self.compiler.link_shared_object(
                objects,
                str(Path(folder, "probe.so")),
                libraries=ext.libraries,
                extra_postargs=[*ext.extra_link_args, *link_flags],
            )

    def compile_in_parallel(self):
        """Let `self.compiler.compile` take its source files side by side, and leave out what is up to date."""
        compile_all = self.compiler.compile
        force = self.force

        def compile_one(source, output_dir, extra_postargs, **options):
            (target,) = self.compiler.object_filenames([source], output_dir=output_dir)
            made_from = Path(target + ".d")
            if force or not up_to_date(Path(target), made_from):
                Path(target).unlink(missing_ok=True)  # not there if the compiler fails
                lighter = [flag for name, flag in LIGHTER.items() if source.endswith(name)]
                flags = [*extra_postargs, *lighter, "-MD", "-MF", str(made_from)]
                compile_all([source], output_dir=output_dir, extra_postargs=flags, **options)
            return target

        def compile_each(sources, output_dir, extra_postargs, **options):
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                # The kernels, which take longest, come last in the list.
                jobs = [
                    pool.submit(compile_one, source, output_dir, extra_postargs, **options)
                    for source in reversed(sources)
                ]
            return [job.result() for job in reversed(jobs)]

        self.compiler.compile = compile_each


def up_to_date(target, made_from):
    """Whether an object file is younger than all of this checkout that the compiler's rule in `made_from` names.

    The rest is the system's, and NumPy's headers in an environment that pip makes anew for each build: `settings` has
    their versions.
    """
    if not (target.exists() and made_from.exists()):
        return False
    _, _, names = made_from.read_text(encoding="utf-8").replace("\\\n", " ").partition(": ")
    files = [Path(name) for name in names.split() if not os.path.isabs(name)]
    if not files or not all(file.exists() for file in files):
        return False
    return max(file.stat().st_mtime for file in files) < target.stat().st_mtime


def on_the_web():
    """What PyPI shows: README and links, to the repository that builds, which GitHub's workflows name; else none.

    README's links and pictures are relative, for a checkout and for forks; on PyPI's page they would lead nowhere.
    """
    text = Path("README.md").read_text(encoding="utf-8")
    urls = {}
    if repository := os.environ.get("GITHUB_REPOSITORY"):
        here = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}"
        version = re.search(
            r'"(.*)"', Path("softmax_ext/_version.py").read_text(encoding="utf-8").split("=")[1]
        )[1]
        text = re.sub(r"\]\((?!https?:|#)", f"](%s/blob/v{version}/" % here, text)
        text = re.sub(r'(src|srcset)="(?!https?:)', rf'\1="{here}/raw/v{version}/', text)
        urls = {
            "Source": here,
            "Documentation": "https://{}.github.io/{}/".format(*repository.split("/")),
            "Changes": f"{here}/blob/v{version}/CHANGELOG.md",
            "Issues": f"{here}/issues",
        }
    return {
        "long_description": text,
        "long_description_content_type": "text/markdown",
        "project_urls": urls,
    }


setup(
    **on_the_web(),
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
