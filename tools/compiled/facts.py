"""Prints what callers can rely on of the modules that are compiled, as JSON: one line for each.

Bases, equality, hashing, defaults, signatures and constants: where mypyc departs from Python, it
departs there. `--pure` reads the sources although extension modules lie beside them.
"""

import ast
import dataclasses
import importlib
import inspect
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.machinery import FileFinder, SourceFileLoader
from pathlib import Path
from typing import Any, Final

TREE: Final = Path(__file__).parents[2]
_PLAIN: Final = (int, float, str, bytes, tuple, frozenset, type(None))


def prefer_sources() -> None:
    """Have every module of the bridge loaded from its source."""
    make = FileFinder.path_hook((SourceFileLoader, [".py"]))

    def hook(path: str) -> Any:
        if not Path(path).is_relative_to(TREE / "bridge"):
            raise ImportError
        return make(path)

    sys.path_hooks.insert(0, hook)


def facts(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield what is defined in a module, each with what is to be the same in both builds."""
    functions = _functions(module)
    for name, value in sorted(vars(module).items()):
        if name.startswith("__"):
            continue
        if inspect.isclass(value):
            if value.__module__ == module.__name__:
                yield name, _class_facts(value)
        elif name in functions or (callable(value) and _module_of(value) == module.__name__):
            yield name, _signature(value)
        elif isinstance(value, _PLAIN):
            yield name, _text(sorted(value, key=repr) if isinstance(value, frozenset) else value)


def _module_of(value: Any) -> str | None:
    return getattr(value, "__module__", None)


def _functions(module: Any) -> set[str]:
    """Return the names of a module's functions, by its source: compiled, some know no module."""
    tree = ast.parse(Path(TREE, f"{module.__name__.replace('.', '/')}.py").read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def _class_facts(cls: type) -> dict[str, Any]:
    return {
        "bases": [base.__qualname__ for base in cls.__mro__[1:] if base.__qualname__ != "Generic"],
        "equal by identity": cls.__eq__ is object.__eq__,
        "hashable": cls.__hash__ is not None,
        "fields": [
            (field.name, _text(field.default))
            for field in (dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ())
        ],
        "tuple": [getattr(cls, "_fields", ()), _text(getattr(cls, "_field_defaults", {}))],
        "methods": {
            name: _signature(inspect.unwrap(getattr(cls, name)))
            for name, value in sorted(vars(cls).items())
            if not name.startswith("_") and (callable(value) or isinstance(value, staticmethod))
        },
        "properties": sorted(
            name
            for name, value in vars(cls).items()
            # A compiled class has a descriptor for each attribute, too.
            if not name.startswith("_") and inspect.isdatadescriptor(value)
        ),
    }


def _text(value: Any) -> str:
    return re.sub(" at 0x[0-9a-f]+|(?<=<)built-in ", "", repr(value))


def _signature(function: Any) -> list[tuple[str, bool, str]] | None:
    """Return names, which are keywords only, and defaults; None where there is no signature."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [
        (one.name, one.kind is inspect.Parameter.KEYWORD_ONLY, _text(one.default))
        for one in parameters
    ]


def main() -> None:
    """Print the facts of every listed module."""
    sys.path.insert(0, str(TREE))
    if "--pure" in sys.argv:
        prefer_sources()
    listed = tomllib.loads(Path(__file__).with_name("modules.toml").read_text())["compiled"]
    for name in listed:
        module = importlib.import_module(name)
        loaded = "pure" if str(module.__file__).endswith(".py") else "compiled"
        sys.stdout.write(json.dumps([name, loaded, dict(facts(module))]) + "\n")


if __name__ == "__main__":
    main()
