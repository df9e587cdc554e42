"""Holders: who keeps a subscription open, and on whose behalf the tier is asked.

An upstream call runs on one holder's credential. The next one uses the freshest among those who
hold it now, never that of one who left or whom the tier has refused.
"""

from typing import TYPE_CHECKING

from .backend import Identity

if TYPE_CHECKING:
    from .viewer import Viewer


class Subscribers:
    """Viewers in the order they came. `founder` stands in while there are none (a linger)."""

    def __init__(self, founder: Identity) -> None:
        self._founder = founder
        self._identities: dict[Viewer, Identity] = {}
        self._refused: set[Identity] = set()

    def __len__(self) -> int:
        return len(self._identities)

    def add(self, viewer: "Viewer", identity: Identity) -> None:
        """Take a holder in, or its fresher credential."""
        self._identities.pop(viewer, None)
        self._identities[viewer] = identity

    def remove(self, viewer: "Viewer") -> bool:
        """Let a holder go; whether it was one."""
        return self._identities.pop(viewer, None) is not None

    def only(self, viewer: "Viewer") -> bool:
        """Whether a viewer is the sole holder."""
        return len(self._identities) == 1 and viewer in self._identities

    def freshest(self) -> Identity:
        """Return the identity of the last who came and was not refused."""
        for identity in reversed(self._identities.values()):
            if identity not in self._refused:
                return identity
        return self._founder

    def refused(self, identity: Identity) -> bool:
        """Take note that the tier refused one; whether there is another to try."""
        self._refused.add(identity)
        return any(other not in self._refused for other in self._identities.values())
