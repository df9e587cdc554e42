"""The command `verify`: its options, its output, its exit code."""

import sys
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option(
    "--upstream", metavar="ADDRESS", help="The tier: HOST:PORT, dns:///NAME:PORT or unix:/PATH."
)
@click.option(
    "--query",
    metavar="JSON",
    help="A LiveQuery whose window has rows; by default one made of what Describe tells.",
)
@click.option(
    "--write-command",
    metavar="CMD",
    help="Shell command that changes a row of the window; run repeatedly.",
)
@click.option("--stop-command", metavar="CMD", help="Shell command that stops the tier; run last.")
@click.option(
    "--json", "json_file", metavar="FILE", help="Write the result as JSON; - for stdout, alone."
)
@click.option("--junit", "junit_file", metavar="FILE", help="Write the result as JUnit XML.")
@click.option("--list", "list_rules", is_flag=True, help="List the rules and stop.")
@click.option("--only", metavar="RULE,...", default="", help="Report these rules only.")
@click.option(
    "--metadata",
    multiple=True,
    metavar="NAME=VALUE",
    help="Metadata of every call; may be repeated. Values are masked in the output.",
)
@click.option("--upstream-tls", is_flag=True, help="Use TLS and trust the system's roots.")
@click.option("--upstream-ca", metavar="FILE", help="Use TLS and trust this CA.")
@click.option("--upstream-cert", metavar="FILE", help="Client certificate, PEM.")
@click.option("--upstream-key", metavar="FILE", help="Key of the client certificate, PEM.")
@click.option("--upstream-server-name", metavar="NAME", help="Name in the tier's certificate.")
def verify(
    *,
    upstream: str | None,
    json_file: str | None,
    junit_file: str | None,
    list_rules: bool,
    **options: Any,
) -> None:
    """Judge a live-query tier by the contract.

    The tier may be written in any language. Prints one line per rule.
    Exits 0 if no rule failed, 1 if one did, 2 for usage.
    """
    # `serve` starts without these.
    from bridge.process.run import run_event_loop  # noqa: PLC0415

    from .launch import LaunchError, VerifyOptions, judge  # noqa: PLC0415
    from .report import rules_text  # noqa: PLC0415

    if list_rules:
        click.echo("\n".join(rules_text()))
        return
    if not upstream:
        raise click.UsageError("--upstream is needed: where is the tier?")
    try:
        report = run_event_loop(judge(VerifyOptions(upstream=upstream, **options)))
        if json_file and json_file != "-":
            Path(json_file).write_text(report.json() + "\n", encoding="utf-8")
        if junit_file:
            Path(junit_file).write_text(report.junit() + "\n", encoding="utf-8")
    except (LaunchError, OSError) as error:
        raise click.UsageError(str(error)) from None
    click.echo(report.json() if json_file == "-" else "\n".join(report.text()))
    sys.exit(1 if report.failed else 0)
