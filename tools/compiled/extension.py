"""Compiles the modules that are named on the command line, in place (mypyc)."""

import sys

from mypyc.build import mypycify
from setuptools import setup

setup(
    name="compiled",
    packages=[],
    py_modules=[],
    ext_modules=mypycify(
        ["--strict", *sys.argv[1:]], opt_level="3", debug_level="0", multi_file=False
    ),
    script_args=["--quiet", "build_ext", "--inplace"],
)
