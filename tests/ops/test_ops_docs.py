"""docs/operations.md tells the truth: every option, every metric, and none that is not there."""

import re
from pathlib import Path

import pytest

from bridge.options import OPTIONS
from bridge.telemetry.metrics import Metrics

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
OTHERS = {"ws", "listen", "config", "print-config", "help"}


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_stands_in_the_table_as_it_is(option):
    default = f"`{option.default}`" if option.default else "none"
    value = option.metavar.replace("|", " or ")
    row = f"| `--{option.name}` | {value} | {default} | `{option.variable}` | {option.help} |"
    assert row in TEXT


def test_no_option_is_named_that_does_not_exist():
    named = set(re.findall(r"`--([a-z][a-z-]+)", TEXT))
    assert named - {option.name for option in OPTIONS} <= OTHERS


def test_every_metric_is_named():
    names = re.findall(
        r"^# TYPE livequery_bridge_(\S+)", Metrics().exposition().decode(), re.MULTILINE
    )
    assert len(names) > 10
    for name in names:
        if not name.startswith("process_"):
            assert re.search(rf"`{name}[`{{]", TEXT), name
