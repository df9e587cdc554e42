"""Command line: the options of Config as click's, with help in groups."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .options import GROUPS, OPTIONS

F = TypeVar("F", bound=Callable[..., Any])


class ConfigCommand(click.Command):
    """A command that takes `config_options`; its help lists them by group."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per group, and one for the command's other options."""
        rows = {
            param.name: row for param in self.get_params(ctx) if (row := param.get_help_record(ctx))
        }
        sections = [
            (str(group), [rows.pop(option.key) for option in options])
            for group, options in GROUPS.items()
        ]
        sections.insert(0, ("Options", list(rows.values())))
        widths = [max(len(left) for left, _ in section) for _, section in sections]
        for (title, section), width in zip(sections, widths, strict=True):
            with formatter.section(title):
                formatter.write_dl(
                    section, col_max=max(widths), col_spacing=2 + max(widths) - width
                )


def _join(_context: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> str | None:
    return ",".join(texts) if texts else None


def config_options(command: F) -> F:
    """Give a command every option of Config, as keywords by `key`, and `--config` as `file`."""
    for option in reversed(OPTIONS):
        default = f" [default: {option.default}]" if option.default else ""
        command = click.option(
            f"--{option.name}",
            option.key,
            metavar=option.metavar,
            help=option.help + default,
            multiple=option.repeatable,
            callback=_join if option.repeatable else None,
        )(command)
    return click.option(
        "--config",
        "file",
        metavar="FILE",
        help="TOML file of the options below; its keys are their names.",
    )(command)
