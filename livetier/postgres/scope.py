"""Who asks: the settings and the role under which PostgreSQL reads a window.

Call metadata becomes settings of the reading transaction, so row policies apply as they are. A
window belongs to its scope and is never shared across.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from livetier.engine.errors import TierError
from livetier.engine.store import Metadata
from livetier.postgres.connection import Statement
from livetier.postgres.relation import quote

LONGEST_VALUE = 4096


@dataclass(frozen=True, slots=True)
class Scope:
    """Settings by name, and a role; the empty role is the connection's own."""

    settings: tuple[tuple[str, str], ...] = ()
    role: str = ""

    @property
    def guarded(self) -> bool:
        """Whether the caller decides which rows are seen."""
        return bool(self.settings or self.role)

    def enter(self) -> list[Statement]:
        """Return the statements that apply it to the transaction that is open."""
        statements = [Statement(f"SET LOCAL ROLE {quote(self.role) if self.role else 'NONE'}")]
        statements += [
            Statement(
                "SELECT pg_catalog.set_config($1, $2, true)",
                (name.encode(), value.encode()),
                kept=True,
            )
            for name, value in self.settings
        ]
        return statements


@dataclass(frozen=True, slots=True)
class ScopeRules:
    """Which metadata decides: ``settings`` has pairs of a setting and a metadata key.

    ``role_key`` is the metadata key of the role, ``roles`` the allowed ones.
    """

    settings: tuple[tuple[str, str], ...] = ()
    role_key: str = ""
    roles: frozenset[str] = frozenset()

    def scope_of(self, metadata: Metadata) -> Scope:
        """Return the caller's scope.

        Raises TierError: UNAUTHENTICATED without what the rules need, INVALID_ARGUMENT for what
        came twice or cannot be a setting, PERMISSION_DENIED for a role that is not allowed.
        """
        settings = tuple((name, _single(metadata, key)) for name, key in self.settings)
        if not self.role_key:
            return Scope(settings)
        role = _single(metadata, self.role_key)
        if role not in self.roles:
            message = f"the role of {self.role_key} is not allowed"
            raise TierError(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED", message)
        return Scope(settings, role)


def parse_rules(settings: Sequence[str], role_from: str | None) -> ScopeRules:
    """Return the rules of ``app.tenant=x-tenant`` and ``x-role=reader,writer``.

    Raises ValueError for another form.
    """
    pairs = []
    for each in settings:
        name, separator, key = each.partition("=")
        if not separator or "." not in name or not name.replace(".", "").isidentifier():
            raise ValueError(f"--setting is NAME.PART=METADATA-KEY, not {each!r}")
        pairs.append((name, _key(key, each)))
    if not role_from:
        return ScopeRules(tuple(pairs))
    key, separator, names = role_from.partition("=")
    roles = frozenset(name.strip() for name in names.split(",") if name.strip())
    if separator and not roles:
        raise ValueError(f"--role-from is METADATA-KEY=ROLE,…, not {role_from!r}")
    return ScopeRules(tuple(pairs), _key(key, role_from), roles)


def _key(key: str, text: str) -> str:
    key = key.strip().lower()
    if not key or not key.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ValueError(
            f"--setting and --role-from name a metadata key: there is none in {text!r}"
        )
    return key


def _single(metadata: Metadata, key: str) -> str:
    values = [value for name, value in metadata if name.lower() == key]
    if not values or not values[0]:
        raise TierError(grpc.StatusCode.UNAUTHENTICATED, "MISSING_METADATA", f"{key} is missing")
    value = values[0]
    text = value if isinstance(value, str) else value.decode("utf-8", "replace")
    if len(values) > 1 or "\0" in text or len(text) > LONGEST_VALUE:
        message = f"{key} is not one short text"
        raise TierError(grpc.StatusCode.INVALID_ARGUMENT, "BAD_METADATA", message)
    return text
