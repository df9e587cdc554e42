"""The embedded tier's commands: run it over a database, and look at that database beforehand."""

import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from bridge.process.announcement import announce
from bridge.process.run import run_event_loop, stop_at_end_of_stdin, stop_signal
from bridge.telemetry.logs import set_up_logging

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_DATABASE = "Database: sqlite:///PATH or postgresql://…. Default: a private one of flights."


def listen_option(default: str, text: str) -> Callable[[F], F]:
    """Return the option ``--listen``."""
    return click.option(
        "--listen", metavar="HOST:PORT", default=default, show_default=True, help=text
    )


speed_option = click.option(
    "--speed",
    metavar="N",
    type=click.FloatRange(0),
    default=60,
    show_default=True,
    help="Simulated seconds per second.",
)


@click.group(invoke_without_command=True)
@listen_option("127.0.0.1:50051", "Address for bridges: HOST:PORT or unix:/PATH.")
@click.option("--database", metavar="URL", help=_DATABASE)
@click.option(
    "--replay/--no-replay",
    default=None,
    help="Play the day of flights into the database. Default: only into a private one.",
)
@speed_option
@click.option(
    "--start",
    metavar="HH:MM",
    default="05:00",
    show_default=True,
    help="Time of day at which the replay starts.",
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
    "--shortcuts",
    type=click.Choice(["on", "off"]),
    default="on",
    show_default=True,
    help="Leave out windows that cannot have changed.",
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
    """Run the embedded live-query tier alone, or look after its database.

    Every table of its database is an entity. It also serves gRPC health and reflection.
    PostgreSQL is reached by libpq's own means: PGPASSFILE, sslmode and services work.
    """
    if context.invoked_subcommand is not None:
        return
    set_up_logging(log_format="text", level="warning")
    options["shortcuts"] = shortcuts == "on"
    _run(_tier(options, until_stdin_closes=until_stdin_closes))


async def _tier(options: dict[str, Any], *, until_stdin_closes: bool) -> None:
    from livetier.server import TierOptions, run_tier  # noqa: PLC0415 - `serve` starts without it

    stop = stop_signal()
    if until_stdin_closes:
        await stop_at_end_of_stdin(stop)
    await run_tier(TierOptions(**options), on_listening=announce, stop=stop)


def _run(main: Coroutine[Any, Any, T]) -> T:
    """Run in an event loop; a database that cannot be used is a sentence, not a traceback."""
    from livetier.postgres.database_error import DatabaseError  # noqa: PLC0415 - as above

    try:
        return run_event_loop(main)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except (OSError, sqlite3.Error, DatabaseError) as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
