"""What the program imports: what nobody asked for takes no time of its start."""

import subprocess
import sys

import pytest

HOUSE = {"aiohttp", "asyncio", "cryptography", "google", "grpc", "h2", "jwt", "livetier", "psycopg"}
ONLY_ASKED_FOR = {"cryptography", "grpc", "jwt", "livetier", "psycopg"}


def imported(*arguments, after=""):
    """Run the command line, or a line of code; returns the packages that it has imported."""
    code = (
        "import sys\nfrom bridge.cli import cli\n"
        f"try:\n    cli({arguments!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        if arguments
        else "import sys\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code + after + "\nprint(*sys.modules, file=sys.stderr)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {name.partition(".")[0] for name in run.stderr.split()}


COMMANDS = ("serve", "check", "demo", "tail", "tier", "verify")


@pytest.mark.parametrize("asked", [["--version"], ["--help"], *([c, "--help"] for c in COMMANDS)])
def test_help_and_version_import_no_event_loop_and_no_library_of_the_house(asked):
    assert not imported(*asked) & HOUSE


@pytest.mark.parametrize(("auth", "needed"), [("none", set()), ("forward", {"cryptography"})])
def test_a_bridge_imports_nothing_that_only_other_options_need(auth, needed):
    """Tickets, which `none` has not, are sealed by `cryptography`; tokens are not verified."""
    made = (
        "from bridge.app import Bridge\nfrom bridge.config.loader import resolve\n"
        "from bridge.factories import authenticator\n"
        f"authenticator(resolve({{'upstream': 'tier:1', 'auth': {auth!r}}}, environ={{}})[0])\n"
    )
    assert imported(after=made) & ONLY_ASKED_FOR == needed
