"""The compiled build as a peer: made when its sources are newer, and never taken on trust."""

import os
import sysconfig

import pytest

from bench.compiled import NotCompiledError, compiled_bridge

BUILD = """\
import sys
from pathlib import Path
tree = Path(__file__).parents[2] / "build" / "compiled"
(tree / "bridge").mkdir(parents=True, exist_ok=True)
(tree / "bridge" / "made{suffix}").touch()
(tree / "bridge" / "__main__.py").write_text("print('1.0 ({kind})')")
with (tree / "count").open("a") as count:
    count.write("x")
sys.exit({said!r})
"""


def checkout(folder, *, kind="compiled", said=None):
    """A checkout whose build says that it is of a kind, or fails."""
    script = folder / "tools" / "compiled" / "build.py"
    script.parent.mkdir(parents=True)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    script.write_text(BUILD.format(suffix=suffix, kind=kind, said=said))
    source = folder / "bridge" / "window.py"
    source.parent.mkdir()
    source.touch()
    for file in (script, source):
        os.utime(file, (1, 1))
    return folder


def builds(folder):
    return len((folder / "build" / "compiled" / "count").read_text())


def test_it_is_built_once_and_again_when_a_source_is_newer(tmp_path):
    folder = checkout(tmp_path)
    assert compiled_bridge(folder).name == "compiled"
    compiled_bridge(folder)
    assert builds(folder) == 1
    later = 2 + max(file.stat().st_mtime for file in (folder / "build").rglob("*"))
    os.utime(folder / "bridge" / "window.py", (later, later))
    compiled_bridge(folder)
    assert builds(folder) == 2


@pytest.mark.parametrize(
    ("how", "reason"), [({"kind": "pure"}, "of itself: 1.0 .pure."), ({"said": "no gcc"}, "no gcc")]
)
def test_what_is_not_compiled_is_not_measured_as_such(tmp_path, how, reason):
    with pytest.raises(NotCompiledError, match=reason):
        compiled_bridge(checkout(tmp_path, **how))


def test_a_checkout_from_before_there_were_two_builds_has_one(tmp_path):
    with pytest.raises(NotCompiledError, match="has no tools"):
        compiled_bridge(tmp_path)
