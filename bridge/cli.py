"""Command line: serve, demo, tier, tail, check. Exit codes: 0 clean, 2 usage, 1 the rest."""

import os

import click

from bridge.config.command_line import ConfigCommand, config_options
from bridge.config.loader import ConfigError, resolve, show
from bridge.config.options import BY_KEY, Config
from bridge.telemetry.version import bridge_build, bridge_version

from .tier_command import tier as tier_command
from .verify.command import verify


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
@click.version_option(f"{bridge_version()} ({bridge_build()})", prog_name="livequery-bridge")
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
    from . import commands  # noqa: PLC0415 - half a second of CPU that `--help` need not take

    commands.serve(config, options)


@cli.command(hidden=True)
def worker() -> None:
    """Run one bridge of several; its parent, the supervisor, writes the settings to stdin."""
    from . import commands  # noqa: PLC0415 - as in `serve`

    commands.work()


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
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    from . import commands  # noqa: PLC0415 - as in `serve`

    commands.check(config, query)


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
    from . import commands  # noqa: PLC0415 - as in `serve`

    commands.demo(listen, speed=speed, allowed_origins=allowed_origins, database=database)


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
@click.option(
    "--token-file",
    metavar="FILE",
    help="File with the bearer token to send. Default: that in LIVEQUERY_TOKEN, if there is one.",
)
def tail(*, url: str, livequery_json: str, ws: bool, token_file: str | None) -> None:
    """Print frames until the stream ends."""
    from . import commands  # noqa: PLC0415 - as in `serve`

    commands.tail(url, livequery_json, ws=ws, token_file=token_file)
