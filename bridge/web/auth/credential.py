"""Credential: on whose behalf a client asks, and how long that holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.live.backend import Identity


@dataclass(frozen=True, slots=True, eq=False)
class Credential:
    """What a request, or a v1 `authenticate`, was accepted with."""

    identity: Identity
    """What the tier is sent, the scope of sharing, and whom limits count."""
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
