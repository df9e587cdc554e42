"""No source of ours uses a private name of a dependency, as far as the syntax tells."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("bridge", "livetier", "bench", "examples")
OURS = {*FOLDERS, "livequery"}
BUILT = {"out", "node_modules", "target", "build"}
"""Folders that builds make: what is in them is other people's."""
INHERITED = frozenset(
    {
        # What classes that we derive from keep for themselves, and public modules of theirs.
        "_loop",
        "_upgraded",
        "_drain_helper",
        "_reading_paused",
        "_paused",
        "_drain_waiter",
        "_request_parser",
        "_payload_parser",
        "_current_request",
    }
)
UNDOCUMENTED = {"aiohttp.base_protocol", "aiohttp.web_protocol"}
"""Modules without a leading underscore that are no part of their package's public API."""


def is_private(name):
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def is_foreign(module):
    return bool(module) and module.partition(".")[0] not in OURS


class Finder(ast.NodeVisitor):
    """Collects (line, what) of each use of a private name of another package."""

    def __init__(self) -> None:
        self.found = []
        self.foreign = {}
        """Names that imports of other packages are bound to → the package."""
        self.assigned = set()
        """Attributes of `self` that the class under visit defines itself."""
        self.derived = False
        """Whether the class under visit derives from another package's class."""
        self.inherited = frozenset()
        """Attributes that such a class is known to keep for itself."""

    def report(self, node, what):
        self.found.append((node.lineno, what))

    def visit_Import(self, node):
        for alias in node.names:
            if is_foreign(alias.name):
                package = alias.name.partition(".")[0]
                self.foreign[alias.asname or package] = package
                if any(map(is_private, alias.name.split("."))) or alias.name in UNDOCUMENTED:
                    self.report(node, alias.name)

    def visit_ImportFrom(self, node):
        if node.level or not is_foreign(node.module):
            return
        if any(map(is_private, node.module.split("."))) or node.module in UNDOCUMENTED:
            self.report(node, node.module)
        for alias in node.names:
            self.foreign[alias.asname or alias.name] = node.module.partition(".")[0]
            if is_private(alias.name):
                self.report(node, f"{node.module}.{alias.name}")

    def visit_ClassDef(self, node):
        before = self.assigned, self.derived, self.inherited
        bases = {self.foreign[root(base)] for base in node.bases if root(base) in self.foreign}
        self.derived = bool(bases)
        self.inherited = INHERITED if bases - sys.stdlib_module_names else frozenset()
        self.assigned = {
            inner.attr
            for inner in ast.walk(node)
            if isinstance(inner, ast.Attribute)
            and isinstance(inner.ctx, ast.Store)
            and root(inner) == "self"
        } | {inner.name for inner in ast.walk(node) if isinstance(inner, FUNCTIONS)}
        self.generic_visit(node)
        self.assigned, self.derived, self.inherited = before

    def visit_Attribute(self, node):
        if is_private(node.attr):
            of = root(node.value)
            if of in self.foreign:
                self.report(node, f"{of}.….{node.attr}" if of else node.attr)
            elif (
                of in ("self", "cls", "super")
                and self.derived
                and (node.attr in self.inherited or node.attr not in self.assigned)
            ):
                self.report(node, f"inherited {node.attr}")
        self.generic_visit(node)


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def root(node):
    """The name that an expression of attributes, calls and subscripts begins with."""
    while not isinstance(node, ast.Name):
        node = getattr(node, "value", getattr(node, "func", None))
        if node is None:
            return None
    return node.id


def uses(source):
    finder = Finder()
    finder.visit(ast.parse(source))
    return [what for _, what in sorted(finder.found)]


def test_no_private_name_of_a_dependency_is_used():
    found = [
        f"{path.relative_to(ROOT)}: {what}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not BUILT & set(path.relative_to(ROOT).parts)
        for what in uses(path.read_text())
    ]
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "from aiohttp._websocket.reader import WebSocketReader",
        "import aiohttp._websocket",
        "from aiohttp.base_protocol import BaseProtocol",
        "from aiohttp.streams import _Secret",
        "import grpc\ngrpc._channel.Channel()",
        "from aiohttp import web\nweb.Server(x)._connections",
        "from h2 import connection as c\nc.H2Connection()._begin[0].x",
        "from aiohttp import web\nclass A(web.RequestHandler):\n  def f(self): return self._loop",
        "from aiohttp import web\nclass A(web.RequestHandler):\n  def f(self): self._upgraded = True",
        "from aiohttp import web\nclass A(web.RequestHandler):\n  async def f(self): await self._drain_helper()",
        "import asyncio\nclass A(asyncio.Protocol):\n  def f(self): super()._secret()",
    ],
)
def test_a_planted_use_is_found(source):
    assert len(uses(source)) == 1


def test_what_is_public_or_our_own_is_none():
    assert not uses(
        "import asyncio\nfrom bridge.core import x\nfrom .y import _z\n"
        "class A(asyncio.Protocol):\n  def __init__(self): self._a = x._b.__class__\n"
        "  def f(self): return self._a, self._g()\n  def _g(self): return asyncio.__name__\n"
    )
