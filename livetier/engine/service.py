"""The contract's gRPC service, served from a ``Watcher``.

A stream is one loop: wait for the outbox, then send the due window, or the groups that wait, or a
heartbeat if nothing came. An error that the caller made has its field and is not logged.
"""

import logging
import secrets
from collections.abc import AsyncIterator
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf import duration_pb2, timestamp_pb2

from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc
from livetier.engine.delta import snapshot_batches
from livetier.engine.errors import TierError, invalid_argument, not_found, unavailable
from livetier.engine.store import Metadata, View
from livetier.engine.subscription import Subscription
from livetier.engine.watcher import Watcher

HEARTBEAT_SECONDS = 15.0
SHORTEST_HEARTBEAT, LONGEST_HEARTBEAT = 1.0, 60.0
LARGEST_BATCH = 1000

_log = logging.getLogger("livetier")

SubscribeContext: TypeAlias = grpc.aio.ServicerContext[pb.SubscribeRequest, pb.SubscribeResponse]
ReanchorContext: TypeAlias = grpc.aio.ServicerContext[pb.ReanchorRequest, pb.ReanchorResponse]
DescribeContext: TypeAlias = grpc.aio.ServicerContext[pb.DescribeRequest, pb.DescribeResponse]


class LiveQueryService(livequery_pb2_grpc.LiveQueryServiceServicer):
    """Subscribe, Reanchor and Describe. ``route`` is a random name of this instance."""

    def __init__(self, watcher: Watcher[Any, Any]) -> None:
        self._watcher = watcher
        self.route = b"livetier/" + secrets.token_bytes(8)

    async def Subscribe(self, request: pb.SubscribeRequest, context: SubscribeContext) -> None:  # noqa: N802 (gRPC's name)
        """Serve one subscription until the caller cancels or the tier stops."""
        subscription, stream = None, object()
        try:
            metadata: Metadata = tuple(context.invocation_metadata() or ())
            subscription, resumed = await self._open(request, metadata)
            subscription.claim(stream)
            async for response in self._responses(request, subscription, stream, resumed=resumed):
                await context.write(response)
        except TierError as error:
            await _abort(context, error)
        finally:
            if subscription is not None and subscription.stream is stream:
                self._watcher.leave(subscription)

    async def _open(
        self, request: pb.SubscribeRequest, metadata: Metadata
    ) -> tuple[Subscription[View], bool]:
        """Return the caller's subscription, and whether it goes on with one that it had."""
        if request.HasField("resume"):
            kept = await self._watcher.resume(request.resume, request.query, metadata)
            if kept is not None:
                _log.debug("subscription %s resumed (request %s)", kept.id, request.request_id)
                return kept, True
        identifier = secrets.token_urlsafe(12)
        opened = await self._watcher.subscribe(identifier, request.query, metadata)
        _log.debug("subscription %s opened (request %s)", identifier, request.request_id)
        return opened, False

    async def Reanchor(  # noqa: N802 (gRPC's name)
        self, request: pb.ReanchorRequest, context: ReanchorContext
    ) -> pb.ReanchorResponse:
        """Give an open window another anchor; its rows arrive on its own stream."""
        try:
            subscription = self._find(request)
            query = pb.LiveQuery()
            query.CopyFrom(subscription.view.plan.query)
            query.cursor.CopyFrom(request.cursor)
            if request.limit < 0:
                raise invalid_argument(
                    "BAD_LIMIT", "limit", "the limit must be at least 1, or 0 to keep it"
                )
            query.limit = request.limit or query.limit
            tag = request.request_id
            epoch, effective = await self._watcher.reanchor(subscription, query, tag)
        except TierError as error:
            await _abort(context, error)
        return pb.ReanchorResponse(epoch=epoch, effective_query=effective)

    async def Describe(  # noqa: N802 (gRPC's name)
        self, _: pb.DescribeRequest, context: DescribeContext
    ) -> pb.DescribeResponse:
        """Tell what the caller may query."""
        try:
            return await self._watcher.describe(tuple(context.invocation_metadata() or ()))
        except TierError as error:
            await _abort(context, error)

    def _find(self, request: pb.ReanchorRequest) -> Subscription[View]:
        if request.route and request.route != self.route:
            raise not_found("UNKNOWN_ROUTE", "route", "the subscription lives elsewhere")
        subscription = self._watcher.find(request.subscription_id)
        if subscription is None:
            raise not_found(
                "UNKNOWN_SUBSCRIPTION", "subscription_id", "there is no such subscription"
            )
        return subscription

    async def _responses(
        self,
        request: pb.SubscribeRequest,
        subscription: Subscription[View],
        stream: object,
        *,
        resumed: bool,
    ) -> AsyncIterator[pb.SubscribeResponse]:
        interval = _heartbeat_seconds(request)
        at_most = min(max(request.max_batch_deltas, 1), LARGEST_BATCH)
        heartbeat = duration_pb2.Duration()
        heartbeat.FromMilliseconds(round(interval * 1000))
        started = pb.Started(
            subscription_id=subscription.id,
            route=self.route,
            effective_query=subscription.view.plan.query,
            heartbeat_interval=heartbeat,
            resumed=resumed,
        )
        yield pb.SubscribeResponse(started=started)
        if resumed:
            for batch in subscription.sent_since(request.resume.seq):
                yield pb.SubscribeResponse(batch=batch)
        while True:
            idle = not await subscription.ready(interval)
            if subscription.stream is not stream:
                raise unavailable("RESUMED", "the subscription goes on in another call")
            if subscription.failure is not None:
                raise subscription.failure
            if idle:
                yield pb.SubscribeResponse(heartbeat=self._heartbeat(subscription))
            elif subscription.reset_due:
                due = await self._watcher.snapshot(subscription)
                if due is not None:
                    for batch in snapshot_batches(subscription, *due, at_most):
                        yield pb.SubscribeResponse(batch=batch)
            else:
                groups = subscription.take_groups(at_most)
                yield pb.SubscribeResponse(batch=subscription.next_batch(groups))

    def _heartbeat(self, subscription: Subscription[View]) -> pb.Heartbeat:
        # The outbox is empty, so everything that was read has been sent.
        at = timestamp_pb2.Timestamp()
        at.GetCurrentTime()
        return pb.Heartbeat(
            at=at,
            watermark=self._watcher.position.stream_id,
            epoch=subscription.sent_epoch,
            last_seq=subscription.seq,
        )


def _heartbeat_seconds(request: pb.SubscribeRequest) -> float:
    if not request.HasField("heartbeat_interval"):
        return HEARTBEAT_SECONDS
    wish = request.heartbeat_interval.seconds + request.heartbeat_interval.nanos / 1e9
    return min(max(wish, SHORTEST_HEARTBEAT), LONGEST_HEARTBEAT)


async def _abort(
    context: SubscribeContext | ReanchorContext | DescribeContext, error: TierError
) -> NoReturn:
    await context.abort(error.code, error.message, error.trailing_metadata())
    raise AssertionError("abort returned")
