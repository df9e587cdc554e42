"""The compiled build: what is compiled, what never is, and that both builds are the same to callers."""

import ast
import ctypes
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bridge.core import log
from bridge.telemetry.metrics import Metrics
from bridge.telemetry.version import COMPILED, bridge_build

ROOT = Path(__file__).parents[2]
LISTED = tomllib.loads((ROOT / "tools/compiled/modules.toml").read_text())
MEANT_TO_DIFFER = (".IS_COMPILED", ".gather_interval.EASY", ".gather_interval.PRESSED")
# What `is` compares in compiled modules, each looked at: objects and bools, no numbers.
LOOKED_AT = {
    "encoding is self._encoding",
    "one.cursor is UNKNOWN_CURSOR",
    "self._catch_up is not SNAPSHOT",
    "request.protocol is V1_WS",
    "self.has_stream_ids is other.has_stream_ids",
    "self.has_stream_ids is bundle.has_stream_ids",
    "one is other",
    "row is cached_row",
    "encoder is unescaped_plain",
    "self._rows[hint] is row",
    "self.sequencer.awaiting_snapshot is not has_deadline",
    "self._by_key.get(_key_of(subscription)) is subscription",
    "self._by_viewer.get(viewer) is not old",
    "target is subscription",
    "news is not self._news",
    "other is not self",
    "self._open.get(lease.credential) is lease",
    "has_body is not (method == 'POST')",
    "self._due[0][2] is timer",
    "paused is self._reading_paused",
    "(frame.opcode is Opcode.CONT) is (self._partial is None)",
}
BUILTINS = {"bytes", "str", "int", "float", "dict", "list", "tuple", "set", "frozenset"}


def source_of(module):
    return ROOT / f"{module.replace('.', '/')}.py"


