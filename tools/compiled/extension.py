"""Compiles the modules that are named on the command line, in place (mypyc)."""

import sys
from pathlib import Path
from typing import Final

from mypyc.build import mypycify
from setuptools import setup

CLOSE_TOGETHER: Final = (
    # mypyc's functions are global, so on Linux each call of one by another would go by a table,
    # since a program might replace it. Nobody else needs their names.
    "-fvisibility=hidden",
    # Python's own functions are called by their address, without a stub in between.
    "-fno-plt",
    "-include",
    str(Path(__file__).with_name("cold.h").resolve()),
)
"""For less code, that lies close together."""

extensions = mypycify(["--strict", *sys.argv[1:]], opt_level="3", debug_level="0", multi_file=False)
if sys.platform == "linux":  # both compilers there, gcc and clang, know them
    for extension in extensions:
        extension.extra_compile_args += CLOSE_TOGETHER
setup(
    name="compiled",
    packages=[],
    py_modules=[],
    ext_modules=extensions,
    # Anew: what was compiled with other options does not look older than its source.
    script_args=["--quiet", "build_ext", "--inplace", "--force"],
)
