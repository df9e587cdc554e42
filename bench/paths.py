"""Paths: where the harness reads and writes. All beneath the checkout, but what is installed."""

from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
NATIVE = BENCH / "native"
OUT = BENCH / "out"
"""What can be made again: binaries, a virtual environment, scratch files. Not committed."""
BIN = OUT / "bin"
VENV = OUT / "venv"
PROTO = ROOT / "proto"
