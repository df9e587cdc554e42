"""Build: which of the two this is (docs/performance.md, "Two builds")."""

from typing import Final

IS_COMPILED: Final = not __file__.endswith(".py")
"""Whether the hot modules are compiled, as this one then is."""
