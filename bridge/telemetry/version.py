"""Version: what this bridge calls itself."""

from importlib.metadata import PackageNotFoundError, version


def bridge_version() -> str:
    """Return the version of the installed wheel, or of a checkout."""
    try:
        return version("livequery-bridge")
    except PackageNotFoundError:
        return "0+checkout"
