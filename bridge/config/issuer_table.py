"""IssuerTable: one issuer of tokens, as `[[issuer]]` of the file or the --jwt-… options name it."""

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from bridge.core.algorithms import ALGORITHMS

_KEYS: Final = ("issuer", "audience", "keys", "ca", "algorithms")


class IssuerTable(NamedTuple):
    """One issuer. `keys` is a file or an https URL."""

    issuer: str
    audience: tuple[str, ...]
    keys: str
    ca: str | None = None
    algorithms: tuple[str, ...] = ()


def issuer_tables(text: str) -> tuple[IssuerTable, ...]:
    """Parse a JSON list of tables; there may be none. Raises ValueError."""
    if not text:
        return ()
    try:
        tables = json.loads(text)
    except ValueError:
        raise ValueError("a list of tables is needed, as JSON or as [[issuer]]") from None
    if not isinstance(tables, list):
        raise ValueError("a list of tables is needed")  # noqa: TRY004 - an option's grammar
    found = tuple(map(_table, tables))
    if len({table.issuer for table in found}) != len(found):
        raise ValueError("two tables name the same issuer")
    return found


def _table(table: Any) -> IssuerTable:
    if not isinstance(table, dict):
        raise ValueError("a table is needed")  # noqa: TRY004 - an option's grammar
    members = {str(name).replace("_", "-").removeprefix("jwt-"): table[name] for name in table}
    for name in members:
        if name not in _KEYS:
            raise ValueError(f"unknown key {name!r} in a table; there are {', '.join(_KEYS)}")
    issuer, keys, ca = (members.get(name) for name in ("issuer", "keys", "ca"))
    audience = _texts(members.get("audience"))
    if not isinstance(issuer, str) or not issuer or not isinstance(keys, str) or not audience:
        raise ValueError("a table has issuer, audience and keys")
    if not isinstance(ca, str | None):
        raise ValueError("ca is the path of a file")  # noqa: TRY004 - an option's grammar
    keys = key_location(keys)
    return IssuerTable(issuer, audience, keys, ca, algorithms(_texts(members.get("algorithms"))))


def _texts(value: Any) -> tuple[str, ...]:
    """Return a list of texts, given as one text with commas or as a list."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list):
        return ()
    return tuple(text for item in value if (text := str(item).strip()))


def algorithms(names: Iterable[str]) -> tuple[str, ...]:
    """Check names of signature algorithms. Raises ValueError for an unknown one."""
    found = tuple(names)
    for name in found:
        if name not in ALGORITHMS:
            raise ValueError(f"{name!r} is none of {', '.join(sorted(ALGORITHMS))}")
    return found


def key_location(text: str) -> str:
    """Check where keys are: a file, or an https URL. Raises ValueError."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    if scheme.lower() != "https":
        raise ValueError("keys are fetched over https only, or read from a file")
    try:
        parts = urlsplit(text)
        plain = parts.hostname and parts.username is None and not parts.fragment
    except ValueError:  # whose text may quote a password
        plain = False
    if not plain:
        raise ValueError("a URL of keys is https://HOST/PATH, with no user and password in it")
    return f"https://{rest}"
