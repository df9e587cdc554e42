"""Version of the bridge."""

from importlib.metadata import PackageNotFoundError, version


def bridge_version() -> str:
    """Return the version of the installed package; `0+checkout` where none is installed."""
    try:
        return version("livequery-bridge")
    except PackageNotFoundError:
        return "0+checkout"
