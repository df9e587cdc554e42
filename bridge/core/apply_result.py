"""ApplyResult: what is left of a source change once a window has applied it."""

import msgspec

from .group import Change


class ApplyResult(msgspec.Struct, frozen=True, gc=False):
    """The group to send, None if nothing is left of it, and a name for each repair made to it."""

    group: Change | None
    repairs: tuple[str, ...] = ()
    misfit: str = ""
    """The frame that contradicted the window, and what was expected; empty if none did."""
