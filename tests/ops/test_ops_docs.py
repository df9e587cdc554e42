"""docs/operations.md names every option and every metric, and none that does not exist."""

import re
from pathlib import Path

import pytest

from bridge.config.options import GROUPS, OPTIONS, OptionGroup
from bridge.config.reference import option_table
from bridge.telemetry.families import FAMILIES, PREFIX
from bridge.telemetry.metrics import Metrics

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
METRICS = [
    line for line in TEXT.split("## Metrics")[1].split("\n## ")[0].split("\n") if line[:3] == "| `"
]
METRICS = [line for line in METRICS if "livequery_bridge_…" not in line]
OTHERS = {"ws", "listen", "config", "print-config", "help"}


@pytest.mark.parametrize("group", OptionGroup)
def test_every_option_of_a_group_is_in_its_table_as_it_is_declared(group):
    assert option_table(group) in TEXT, "run `python -m bridge.config.reference`"


def test_every_option_is_in_the_table_of_one_group():
    assert sorted(TEXT.count(f"| `--{option.name}` |") for option in OPTIONS) == [1] * len(OPTIONS)
    assert sum(map(len, GROUPS.values())) == len(OPTIONS)


def test_no_option_is_named_that_does_not_exist():
    named = set(re.findall(r"`--([a-z][a-z-]+)", TEXT))
    assert named - {option.name for option in OPTIONS} <= OTHERS


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_metric_is_in_the_table_with_its_labels(family):
    labels = "{" + ",".join(family.labels) + "}" if family.labels else ""
    name = family.printed.removeprefix(PREFIX) + labels
    [row] = [line for line in METRICS if f"`{name}`" in line.split("|")[1]]
    assert row.split("|")[2].strip() == family.kind


def test_no_metric_is_named_that_does_not_exist():
    printed = {family.printed.removeprefix(PREFIX) for family in FAMILIES}
    named = {name for row in METRICS for name in re.findall(r"`([a-z_]+)", row.split("|")[1])}
    assert named - {"process_"} == printed


def test_every_metric_of_a_bridge_is_in_the_table():
    printed = re.findall(r"^# TYPE (\S+)", Metrics().exposition().decode(), re.MULTILINE)
    known = {family.printed for family in FAMILIES}
    assert {name for name in printed if not name.startswith(f"{PREFIX}process_")} <= known
