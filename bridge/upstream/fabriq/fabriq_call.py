"""FabriqCall: one LiveQuery stream. Its request side stays open, for reanchors.

Invariants:
- fabriq answers reanchors one by one, in the order in which they were asked: each snapshot or error
  that comes while some wait is the answer to the first of them.
- Deltas are handed over before a snapshot that came after them.
- The tier ends the stream with OK when it closed the subscription's channel. That is a loss.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError

from bridge.core.batch import Batch
from bridge.core.errors import Failed, Kind
from bridge.core.op import Op
from bridge.core.query import LiveQuery
from bridge.core.sequencer import Heartbeat
from bridge.live.backend import Identity
from bridge.upstream.endpoint import Endpoint
from bridge.upstream.http2.request import RequestForm
from bridge.upstream.pooled_call import PooledCall

from .errors import failure_of_error
from .frame_parser import parse_delta, parse_snapshot
from .group_linger import GroupLinger
from .messages import ClientFrame, ServerFrame
from .query_json import encode_cursor, encode_query

_METHOD: Final = "/fabriq.v1.Fabriq/LiveQuery"
_FORM: Final = RequestForm("application/grpc+fabriq-bytes", more_follow=True)
_RESET: Final = int(Op.RESET)
MAX_REANCHORS: Final = 16
"""Reanchors of one call without an answer."""


@dataclass(frozen=True, slots=True, eq=False)
class _PendingReanchor:
    query: LiveQuery
    request_id: str
    answer: asyncio.Future[None]

    def fail(self, failure: Failed) -> None:
        """Answer with a failure, unless it is answered; there may be nobody who waits."""
        if not self.answer.done():
            self.answer.set_exception(failure)
            self.answer.exception()  # mark as retrieved


class FabriqCall:
    """A LiveQuery call at an endpoint.

    Raises:
        Failed: BAD_QUERY, for a query that fabriq can't run.

    """

    def __init__(self, *, endpoint: Endpoint, query: LiveQuery, identity: Identity) -> None:
        self.pooled_call = PooledCall(endpoint)
        self.id = ""
        self.route = b""
        self.resumed = False
        self.effective: LiveQuery | None = None
        self.heartbeat = 0.0
        self._query = query
        self._identity = identity
        self._message = ClientFrame(query={"query": encode_query(query)}).SerializeToString()
        self._first: Batch | None = None
        self._reanchors: deque[_PendingReanchor] = deque()

    @property
    def replica(self) -> str:
        """The replica's address, for the log."""
        return self.pooled_call.endpoint.replica.address

    @property
    def leaving(self) -> bool:
        """Whether the tier has announced the end of the connection."""
        return self.pooled_call.leaving

    async def start(self) -> None:
        """Send the query and wait for its snapshot. Raises Failed."""
        await self.pooled_call.start(_METHOD, self._message, self._identity.metadata, _FORM)
        message = await self.pooled_call.read_first()
        try:
            frame = ServerFrame.FromString(message)
        except DecodeError:
            raise Failed(Kind.BROKEN, "the tier did not begin with a snapshot") from None
        if frame.HasField("error"):
            raise self._refused(frame.error, self._query)
        if not frame.snapshot:
            raise Failed(Kind.BROKEN, "the tier did not begin with a snapshot")
        self.id, self._first = parse_snapshot(frame.snapshot)

    async def follow(self, take: Callable[[Batch | Heartbeat], None]) -> None:
        """Pass on the snapshot, then what follows; see `UpstreamCall.follow`."""
        groups = GroupLinger(take, self.pooled_call.interrupt)
        first, self._first = self._first, None
        if first is not None:
            take(first)
        try:
            await self.pooled_call.follow(
                lambda message: self._receive(ServerFrame.FromString(message), groups, take)
            )
            groups.flush()
        except Failed:
            groups.flush()
            raise
        finally:
            groups.stop()
        raise Failed(Kind.UNAVAILABLE, "the tier has closed the subscription")

    def _receive(
        self, frame: Any, groups: GroupLinger, take: Callable[[Batch | Heartbeat], None]
    ) -> None:
        if frame.delta:
            delta = parse_delta(frame.delta)
            if delta.op == _RESET or not delta.data:
                groups.flush()
                take(Batch((delta,), bare=True))
            else:
                groups.add(delta)
        elif frame.snapshot:
            groups.flush()
            reanchor = self._reanchors.popleft() if self._reanchors else None
            self.id, batch = parse_snapshot(frame.snapshot)
            name = reanchor.request_id if reanchor else ""
            take(
                Batch(
                    batch.deltas,
                    snapshot_complete=batch.snapshot_complete,
                    reanchor=reanchor is not None,
                    request_id=name,
                )
            )
            if reanchor is not None and not reanchor.answer.done():
                reanchor.answer.set_result(None)
        elif frame.HasField("error"):
            self._on_error(frame.error)

    def _on_error(self, error: Any) -> None:
        """Refuse the reanchor that waits longest. Raise Failed if there is none."""
        if not self._reanchors:
            raise self._refused(error, self._query)
        reanchor = self._reanchors.popleft()
        reanchor.fail(self._refused(error, reanchor.query))

    def _refused(self, error: Any, query: LiveQuery) -> Failed:
        return failure_of_error(error, query, self._identity.metadata)

    # ------------------------------------------------------------ reanchor and end

    async def reanchor(self, query: LiveQuery, was: LiveQuery, request_id: str) -> LiveQuery | None:  # noqa: ARG002 - the limit is always said
        """Ask for another window on the same stream; see `UpstreamCall.reanchor`."""
        if len(self._reanchors) >= MAX_REANCHORS:
            raise Failed(Kind.UNAVAILABLE, "the tier has not answered the reanchors before")
        cursor = encode_cursor(query.cursor)
        message = ClientFrame(reanchor={"cursor": cursor, "limit": query.limit})
        answer = asyncio.get_running_loop().create_future()
        self._reanchors.append(_PendingReanchor(query, request_id, answer))
        self.pooled_call.send(message.SerializeToString())
        # Cancelling must leave the place in the order to the answer, which comes later.
        await asyncio.shield(answer)
        return None

    def close(self) -> None:
        """Cancel the call, which ends the subscription. Idempotent."""
        self.pooled_call.close()
        while self._reanchors:
            self._reanchors.popleft().fail(Failed(Kind.UNAVAILABLE, "the call was cut"))
