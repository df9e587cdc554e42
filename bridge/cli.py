"""Command line: serve, demo, tier, tail, check. Exit codes: 0 clean, 2 usage, 1 the rest."""

import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import click

from bridge.config.command_line import ConfigCommand, config_options
from bridge.config.loader import PREFIX, VARIABLES, ConfigError, Setting, resolve, show
from bridge.config.options import BY_KEY, Config
from bridge.config.service_links import log_service_links
from bridge.core.errors import Failed
from bridge.core.query import LiveQuery
from bridge.core.query_parser import parse_query
from bridge.process.announcement import announce
from bridge.process.run import run_event_loop, run_service, stop_at_end_of_stdin, stop_signal
from bridge.process.supervisor import Supervisor, WorkerError
from bridge.process.worker import WorkerSettings
from bridge.telemetry.logs import set_up_logging
from bridge.telemetry.version import bridge_version
from bridge.tls.pem import TlsError

from .app import Bridge
from .check import check_tier
from .demo import DemoError
from .demo import demo as run_demo
from .factories import authenticator, listener_certificate, operator_token
from .tail import TailError
from .tail import tail as run_tail
from .tier_command import tier as tier_command
from .verify.command import verify

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def main() -> None:
    """Run the command line."""
    cli(prog_name="livequery-bridge")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""Serve live queries of a gRPC tier to browsers, over SSE and WebSocket.

    \b
    Try it:       livequery-bridge demo
    Deploy it:    livequery-bridge serve --upstream tier:50051
    """,
)
@click.version_option(bridge_version(), prog_name="livequery-bridge")
def cli() -> None:
    """Group the commands."""


cli.add_command(tier_command)
cli.add_command(verify)


# ------------------------------------------------------------ serve


@cli.command(
    cls=ConfigCommand,
    epilog="Options can also be set by BRIDGE_<NAME> environment variables and in the --config "
    "file. Flags win over the environment, the environment over the file.",
)
@config_options
@click.option(
    "--print-config", is_flag=True, help="Print every value and where it came from, then exit."
)
def serve(*, file: str | None, print_config: bool, **flags: str | None) -> None:
    """Run the bridge.

    When it serves, it prints `listening on http://HOST:PORT` on stdout. SIGTERM and SIGINT drain
    it. SIGHUP reads certificate files again.
    """
    try:
        config, options = resolve(flags, os.environ, file)
        if print_config:
            click.echo(show(options))
            return
        _require_upstream(config)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    set_up_logging(log_format=config.log_format, level=config.log_level)
    log_service_links(os.environ, PREFIX, VARIABLES)
    _run(_supervise(config, options) if config.workers > 1 else _serve(config))


async def _serve(config: Config) -> None:
    stop = stop_signal()
    await run_service(Bridge(config), stop=stop, on_listening=announce)


async def _supervise(config: Config, options: Mapping[str, Setting]) -> None:
    stop = stop_signal()
    # Files that can't be used are reported once, not by every worker.
    listener_certificate(config)
    authenticator(config)
    operator_token(config)
    await Supervisor(config, options, on_listening=announce).run(stop)


@cli.command(hidden=True)
def worker() -> None:
    """Run one bridge of several; its parent, the supervisor, writes the settings to stdin."""
    settings = WorkerSettings.decode(sys.stdin.buffer.readline())
    config = settings.config()
    set_up_logging(log_format=config.log_format, level=config.log_level, worker=settings.name)
    _run(_work(settings, config))


async def _work(settings: WorkerSettings, config: Config) -> None:
    stop = stop_signal()
    await stop_at_end_of_stdin(stop)
    bridge = Bridge(config, worker=settings)
    await run_service(bridge, stop=stop, on_listening=announce)


# ------------------------------------------------------------ check


@cli.command(cls=ConfigCommand)
@config_options
@click.option("--query", metavar="JSON", help="Live query that the tier must serve.")
def check(*, file: str | None, query: str | None, **flags: str | None) -> None:
    """Check the configuration, and ask the tier as streams do.

    It takes the options of `serve`. A Subscribe is opened at every address. Exit codes: 1 no tier
    is reachable, 2 invalid configuration.
    """
    try:
        config, _ = resolve(flags, os.environ, file)
        _require_upstream(config)
        listener_certificate(config)
        authenticator(config)
        operator_token(config)
        wanted = parse_query(query) if query is not None else None
    except (ConfigError, TlsError) as error:
        raise click.UsageError(str(error)) from None
    except Failed as failed:
        raise click.UsageError(f"--query: {failed.text()}") from None
    click.echo("configuration: ok")
    if not _run(_check(config, wanted)):
        addresses = ", ".join(tier.address for tier in config.upstream)
        raise click.ClickException(f"no tier reachable at {addresses}")


async def _check(config: Config, query: LiveQuery | None) -> bool:
    """Print what is at each address of the tier; returns whether one is reachable."""
    any_reachable = False
    async for finding in check_tier(config, query):
        click.echo(f"{finding.address}: {finding.text}")
        any_reachable |= finding.ok
    return any_reachable


def _require_upstream(config: Config) -> None:
    if not config.upstream:
        raise ConfigError("--upstream is needed: where is the tier? (for a look: `demo`)")


# ------------------------------------------------------------ demo, tail


@cli.command()
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8080",
    show_default=True,
    help="Address for browsers. Port 0 picks a free port.",
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
    "--allowed-origins",
    metavar=BY_KEY["allowed_origins"].metavar,
    help=BY_KEY["allowed_origins"].help,
)
@click.option(
    "--database",
    metavar="URL",
    envvar="LIVEQUERY_TIER_DATABASE",
    help="A database of yours instead of the flights: postgresql://… or sqlite:///PATH.",
)
def demo(*, listen: str, speed: float, allowed_origins: str | None, database: str | None) -> None:
    """Run an embedded tier, a bridge and a departures board.

    The flights are those of one stormy day in New York. Over a database of yours it only reads, but
    for what it needs to learn of changes; it says beforehand what that is.
    """
    set_up_logging(log_format="text", level="warning")
    _run(
        run_demo(
            listen,
            speed=speed,
            allowed_origins=allowed_origins,
            database=database,
            on_listening=announce,
        )
    )


@cli.command(
    help="""Print the frames of a live query, one per line.

    URL is the URL of the streams. LIVEQUERY_JSON is the query.

    \b
    Example:
      livequery-bridge tail http://127.0.0.1:8080/api/v1/live \\
        '{"entity":"flights","sort":[{"column":"est_dep"}],"limit":5}'
    """
)
@click.argument("url")
@click.argument("livequery_json")
@click.option("--ws", is_flag=True, help="Use WebSocket instead of SSE.")
def tail(*, url: str, livequery_json: str, ws: bool) -> None:
    """Print frames until the stream ends."""
    _run(run_tail(url, livequery_json, ws=ws))


def _run(main: Coroutine[Any, Any, T]) -> T:
    """Run in an event loop; an expected error or Ctrl-C ends the program without a traceback."""
    try:
        return run_event_loop(main)
    except (ConfigError, TlsError) as error:
        raise click.UsageError(str(error)) from None
    except (OSError, WorkerError, DemoError, TailError) as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)
