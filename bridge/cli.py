"""Command line: serve, demo, tier, tail, check. Exit codes: 0 clean, 2 usage, 1 the rest."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import click
import msgspec

from bridge.config.loader import Config, ConfigError, Setting, resolve, show
from bridge.config.options import OPTIONS
from bridge.process.metrics_federation import MetricsFederation
from bridge.process.supervisor import ANNOUNCEMENT, Supervisor, WorkerError, WorkerSettings
from bridge.telemetry.logs import set_up_logging
from bridge.telemetry.version import bridge_version
from bridge.tls.reloading import TlsError

from .app import endpoints, listener_certificate, stop_signal
from .app import serve as run_bridge
from .demo import DemoError
from .demo import demo as run_demo
from .tail import TailError
from .tail import tail as run_tail

F = TypeVar("F", bound=Callable[..., Any])


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
    """Gather the commands."""


def _options(command: F) -> F:
    """Give a command every option of the table, and --config."""
    for option in reversed(OPTIONS):
        default = f" [default: {option.default}]" if option.default else ""
        command = click.option(
            f"--{option.name}", option.key, metavar=option.metavar, help=option.help + default
        )(command)
    return click.option(
        "--config", "file", metavar="FILE", help="TOML file of these options, by their names."
    )(command)


@cli.command(epilog="Every option is also read from BRIDGE_<NAME> and from the file; flags win.")
@_options
@click.option("--print-config", is_flag=True, help="Show the result, and where from; then stop.")
def serve(*, file: str | None, print_config: bool, **flags: str | None) -> None:
    """Run the bridge.

    Prints one line on stdout once it serves: `listening on http://HOST:PORT`. SIGTERM drains,
    SIGHUP reads certificates again.
    """
    try:
        config, settings = resolve(flags, os.environ, file)
        if print_config:
            click.echo(show(settings))
            return
        _need_upstream(config)
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    set_up_logging(form=config.log_format, level=config.log_level)
    try:
        if config.workers > 1:
            _run(_supervise(config, settings))
        else:
            _run(run_bridge(config, on_listening=_announce))
    except TlsError as error:
        raise click.UsageError(str(error)) from None
    except WorkerError as error:
        raise click.ClickException(str(error)) from None


async def _supervise(config: Config, settings: Mapping[str, Setting]) -> None:
    await Supervisor(config, settings, on_listening=_announce).run(stop_signal())


@cli.command(hidden=True)
def worker() -> None:
    """Run one of several bridges; told how, by the one that started it, on standard input."""
    brief = msgspec.json.decode(sys.stdin.buffer.readline(), type=WorkerSettings)
    config = brief.config()
    set_up_logging(form=config.log_format, level=config.log_level, worker=brief.name)
    _run(_work(brief, config))


async def _work(brief: WorkerSettings, config: Config) -> None:
    stop = stop_signal()
    await _watch_stdin(stop)
    fleet = MetricsFederation(brief.directory, brief.name)
    await run_bridge(config, on_listening=_announce, fleet=fleet, stop=stop)


@cli.command()
@_options
def check(*, file: str | None, **flags: str | None) -> None:
    """Validate the configuration and reach the tier.

    Says what is wrong; exits 2 for the configuration, 1 for a tier out of reach.
    """
    try:
        config, _ = resolve(flags, os.environ, file)
        _need_upstream(config)
        listener_certificate(config)
    except (ConfigError, TlsError) as error:
        raise click.UsageError(str(error)) from None
    click.echo("configuration: ok")
    try:
        reached = _run(_reach(config))
    except TlsError as error:
        raise click.UsageError(str(error)) from None
    if not reached:
        addresses = ", ".join(tier.address for tier in config.upstream)
        raise click.ClickException(f"no tier reachable at {addresses}")


async def _reach(config: Config) -> bool:
    reached = False
    for address in config.upstream:
        tier = endpoints(replace(config, upstream=(address,)))
        answers = await tier.reachable(within=5)
        await tier.close()
        click.echo(f"{address.address}: {'reachable' if answers else 'not reachable'}")
        reached |= answers
    return reached


@cli.command()
@click.option("--listen", metavar="HOST:PORT", default="127.0.0.1:8080", show_default=True)
@click.option(
    "--speed", type=click.FloatRange(0), default=60, show_default=True, help="Simulated s per s."
)
def demo(*, listen: str, speed: float) -> None:
    """Run an embedded tier and a departures board.

    The flights are those of one stormy day in New York, at 60 times its speed.
    """
    set_up_logging(form="text", level="warning")
    try:
        _run(run_demo(listen, speed=speed, on_listening=_announce))
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    except DemoError as error:
        raise click.ClickException(str(error)) from None


@cli.command()
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:50051",
    show_default=True,
    help="Where bridges connect; also unix:/PATH.",
)
@click.option(
    "--database",
    metavar="URL",
    help="sqlite:///PATH to serve its tables; without it, a private database of flights.",
)
@click.option(
    "--replay/--no-replay",
    default=None,
    help="Play the flights; by default into a private database only.",
)
@click.option(
    "--speed",
    type=click.FloatRange(0),
    default=60,
    show_default=True,
    help="Simulated seconds per second.",
)
@click.option(
    "--start", metavar="HH:MM", default="05:00", show_default=True, help="When the day begins."
)
@click.option("--until-stdin-closes", is_flag=True, hidden=True)
def tier(*, until_stdin_closes: bool, **options: Any) -> None:
    """Run the embedded live-query tier alone.

    Every table of its database is an entity; gRPC health and reflection are served.
    """
    set_up_logging(form="text", level="warning")
    try:
        _run(_tier(options, until_stdin_closes=until_stdin_closes))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


async def _tier(options: dict[str, Any], *, until_stdin_closes: bool) -> None:
    from livetier.server import TierOptions, run_tier  # noqa: PLC0415 - `serve` starts without it

    stop = stop_signal()
    if until_stdin_closes:
        await _watch_stdin(stop)
    await run_tier(TierOptions(**options), on_listening=_announce, stop=stop)


async def _watch_stdin(stop: asyncio.Event) -> None:
    """Stop when whoever started us is gone: its end of the pipe closes with it."""

    class Watcher(asyncio.Protocol):
        def connection_lost(self, _: Exception | None) -> None:
            stop.set()

    await asyncio.get_running_loop().connect_read_pipe(Watcher, sys.stdin)


@cli.command(
    help="""Print the frames of a live query, one per line.

    URL is where the streams are; LIVEQUERY_JSON is the query.

    \b
    livequery-bridge tail http://127.0.0.1:8080/api/v1/live
        '{"entity":"flights","sort":[{"column":"est_dep"}],"limit":5}'
    """
)
@click.argument("url")
@click.argument("livequery_json")
@click.option("--ws", is_flag=True, help="Over WebSocket; else over SSE.")
def tail(*, url: str, livequery_json: str, ws: bool) -> None:
    """Print frames until the stream ends."""
    try:
        _run(run_tail(url, livequery_json, ws=ws))
    except TailError as error:
        raise click.ClickException(str(error)) from None


def _need_upstream(config: Config) -> None:
    if not config.upstream:
        raise ConfigError("--upstream is needed: where is the tier? (for a look: `demo`)")


def _announce(address: str) -> None:
    click.echo(f"{ANNOUNCEMENT}{address}")
    sys.stdout.flush()


T = TypeVar("T")


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where it is built; an address in use and Ctrl-C are no tracebacks."""
    try:
        import uvloop  # noqa: PLC0415 - not built everywhere
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    try:
        return run(work)
    except OSError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)
