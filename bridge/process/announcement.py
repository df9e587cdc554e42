"""Announcement: the one line on stdout by which a process says that it serves."""

PREFIX = "listening on "


def announce(address: str) -> None:
    """Print the announcement of an address."""
    print(f"{PREFIX}{address}", flush=True)  # noqa: T201 - scripts and parents read it


def parse_announcement(line: str) -> str | None:
    """Return the address that a line announces; None if it is no announcement."""
    return line.removeprefix(PREFIX).strip() if line.startswith(PREFIX) else None