def unfit(tree):
    """Classes that mypyc takes without a word and makes something else of."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base) for base in node.bases}
            if "msgspec.Struct" in bases or bases & BUILTINS or "socket.SocketType" in bases:
                yield node.name


def test_every_module_that_is_listed_is_there():
    assert len(set(LISTED["compiled"])) == len(LISTED["compiled"])
    named = [*LISTED["compiled"], *LISTED["never"]]
    assert [name for name in named if not source_of(name).is_file()] == []


def test_what_is_never_compiled_is_not_and_has_a_reason():
    assert set(LISTED["compiled"]).isdisjoint(LISTED["never"])
    assert all(len(reason) > 20 for reason in LISTED["never"].values())


@pytest.mark.parametrize("package", ["core", "live", "upstream", "web", "wire"])
def test_a_struct_and_a_subclass_of_a_c_type_are_never_compiled(package):
    found = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "bridge" / package).rglob("*.py")
        if any(unfit(ast.parse(path.read_text())))
    }
    assert found <= LISTED["never"].keys()


@pytest.mark.parametrize("module", LISTED["compiled"])
def test_no_compiled_module_awaits_while_an_error_is_handled(module):
    """Compiled, a coroutine that waits takes what it handles out of the event loop with it.

    A finally raises again whatever is being handled at that moment: a caller's error, or a
    cancellation that became a timeout long ago. What an except handles becomes the context of
    whatever others raise meanwhile, which keeps its frames.
    """
    blocks = [
        statement
        for node in ast.walk(ast.parse(source_of(module).read_text()))
        if isinstance(node, ast.Try)
        for statement in (*node.finalbody, *(s for one in node.handlers for s in one.body))
    ]
    waits = (ast.Await, ast.AsyncWith, ast.AsyncFor)
    assert not [n.lineno for one in blocks for n in ast.walk(one) if isinstance(n, waits)]


def assignments(node):
    """What a statement assigns: pairs of a target and its value; None where that is not known."""
    if isinstance(node, ast.AnnAssign):
        yield node.target, node.value
    for target in node.targets if isinstance(node, ast.Assign) else ():
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        yield from zip(
            parts, values if len(values) == len(parts) else [None] * len(parts), strict=True
        )


def read_after_none(function):
    """Attributes that a function sets to None and reads further down, not set anew in between.

    Whatever is called in between may have set them.
    """
    events = []  # of one line, reads are first
    for node in ast.walk(function):
        for target, value in assignments(node):
            if isinstance(target, ast.Attribute):
                is_none = isinstance(value, ast.Constant) and value.value is None
                events.append((target.lineno, "to None" if is_none else "to more", target))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            events.append((node.lineno, "read", node))
    nothing = set()
    for _, event, node in sorted(events, key=lambda one: one[:2]):
        name = ast.unparse(node)
        if event == "to None":
            nothing.add(name)
        elif event == "read" and name in nothing:
            yield f"{function.name}: {name}"
        else:
            nothing.discard(name)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("self.a = None; ring()\n self.a.b", ["f: self.a"]),
        ("x, self.a = self.a, None\n ring()\n self.a.b", ["f: self.a"]),
        ("who.a = None\n ring()\n who.a.b", ["f: who.a"]),
        ("self.a: X = None\n ring()\n self.a.b", ["f: self.a"]),
        ("x, self.a = self.a, None\n self.a, y = x, 1\n self.a.b", []),
        ("self.a = None\n self.a, y = both\n self.a.b", []),
    ],
)
def test_reads_after_none_are_found(body, found):
    [function] = ast.parse(f"def f(self):\n {body}").body
    assert list(read_after_none(function)) == found


@pytest.mark.parametrize("module", LISTED["compiled"])
def test_no_compiled_function_reads_what_it_has_set_to_none(module):
    """Compiled, it is taken for None from then on, and anything else is a TypeError."""
    tree = ast.parse(source_of(module).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [read_after_none(node) for node in ast.walk(tree) if isinstance(node, functions)]
    assert [name for names in found for name in names] == []


def is_one_of_a_kind(node):
    """None, True, False, or a member of an enum by its name."""
    if isinstance(node, ast.Constant):
        return node.value in (None, True, False)
    return isinstance(node, ast.Attribute) and node.attr.isupper()


def test_nothing_that_may_be_a_number_is_compared_by_identity():
    """Compiled, a number has none: each look at it makes another object."""
    found = {
        ast.unparse(node)
        for module in LISTED["compiled"]
        for node in ast.walk(ast.parse(source_of(module).read_text()))
        if isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.Is | ast.IsNot)
        and not any(is_one_of_a_kind(one) for one in (node.left, *node.comparators))
    }
    assert found == LOOKED_AT


def test_version_and_metrics_say_which_build_runs():
    build = bridge_build()
    assert (build == COMPILED) is not log.__file__.endswith(".py")
    command = [sys.executable, "-m", "bridge", "--version"]
    said = subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT).stdout
    assert said.strip().endswith(f"({build})")
    assert f'build="{build}"'.encode() in Metrics().exposition()


def assert_same(pure, compiled, where):
    """Hold what is known of a compiled member to its source's; what can't be asked is left out."""
    if isinstance(pure, dict):
        assert set(pure["properties"]) <= set(compiled["properties"]), where
        assert set(pure["methods"]) == set(compiled["methods"]), where
        for name, parameters in pure["methods"].items():
            assert_same(parameters, compiled["methods"][name], f"{where}.{name}")
        rest = pure.keys() - {"methods", "properties"}
        assert {key: pure[key] for key in rest} == {key: compiled[key] for key in rest}, where
    elif pure and compiled and not where.endswith(MEANT_TO_DIFFER):
        assert pure == compiled, where


@pytest.mark.skipif(bridge_build() != COMPILED, reason="there is one build here: the sources")
def test_a_compiled_module_is_to_its_callers_what_its_source_is():
    def facts(*arguments):
        command = [sys.executable, str(ROOT / "tools/compiled/facts.py"), *arguments]
        said = subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT)
        return [json.loads(line) for line in said.stdout.splitlines()]

    compiled, pure = facts(), facts("--pure")
    assert {loaded for _, loaded, _ in compiled} == {"compiled"}
    assert {loaded for _, loaded, _ in pure} == {"pure"}
    for (name, _, one), (_, _, other) in zip(compiled, pure, strict=True):
        assert list(one) == list(other), name
        for member, known in other.items():
            assert_same(known, one[member], f"{name}.{member}")


@pytest.mark.skipif(
    bridge_build() != COMPILED or sys.platform != "linux", reason="there is nothing compiled here"
)
def test_compiled_functions_call_each_other_directly():
    """What other libraries can see, they may replace: then each call would go by a table."""
    [library] = ROOT.glob("*__mypyc*.so")
    seen = ctypes.CDLL(str(library))
    assert hasattr(seen, f"PyInit_{library.name.partition('.')[0]}")
    assert not hasattr(seen, "CPy_AddTraceback")  # of mypyc's own library, always there
