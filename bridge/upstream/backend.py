"""Backend: opens subscriptions at a tier of livequery.v1; implements `Backend` of bridge/live."""

import asyncio
import secrets
from typing import Final

from google.protobuf.duration_pb2 import Duration

from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.schema import Schema
from bridge.live.backend import Identity, ResumeOffer
from livequery.v1 import livequery_pb2 as pb

from .call_opener import CallOpener
from .describe_call import DescribeCall
from .endpoint import Endpoint
from .protobuf_conversion import offer_to_pb, query_to_pb
from .subscribe_call import SubscribeCall

MAX_BATCH_DELTAS: Final = 1000
DESCRIBE_TIMEOUT: Final = 5.0
"""Seconds that a Describe may take, at all replicas that are asked."""
_HEARTBEAT: Final = Duration(seconds=15)


class GrpcBackend:
    """Opens subscriptions. `opener`: starts their calls at a replica."""

    def __init__(self, opener: CallOpener) -> None:
        self.opener = opener

    @property
    def opens_with_window(self) -> bool:
        """False: `started` is a message of its own."""
        return False

    async def pause(self, seconds: float) -> None:
        """Sleep between two attempts; see `Backend.pause`."""
        await self.opener.pause(seconds)

    async def subscribe(
        self,
        query: LiveQuery,
        identity: Identity,
        *,
        again: bool = False,
        resume: ResumeOffer | None = None,
    ) -> SubscribeCall:
        """Open a subscription; see `Backend.subscribe`."""
        request = pb.SubscribeRequest(
            query=query_to_pb(query),
            resume=offer_to_pb(resume),
            max_batch_deltas=MAX_BATCH_DELTAS,
            heartbeat_interval=_HEARTBEAT,
        )

        def make_call(endpoint: Endpoint) -> SubscribeCall:
            request.request_id = secrets.token_hex(8)
            return SubscribeCall(
                endpoint=endpoint,
                query=query,
                identity=identity,
                message=request.SerializeToString(),
                clock=self.opener.clock,
            )

        return await self.opener.open(make_call, again=again)

    async def describe(self, identity: Identity) -> Schema:
        """Ask what a caller may ask for; see `Backend.describe`."""
        try:
            async with asyncio.timeout(DESCRIBE_TIMEOUT):
                call = await self.opener.open(
                    lambda endpoint: DescribeCall(endpoint=endpoint, identity=identity),
                    again=False,
                )
        except TimeoutError:
            raise Failed(Kind.DEADLINE, "the tier did not answer in time") from None
        call.close()
        return call.schema
