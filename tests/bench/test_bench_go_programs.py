"""Peers in Go: built by version and checksum, or named as missing with what was said."""

import os
import shutil

import pytest

from bench import go_programs
from bench.go_programs import CENTRIFUGO, MERCURE, ORIGINAL, GoError, built, refusal
from bench.tools import Tools, gather_from_go


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(go_programs, "OUT", tmp_path)
    monkeypatch.setattr(go_programs, "BIN", tmp_path / "bin")
    (tmp_path / "bin").mkdir()
    return tmp_path


def stand_in(folder, monkeypatch, script):
    """Put a `go` before all others that does what `script` says."""
    program = folder / "path" / "go"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_a_module_is_asked_for_with_the_checksum_written_here(folders, monkeypatch):
    build = 'case "$1" in build) cp go.sum "$4";; esac'
    stand_in(folders, monkeypatch, build)
    made = built(MERCURE, install=True)
    assert made.read_text() == f"{MERCURE.module} {MERCURE.version} {MERCURE.digest}\n"


def test_what_was_built_is_not_built_again(folders):
    before = folders / "bin" / f"{CENTRIFUGO.name}-{CENTRIFUGO.version}"
    before.touch()
    assert built(CENTRIFUGO, install=False) == before


def test_what_gos_tool_says_against_a_module_is_told_in_one_line_without_addresses(
    folders, monkeypatch
):
    said = "go: downloading x\\ngo: x@v1: reading https://proxy.example/x:\\n404 Not Found"
    stand_in(folders, monkeypatch, f"printf '{said}' >&2; exit 1")
    assert refusal(ORIGINAL) == "go: x@v1: reading the module proxy: 404 Not Found"
    with pytest.raises(GoError, match="404 Not Found"):
        built(MERCURE, install=True)


def test_without_go_its_peers_are_named_as_missing(folders, monkeypatch):
    which = shutil.which
    monkeypatch.setattr(
        go_programs.shutil, "which", lambda name: None if name == "go" else which(name)
    )
    tools = Tools()
    gather_from_go(tools, install=False)
    assert tools.centrifugo is tools.mercure is None
    for program in (CENTRIFUGO, MERCURE, ORIGINAL):
        assert program.version in tools.missing[program.name]
