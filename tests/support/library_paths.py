"""Where the browser library is."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "clients" / "js"
