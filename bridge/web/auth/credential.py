"""Credential: on whose behalf a client asks, and how long that holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bridge.live.backend import Identity

Owner: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Credential:
    """What a request, or a v1 `authenticate`, was accepted with."""

    identity: Identity
    """What the tier is sent, and the scope of sharing."""
    owner: Owner = ()
    """Whose it is, as limits per identity count: issuer and subject of a token, else what is
    forwarded. Empty: nobody in particular."""
    claims: Mapping[str, Any] = field(default_factory=dict)
    """The claims of a verified token; empty where the bridge verifies none."""
    expires_at: float | None = None
    """Seconds since the epoch; None: it has no end that the bridge knows of."""
    ends_at: float | None = None
    """When streams are ended: `expires_at` and the leeway."""

    @property
    def verified(self) -> bool:
        """Whether the bridge verified it: then it may expire or be revoked."""
        return self.expires_at is not None
