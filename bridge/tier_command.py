"""`tier`: the embedded live-query tier alone, and what it leaves in a database."""

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from bridge.process.announcement import announce
from bridge.process.run import run_event_loop, stop_at_end_of_stdin, stop_signal
from bridge.telemetry.logs import set_up_logging


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
    help="Database: sqlite:///PATH or postgresql://…. Default: a private one of flights.",
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
@click.option(
    "--capture",
    type=click.Choice(["auto", "wal", "trigger"]),
    default="auto",
    show_default=True,
    help="How changes of a PostgreSQL database are learnt.",
)
@click.option(
    "--schemas",
    metavar="NAME,…",
    default="public",
    show_default=True,
    help="PostgreSQL schemas whose tables are served.",
)
@click.option(
    "--setting",
    metavar="NAME=METADATA",
    multiple=True,
    help="Set a PostgreSQL setting from call metadata, for row policies: app.tenant=x-tenant.",
)
@click.option(
    "--role-from",
    metavar="METADATA=ROLE,…",
    help="Read under the PostgreSQL role that call metadata names, one of those listed.",
)
@click.option(
    "--read-pool",
    metavar="N",
    type=click.IntRange(1, 100),
    default=4,
    show_default=True,
    help="PostgreSQL connections for first readings.",
)
@click.option("--until-stdin-closes", is_flag=True, hidden=True)
@click.pass_context
def tier(
    context: click.Context, /, *, until_stdin_closes: bool, shortcuts: str, **options: Any
) -> None:
    """Run the embedded live-query tier alone.

    Every table of its database is an entity. It also serves gRPC health and reflection. What it
    puts into a database is in docs/tier.md; `tier forget` takes it away. PostgreSQL is reached by
    libpq's own means: PGPASSFILE, sslmode and services work.
    """
    if context.invoked_subcommand is not None:
        return
    set_up_logging(log_format="text", level="warning")
    options["shortcuts"] = shortcuts == "on"
    try:
        _run(_serve(options, until_stdin_closes=until_stdin_closes))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


async def _serve(options: dict[str, Any], *, until_stdin_closes: bool) -> None:
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
    try:
        run_event_loop(main)
    except OSError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)
