"""How the sources are laid out: what no linter checks."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("bridge", "livetier")
MOST_LINES = 300
TABLES = {"bridge/config/options.py"}  # one declaration after the other


def sources(package):
    return sorted((ROOT / package).rglob("*.py"))


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_classes_of_a_package_share_a_name(package):
    homes = defaultdict(list)
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(name_of(path))
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_longer_than_300_lines_but_tables(package):
    long = {
        name: lines
        for path in sources(package)
        if (lines := len(path.read_text().splitlines())) > MOST_LINES
        and (name := name_of(path)) not in TABLES
    }
    assert long == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_is_for_type_checkers_alone(package):
    hidden = [name_of(path) for path in sources(package) if "TYPE_CHECKING" in path.read_text()]
    assert hidden == []


def test_every_module_says_what_it_holds():
    silent = [
        name_of(path)
        for package in PACKAGES
        for path in sources(package)
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def recipe_files():
    """Yield (recipe, path) for each path that CONTRIBUTING.md names in a recipe."""
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Recipes\n")[2]
    for recipe in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        title, _, body = recipe.partition("\n")
        for path in re.findall(
            r"`((?:bridge|clients|livetier|livequery|tests|docs|proto|examples)/[^` ]*)`", body
        ):
            if "<" not in path:
                yield title, path


def test_recipes_name_files_that_exist():
    named = list(recipe_files())
    assert len({title for title, _ in named}) == 6
    assert [(title, path) for title, path in named if not (ROOT / path).exists()] == []


def test_every_module_is_on_the_map_in_design():
    table = (ROOT / "docs/design.md").read_text()
    house = table[table.index("## The house") : table.index("## Glossary")]
    named = set(re.findall(r"`(\w+)/?`", house))
    missing = [
        name_of(path)
        for package in PACKAGES
        for path in sources(package)
        if path.stem not in named and path.stem != "__init__"
    ]
    assert missing == []
