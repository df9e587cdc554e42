"""`tier`: the embedded live-query tier alone, and what it leaves in a database."""

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

POSTGRES = ("postgresql://", "postgres://")
SWITCH_SECONDS = 0.0005
"""How long the thread that reads SQLite may keep the interpreter from the event loop, which gives
it up with each message that it sends."""


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
    envvar="LIVEQUERY_TIER_DATABASE",
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
@click.option(
    "--metrics-listen",
    metavar="HOST:PORT",
    help="Address of the tier's Prometheus metrics. Default: none.",
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
    from bridge.telemetry.logs import set_up_logging  # noqa: PLC0415 - `--help` needs no house

    # At INFO a tier says how changes are learnt and why, and what it puts into a database.
    set_up_logging(log_format="text", level="info")
    options["shortcuts"] = shortcuts == "on"
    _run(_serve(options, until_stdin_closes=until_stdin_closes))


async def _serve(options: dict[str, Any], *, until_stdin_closes: bool) -> None:
    from bridge.process.announcement import announce  # noqa: PLC0415 - `--help` needs no house
    from bridge.process.gc_tuning import tune_gc  # noqa: PLC0415
    from bridge.process.run import stop_at_end_of_stdin, stop_signal  # noqa: PLC0415
    from livetier.server import TierOptions, run_tier  # noqa: PLC0415 - `serve` starts without it

    stop = stop_signal()
    if until_stdin_closes:
        await stop_at_end_of_stdin(stop)

    def serving(address: str) -> None:
        tune_gc()
        sys.setswitchinterval(SWITCH_SECONDS)
        announce(address)

    await run_tier(TierOptions(**options), on_listening=serving, stop=stop)


@tier.command()
@click.option(
    "--database",
    metavar="URL",
    required=True,
    help="The database: a file, sqlite:///PATH or postgresql://….",
)
def forget(*, database: str) -> None:
    """Take away what the tier has put into a database.

    In SQLite these are its triggers, its tables and write-ahead mode, if the file was in another
    mode before; in PostgreSQL its publication, slots, triggers and log table. Stop the tier first.
    """
    if database.startswith(POSTGRES):
        _run(_forget_postgres(database))
        return
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


async def _forget_postgres(conninfo: str) -> None:
    from livetier.postgres.forget import forget as forget_database  # noqa: PLC0415 - as above

    found = await forget_database(conninfo)
    click.echo(
        f"publication {'taken away' if found.publication else 'not there'},"
        f" {found.slots} slots and {found.triggers} triggers taken away,"
        f" log table {'taken away' if found.log else 'not there'}"
    )
    if found.running:
        click.echo(
            f"{found.running} slots are in use: a tier still runs, and will make it all anew"
        )


_postgres_database = click.option(
    "--database", metavar="URL", required=True, help="The database: postgresql://…."
)
_schemas = click.option(
    "--schemas", metavar="NAME,…", default="public", show_default=True, help="Schemas to look at."
)


@tier.command()
@_postgres_database
@_schemas
def check(*, database: str, schemas: str) -> None:
    """Tell which capture is possible on PostgreSQL, and what is missing, with the SQL for it.

    Nothing is changed. The exit code is 1 if no table can be live.
    """
    _run(_check(database, schemas))


async def _check(database: str, schemas: str) -> None:
    from livetier.postgres.advice import examine  # noqa: PLC0415 - as above
    from livetier.postgres.options import parse_options  # noqa: PLC0415 - as above

    advice = await examine(parse_options(database, schemas=schemas))
    for line in advice.lines:
        click.echo(line)
    if not advice.usable:
        raise click.ClickException("no table can be live")


@tier.command("check-query")
@_postgres_database
@_schemas
@click.argument("livequery_json")
def check_query(*, database: str, schemas: str, livequery_json: str) -> None:
    """Print the SQL of a live query and PostgreSQL's plan for it, and say which index would help.

    LIVEQUERY_JSON is the query. Nothing is changed.
    """
    _run(_check_query(database, schemas, livequery_json))


async def _check_query(database: str, schemas: str, text: str) -> None:
    from bridge.core.errors import Failed  # noqa: PLC0415 - as above
    from bridge.core.query_parser import parse_query  # noqa: PLC0415 - as above
    from bridge.upstream.protobuf_conversion import query_to_pb  # noqa: PLC0415 - as above
    from livetier.engine.errors import TierError  # noqa: PLC0415 - as above
    from livetier.postgres.advice import explain  # noqa: PLC0415 - as above
    from livetier.postgres.options import parse_options  # noqa: PLC0415 - as above

    try:
        query = query_to_pb(parse_query(text.encode()))
        for line in await explain(parse_options(database, schemas=schemas), query):
            click.echo(line)
    except (Failed, TierError) as error:
        field = f" ({error.field})" if getattr(error, "field", "") else ""
        raise click.ClickException(f"{error}{field}") from None


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run in an event loop; an expected error or Ctrl-C ends the program without a traceback."""
    from bridge.process.run import run_event_loop  # noqa: PLC0415 - `--help` needs no event loop
    from livetier.postgres.database_error import DatabaseError  # noqa: PLC0415 - as above

    try:
        run_event_loop(main)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except (OSError, DatabaseError) as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)
