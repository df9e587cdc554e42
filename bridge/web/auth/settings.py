"""AuthSettings: how clients are told apart, as the composition root passes it down."""

import enum
from dataclasses import dataclass

DEFAULT_TYPES = frozenset({"jwt", "at+jwt"})


class AuthMode(enum.StrEnum):
    """Who judges a client's credential."""

    FORWARD = "forward"
    """The tier, which is sent what `--forward-metadata` names."""
    JWT = "jwt"
    """The bridge, before the tier is asked."""
    NONE = "none"
    """Nobody: everybody is served."""


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """One issuer of tokens. `keys` is the path of a file or an https URL, as the option has it."""

    issuer: str
    audiences: frozenset[str]
    keys: str
    ca: str | None = None
    """A CA file for the URL; None: the system's."""
    algorithms: frozenset[str] = frozenset()
    """Those allowed; empty: the usual one of each kind of key."""


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """The options of credentials. Durations are seconds."""

    mode: AuthMode = AuthMode.FORWARD
    issuers: tuple[IssuerSettings, ...] = ()
    leeway: float = 30.0
    types: frozenset[str] = DEFAULT_TYPES
    """Values of `typ` that a token may have, in lower case, without `application/`."""
    claims_metadata: tuple[tuple[str, str], ...] = ()
    """Claims that go to the tier, each with the name that it has there."""
    cookie: str | None = None
    """The name of the cookie that holds a credential."""
