"""Version of the bridge, and which build of it runs."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final

PURE: Final = "pure"
COMPILED: Final = "compiled"
_HOT_MODULE: Final = "bridge.core.log"
"""One of those that are compiled, where any are."""


def bridge_version() -> str:
    """Return the version of the installed package; `0+checkout` where none is installed."""
    try:
        return version("livequery-bridge")
    except PackageNotFoundError:
        return "0+checkout"


def bridge_build() -> str:
    """Return `compiled` where the hot modules are extension modules, else `pure`."""
    spec = find_spec(_HOT_MODULE)
    origin = spec.origin if spec is not None else None
    return COMPILED if origin is not None and not origin.endswith(".py") else PURE
