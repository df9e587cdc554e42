"""FabriqBackend: opens subscriptions at a fabriq server; implements `Backend` of bridge/live."""

from typing import Final

from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.schema import Schema
from bridge.live.backend import Identity, ResumeOffer
from bridge.upstream.call_opener import CallOpener

from .fabriq_call import FabriqCall

SNAPSHOT_TIMEOUT: Final = 10.0
"""Seconds for a snapshot, which is a replica's first word: its database reads meanwhile. As long as
live/ waits for one."""


class FabriqBackend:
    """Opens subscriptions. `opener`: starts their calls at a replica."""

    def __init__(self, opener: CallOpener) -> None:
        self.opener = opener

    @property
    def opens_with_window(self) -> bool:
        """True: the snapshot is fabriq's first word."""
        return True

    async def pause(self, seconds: float) -> None:
        """Sleep between two attempts; see `Backend.pause`."""
        await self.opener.pause(seconds)

    async def subscribe(
        self,
        query: LiveQuery,
        identity: Identity,
        *,
        again: bool = False,
        resume: ResumeOffer | None = None,  # noqa: ARG002 - fabriq can't go on where a call ended
    ) -> FabriqCall:
        """Open a subscription; see `Backend.subscribe`. Its snapshot has come by then."""
        return await self.opener.open(
            lambda endpoint: FabriqCall(endpoint=endpoint, query=query, identity=identity),
            again=again,
        )

    async def describe(self, identity: Identity) -> Schema:  # noqa: ARG002 - it tells nobody
        """Raise Failed (UNIMPLEMENTED): fabriq does not say what can be asked for."""
        raise Failed(Kind.UNIMPLEMENTED, "the tier does not implement this")
