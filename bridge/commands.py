"""What the commands run.

The command line imports this when it runs one, no sooner: it takes half a second of CPU, which
`--help` and `--version` need not.
"""

import os
import sys
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import click

from bridge.config.loader import PREFIX, VARIABLES, ConfigError, Setting
from bridge.config.options import Config
from bridge.config.service_links import log_service_links
from bridge.core.errors import Failed
from bridge.core.query import LiveQuery
from bridge.core.query_parser import parse_query
from bridge.process.announcement import announce
from bridge.process.run import run_event_loop, run_service, stop_at_end_of_stdin, stop_signal
from bridge.process.supervisor import Supervisor, WorkerError
from bridge.process.worker import WorkerSettings
from bridge.telemetry.logs import set_up_logging
from bridge.tls.pem import TlsError

from .app import Bridge
from .check import check_tier
from .demo import DemoError
from .demo import demo as run_demo
from .factories import authenticator, listener_certificate, operator_token
from .tail import TailError, tail_token
from .tail import tail as run_tail

T = TypeVar("T")


def serve(config: Config, options: Mapping[str, Setting]) -> None:
    """Run a bridge, or several that share its port."""
    set_up_logging(log_format=config.log_format, level=config.log_level)
    log_service_links(os.environ, PREFIX, VARIABLES)
    _run(_supervise(config, options) if config.workers > 1 else _serve(config))


async def _serve(config: Config) -> None:
    stop = stop_signal()
    await run_service(Bridge(config), stop=stop, on_listening=announce)


async def _supervise(config: Config, options: Mapping[str, Setting]) -> None:
    stop = stop_signal()
    _check_files(config)  # they are reported once, not by every worker
    await Supervisor(config, options, on_listening=announce).run(stop)


def work() -> None:
    """Run one bridge of several, with the settings that come on stdin."""
    settings = WorkerSettings.decode(sys.stdin.buffer.readline())
    config = settings.config()
    set_up_logging(log_format=config.log_format, level=config.log_level, worker=settings.name)
    _run(_work(settings, config))


async def _work(settings: WorkerSettings, config: Config) -> None:
    stop = stop_signal()
    await stop_at_end_of_stdin(stop)
    bridge = Bridge(config, worker=settings)
    await run_service(bridge, stop=stop, on_listening=announce)


def check(config: Config, query: str | None) -> None:
    """Check the files that a configuration names, and ask the tier."""
    try:
        _check_files(config)
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


def _check_files(config: Config) -> None:
    """Read all files that a configuration names. Raises ConfigError, TlsError."""
    listener_certificate(config)
    authenticator(config)
    operator_token(config)


def demo(listen: str, *, speed: float, allowed_origins: str | None, database: str | None) -> None:
    """Run the demo."""
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


def tail(url: str, query: str, *, ws: bool, token_file: str | None) -> None:
    """Print frames until the stream ends."""
    try:
        token = tail_token(token_file, os.environ)
    except TailError as error:
        raise click.UsageError(str(error)) from None
    _run(run_tail(url, query, ws=ws, token=token))


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
