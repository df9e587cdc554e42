"""The README has the commands that are run here; this much is part of the whole suite."""

import pytest

from example_tiers import EXAMPLES, TIERS


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_readme_has_every_command(example):
    lines = (TIERS / "README.md").read_text().splitlines()
    assert [command for command in (*example.build, example.run) if command not in lines] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_readme_has_the_version_of_the_lock_file(example):
    assert example.version() in (TIERS / "README.md").read_text()
