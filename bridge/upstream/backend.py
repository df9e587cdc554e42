"""Backend: opens subscriptions at a tier of livequery.v1; implements `Backend` of bridge/live."""

import secrets
from typing import Final

from google.protobuf.duration_pb2 import Duration

from bridge.core.query import LiveQuery
from bridge.live.backend import Identity, ResumeOffer
from livequery.v1 import livequery_pb2 as pb

from .call_opener import CallOpener
from .endpoint import Endpoint
from .protobuf_conversion import offer_to_pb, query_to_pb
from .subscribe_call import SubscribeCall

MAX_BATCH_DELTAS: Final = 1000
_HEARTBEAT: Final = Duration(seconds=15)


class GrpcBackend:
    """Opens subscriptions. `opener`: starts their calls at a replica."""

    def __init__(self, opener: CallOpener) -> None:
        self.opener = opener

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
