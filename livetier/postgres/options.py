"""What a tier over PostgreSQL is told."""

from dataclasses import dataclass, field

from livetier.postgres.scope import ScopeRules

SCHEMES = ("postgresql://", "postgres://")
CAPTURES = ("auto", "wal", "trigger")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresOptions:
    """The options of a store.

    ``conninfo`` is a URL or a connection string of libpq, which also reads PGPASSFILE, PGSERVICE
    and the like. ``capture`` is how changes are learnt: ``wal``, ``trigger`` or ``auto``.
    ``schemas`` are served, the first one's tables under their plain names. ``shortcuts``: whether
    windows that cannot have changed are left out. ``read_pool``: connections that read.
    """

    conninfo: str
    capture: str = "auto"
    schemas: tuple[str, ...] = ("public",)
    rules: ScopeRules = field(default_factory=ScopeRules)
    shortcuts: bool = True
    read_pool: int = 4
