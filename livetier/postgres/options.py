"""What a tier over PostgreSQL is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from livetier.postgres.scope import ScopeRules, parse_rules

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


def parse_options(
    conninfo: str,
    *,
    capture: str = "auto",
    schemas: str = "public",
    setting: Sequence[str] = (),
    role_from: str | None = None,
    shortcuts: bool = True,
    read_pool: int = 4,
) -> PostgresOptions:
    """Return the options as a command line has them: ``schemas`` are separated by commas.

    Raises ValueError for those that make no sense. ``scope.parse_rules`` reads the rules.
    """
    if capture not in CAPTURES:
        raise ValueError(f"--capture is one of {', '.join(CAPTURES)}")
    names = tuple(each.strip() for each in schemas.split(",") if each.strip())
    if not names:
        raise ValueError("--schemas names no schema")
    return PostgresOptions(
        conninfo=conninfo,
        capture=capture,
        schemas=names,
        rules=parse_rules(setting, role_from),
        shortcuts=shortcuts,
        read_pool=read_pool,
    )
