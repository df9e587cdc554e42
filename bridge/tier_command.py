"""`tier`: the embedded live-query tier alone, and what it leaves in a database."""

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click


@click.group(invoke_without_command=True)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:50051",
    show_default=True,
    help="Address for bridges: HOST:PORT or unix:/PATH.",
)
@click.option(
    "--database",
    metavar="URL",
    help="Database to serve: sqlite:///PATH. Default: a private database of flights.",
)
@click.option(
    "--replay/--no-replay",
    default=None,
    help="Play the day of flights into the database. Default: only into a private one.",
)
@click.option(
    "--speed",
    metavar="N",
    type=click.FloatRange(0),
    default=60,
    show_default=True,
    help="Simulated seconds per second.",
)
@click.option(
    "--start",
    metavar="HH:MM",
    default="05:00",
    show_default=True,
    help="Time of day at which the replay starts.",
)
@click.option(
    "--shortcuts",
    type=click.Choice(["on", "off"]),
    default="on",
    show_default=True,
    help="Read a window again only where a change may have touched it.",
)
@click.option("--until-stdin-closes", is_flag=True, hidden=True)
@click.pass_context
def tier(
    context: click.Context, /, *, until_stdin_closes: bool, shortcuts: str, **options: Any
) -> None:
    """Run the embedded live-query tier alone.

    Every table of its database is an entity. It also serves gRPC health and reflection. What it
    puts into a database is in docs/tier.md; `tier forget` takes it away.
    """
    if context.invoked_subcommand is not None:
        return
    from bridge.telemetry.logs import set_up_logging  # noqa: PLC0415 - `--help` needs no house

    set_up_logging(log_format="text", level="warning")
    options["shortcuts"] = shortcuts == "on"
    try:
        _run(_serve(options, until_stdin_closes=until_stdin_closes))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


async def _serve(options: dict[str, Any], *, until_stdin_closes: bool) -> None:
    from bridge.process.announcement import announce  # noqa: PLC0415 - `--help` needs no house
    from bridge.process.run import stop_at_end_of_stdin, stop_signal  # noqa: PLC0415
    from livetier.server import TierOptions, run_tier  # noqa: PLC0415 - `serve` starts without it

    stop = stop_signal()
    if until_stdin_closes:
        await stop_at_end_of_stdin(stop)
    await run_tier(TierOptions(**options), on_listening=announce, stop=stop)


@tier.command()
@click.option(
    "--database",
    metavar="FILE",
    required=True,
    help="The database: a file, or sqlite:///PATH.",
)
def forget(*, database: str) -> None:
    """Take away what the tier has put into a database.

    These are its triggers, its tables and write-ahead mode, if the file was in another mode before.
    Stop the tier first.
    """
    from livetier.sqlite.database import path_of  # noqa: PLC0415 - `serve` starts without it
    from livetier.sqlite.forget import forget as forget_file  # noqa: PLC0415

    try:
        path = path_of(database) if ":" in database else Path(database)
        found = forget_file(path)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"{path}: {found.triggers} triggers and {found.tables} tables taken away;"
        f" journal mode is {found.journal_mode}"
    )


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run in an event loop; an expected error or Ctrl-C ends the program without a traceback."""
    from bridge.process.run import run_event_loop  # noqa: PLC0415 - `--help` needs no event loop

    try:
        run_event_loop(main)
    except OSError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)
