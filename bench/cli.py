"""Command line: run (the report), quick (the guard: exits 1 when not held), tokens, profile."""

import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import click

from . import machine, report, scenarios, tokens
from .bars import Verdict, judge
from .case import FULL, QUICK, Scenario
from .compiled import NotCompiledError, compiled_bridge
from .native import build
from .paths import BENCH, OUT, ROOT
from .peers import BridgePeer, available
from .profiler import SUBJECTS, profile
from .runner import run, say
from .tools import Tools, gather, gather_from_go


def main() -> None:
    """Run the command line; SIGTERM ends it as Ctrl-C does, with everything torn down."""
    signal.signal(signal.SIGTERM, _interrupt)
    cli(prog_name="python -m bench")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@click.group(help=__doc__)
def cli() -> None:
    """Gather the commands."""


def _prepare(*, install: bool) -> Tools:
    OUT.mkdir(parents=True, exist_ok=True)
    for log in (OUT / "logs").glob("*.log"):
        log.unlink()
    build()
    return gather(install=install)


def _name_missing(tools: Tools) -> None:
    for name, why in tools.missing.items():
        say(f"*** {name} is missing: {why} ***")


def _chosen(all_of_them: Iterable[Scenario], names: tuple[str, ...]) -> list[Scenario]:
    return [scenario for scenario in all_of_them if not names or scenario.name in names]


def _both_builds(tools: Tools, checkout: Path) -> list[BridgePeer]:
    """Return the pure bridge, and the compiled one if it can be made."""
    builds = [BridgePeer(checkout)]
    try:
        builds.append(compiled_bridge(checkout))
    except NotCompiledError as error:
        tools.missing["the compiled build"] = str(error)
    tools.versions |= {each.name: each.version for each in builds}
    return builds


_only = click.option(
    "--only",
    multiple=True,
    metavar="SCENARIO",
    type=click.Choice(scenarios.NAMES),
    help=f"Measure this one alone: {', '.join(scenarios.NAMES)}. More than once for several.",
)
_checkout = click.option(
    "--checkout",
    default=str(ROOT),
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Measure the bridge of another checkout (of a revision before, say).",
)
_no_install = click.option(
    "--install/--no-install", default=True, help="Whether missing peers are installed."
)


@cli.command(name="run")
@_only
@_checkout
@_no_install
def run_command(*, only: tuple[str, ...], checkout: Path, install: bool) -> None:
    """Measure everything and write bench/report.md, report.json and plots/.

    After each scenario, and with --only at the end, they are in bench/out.
    """
    began = time.monotonic()
    tools = _prepare(install=install)
    facts = machine.describe()
    gather_from_go(tools, install=install)
    peers = available(tools, *_both_builds(tools, checkout))
    _name_missing(tools)
    results = run(
        _chosen(scenarios.full(), only),
        peers,
        FULL,
        after=lambda so_far: report.write(so_far, tools, facts, OUT),
    )
    if not only:  # a part of a run is no report
        report.write(results, tools, facts)
    click.echo(report.both_tables(results))
    say(f"{time.monotonic() - began:.0f} s; {OUT if only else BENCH}/report.md")


@cli.command()
@_only
@_checkout
@_no_install
def quick(*, only: tuple[str, ...], checkout: Path, install: bool) -> None:
    """Guard against regressions: by ratio against the peers, in short windows."""
    began = time.monotonic()
    tools = _prepare(install=install)
    _name_missing(tools)
    results = run(_chosen(scenarios.quick(), only), available(tools, BridgePeer(checkout)), QUICK)
    verdicts = [verdict for verdict in judge(results) if verdict.bar.guard]
    for verdict in verdicts:
        click.echo(_guarded(verdict))
    say(f"{time.monotonic() - began:.0f} s")
    broken = any(outcome.broken for outcome in results.outcomes.values())
    sys.exit(0 if all(verdict.guarded for verdict in verdicts) and not broken else 1)


def _guarded(verdict: Verdict) -> str:
    measured = "-" if verdict.measured is None else report.number(verdict.measured)
    word = "ok  " if verdict.guarded else "FAIL"
    bar = verdict.bar
    return f"{word} {bar.promise}: {measured} {bar.unit} (guard {bar.guard:g}, bar {bar.limit:g})"


@cli.command(name="tokens")
def tokens_command() -> None:
    """Measure what verifying a token costs, by algorithm: no peer, a few seconds."""
    click.echo("algorithm  signature alone  first time  ratio  recalled   (µs)")
    for cost in tokens.measure():
        ratio = cost.first / cost.signature
        click.echo(
            f"{cost.algorithm:<9}  {cost.signature:15.1f}  {cost.first:10.1f}  {ratio:5.2f}  "
            f"{cost.recalled:8.2f}"
        )


@cli.command(name="profile")
@click.argument("subject", type=click.Choice(list(SUBJECTS)), default="sse")
@click.option("--seconds", default=5, show_default=True, type=click.IntRange(1, 60))
@_checkout
def profile_command(*, subject: str, seconds: int, checkout: Path) -> None:
    """Sample the bridge under load and tell where its time goes."""
    click.echo(profile(_prepare(install=True), BridgePeer(checkout), subject, seconds))
