"""Script: how one client is spoken to, as the live floor sees the protocol that it speaks."""

from typing import Protocol

from bridge.core.bundle import Bundle, SharedEncoding
from bridge.core.digest import DigestFunction


class Encoder(Protocol):
    """How one client is spoken to: the protocol it speaks. What it has no word for is b""."""

    resets: bool
    """Whether a moved window is told as reset + enters; else as a diff."""

    @property
    def shared(self) -> SharedEncoding | None:
        """How groups are printed from here on, as for others; None: in a form of its own."""

    def frames(self, bundle: Bundle) -> bytes:
        """Print groups, the bytes shared where they can be."""

    def ready(self, rows: int, resumed: str, digest: DigestFunction) -> bytes:
        """Tell that the window is complete, and how it came to be."""

    def state(self, stale: str | None) -> bytes:
        """Tell that the tier was lost, and why; None: that it is back."""
