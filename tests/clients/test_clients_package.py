"""The npm package: its types, its size, what linters say, and that it is what the wheel has."""

import re
import shutil
import subprocess

import pytest

from library_paths import LIBRARY, ROOT

MOST = 8 * 1000
SOURCES = LIBRARY / "src"


@pytest.fixture
def npx(node_packages):
    """Run a tool of the package; returns its output."""

    def run(*words):
        done = subprocess.run(
            ("npx", "--no-install", *words),
            cwd=LIBRARY,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.timeout(180)
def test_the_types_are_strict_and_the_declarations_are_those_of_the_sources(npx, tmp_path):
    npx("tsc")
    npx("tsc", "-p", "tsconfig.types.json", "--outDir", str(tmp_path))
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_text() for path in (LIBRARY / "types").iterdir()}
    assert made == committed, "npm run types, in clients/js"


def test_the_linter_has_nothing_to_say(npx):
    npx("eslint", "--max-warnings", "0", ".")


def test_the_linter_has_nothing_to_say_about_explorer_board_and_inspector(node_packages):
    eslint, config = LIBRARY / "node_modules/.bin/eslint", LIBRARY / "eslint.config.js"
    run = subprocess.run(
        (eslint, "--config", config, "--max-warnings", "0", "bridge/web"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.timeout(180)
def test_what_npm_packs_can_be_resolved_with_types_by_every_module_system_that_it_names(
    node_packages, tmp_path
):
    # Both tools pack in the folder they are called in.
    shutil.copytree(LIBRARY, tmp_path / "js", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "js/node_modules").symlink_to(LIBRARY / "node_modules")
    for words in (("publint", "--strict"), ("attw", "--pack", ".", "--profile", "esm-only")):
        run = subprocess.run(
            (tmp_path / "js/node_modules/.bin" / words[0], *words[1:]),
            cwd=tmp_path / "js",
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr


def test_the_core_is_at_most_8_kb_gzipped(node, node_packages):
    run = subprocess.run(
        (node, "tools/size.mjs"), cwd=LIBRARY, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    [size] = re.findall(r"^core, in one file: (\d+)$", run.stdout, re.MULTILINE)
    assert 5000 < int(size) <= MOST


def test_no_module_of_the_library_is_longer_than_300_lines_but_the_socket():
    long = {
        path.name: lines
        for path in SOURCES.glob("*.js")
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert long == {}


def test_the_library_has_no_dependency():
    bare = {
        name
        for path in SOURCES.glob("*.js")
        for name in re.findall(r'(?:from|import\()\s*"([^.][^"]*)"', path.read_text())
    }
    assert bare <= {"react", "vue", "svelte/reactivity", "solid-js"}


def test_what_the_bridge_serves_is_the_package_itself():
    served = ROOT / "bridge/web/pages/static/client"
    assert served.resolve() == SOURCES.resolve()


def test_the_reference_and_the_sizes_in_the_documentation_are_those_of_the_sources(
    node, node_packages
):
    run = subprocess.run(
        (node, "tools/reference.mjs", "--check"),
        cwd=LIBRARY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
