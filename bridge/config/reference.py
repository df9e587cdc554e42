"""Reference: the option tables of docs/operations.md; `python -m bridge.config.reference` prints.

A test compares the document with it.
"""

from .options import GROUPS, Option, OptionGroup


def option_tables() -> str:
    """Return one Markdown table per group, each below its heading."""
    return "\n\n".join(map(option_table, OptionGroup))


def option_table(group: OptionGroup) -> str:
    """Return the heading of a group and the Markdown table of its options."""
    rows = "\n".join(map(_row, GROUPS[group]))
    return (
        f"### {group}\n\n"
        "| option | value | default | variable | meaning |\n|---|---|---|---|---|\n"
        f"{rows}"
    )


def _row(option: Option) -> str:
    value = option.metavar.replace("|", " or ")
    default = f"`{option.default}`" if option.default else "none"
    return f"| `--{option.name}` | {value} | {default} | `{option.variable}` | {option.help} |"


if __name__ == "__main__":
    print(option_tables())  # noqa: T201 - this is the command's output
