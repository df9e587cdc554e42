"""Calls to the tier by grpc.aio: channels, requests, and how a call ended."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from livequery.v1 import livequery_pb2 as pb

from .credentials import TierCredentials

SERVICE: Final = "/livequery.v1.LiveQueryService/"
DETAILS_KEY: Final = "grpc-status-details-bin"
MOST_STREAMS: Final = 100
"""Streams on one channel, whatever more the server allows."""

Metadata: TypeAlias = tuple[tuple[str, str], ...]

_OPTIONS: Final = (
    ("grpc.primary_user_agent", "livequery-bridge-verify"),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    # Else channels to one address share a connection, and its limit of streams.
    ("grpc.use_local_subchannel_pool", 1),
    # How large messages are is for the judge to say.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


def printable(text: str) -> str:
    """Return text with control characters escaped: a terminal or XML may not take the tier's."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


@dataclass(frozen=True, slots=True)
class CallEnd:
    """A call's status. `info` is its google.rpc.ErrorInfo, if it has one."""

    code: str
    text: str = ""
    info: error_details_pb2.ErrorInfo | None = None

    def __str__(self) -> str:
        return f"{self.code} ({printable(self.text)})" if self.text else self.code


class CallFailedError(Exception):
    """A call ended with a status other than OK."""

    def __init__(self, end: CallEnd) -> None:
        super().__init__(str(end))
        self.end = end


def error_info(details: bytes) -> error_details_pb2.ErrorInfo | None:
    """Return the ErrorInfo in a `grpc-status-details-bin` trailer; None if there is none."""
    try:
        status = status_pb2.Status.FromString(details)
        for packed in status.details:
            if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                packed.Unpack(info)
                return info
    except DecodeError:
        pass
    return None


def end_of(error: grpc.aio.AioRpcError) -> CallEnd:
    """Return the status of a failed grpc call."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return CallEnd(error.code().name, error.details() or "", error_info(value))
    return CallEnd(error.code().name, error.details() or "")


@dataclass(frozen=True, slots=True)
class Target:
    """Where the tier is and how it is reached."""

    address: str
    tls: TierCredentials | None = None
    server_name: str = ""
    metadata: Metadata = ()


class TierClient:
    """Channels to one tier: streams are spread so that no server's limit holds one up."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.streams_per_channel = MOST_STREAMS
        self._channels: list[tuple[grpc.aio.Channel, set[object]]] = []
        self._control = self._connect()

    async def subscribe(
        self, request: pb.SubscribeRequest
    ) -> AsyncGenerator[pb.SubscribeResponse, None]:
        """Yield a stream's messages until it ends.

        Closing the generator cancels the call. Raises CallFailedError for a status but OK.
        """
        place = object()
        channel = self._place(place)
        call = channel.unary_stream(
            SERVICE + "Subscribe",
            request_serializer=pb.SubscribeRequest.SerializeToString,
            response_deserializer=pb.SubscribeResponse.FromString,
        )(request, metadata=self.target.metadata)
        try:
            async for response in call:
                if response is None:  # what grpc makes of bytes that it cannot parse
                    raise CallFailedError(CallEnd("INTERNAL", "unreadable message"))
                yield response
        except grpc.aio.AioRpcError as error:
            raise CallFailedError(end_of(error)) from None
        finally:
            call.cancel()
            self._release(place)

    async def reanchor(self, request: pb.ReanchorRequest, within: float) -> pb.ReanchorResponse:
        """Call Reanchor as the bridge does; raises CallFailedError."""
        route = base64.urlsafe_b64encode(request.route).decode().rstrip("=")
        metadata = (*self.target.metadata, *((("livequery-route", route),) if route else ()))
        return pb.ReanchorResponse.FromString(
            await self.unary("Reanchor", request.SerializeToString(), within, metadata)
        )

    async def unary(
        self, method: str, request: bytes, within: float, metadata: Metadata | None = None
    ) -> bytes:
        """Call a method of the service with bytes; raises CallFailedError."""
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        call = self._control.unary_unary(SERVICE + method)
        try:
            return await call(
                request,
                timeout=within,
                metadata=self.target.metadata if metadata is None else metadata,
            )
        except grpc.aio.AioRpcError as error:
            raise CallFailedError(end_of(error)) from None

    async def round_trip(self, within: float) -> float:
        """Return how many seconds the tier takes to say that it lacks a method."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        with contextlib.suppress(CallFailedError):
            await self.unary("VerifyProbe", b"", within)
        return loop.time() - began

    async def close(self) -> None:
        """Close every channel; calls still open are cancelled."""
        channels = [self._control, *(channel for channel, _ in self._channels)]
        await asyncio.gather(*(channel.close() for channel in channels))

    def _place(self, place: object) -> grpc.aio.Channel:
        for channel, places in self._channels:
            if len(places) < self.streams_per_channel:
                places.add(place)
                return channel
        channel = self._connect()
        self._channels.append((channel, {place}))
        return channel

    def _release(self, place: object) -> None:
        for _, places in self._channels:
            places.discard(place)

    def _connect(self) -> grpc.aio.Channel:
        target, options = self.target, list(_OPTIONS)
        if target.tls is None:
            return grpc.aio.insecure_channel(target.address, options=options)
        named: Sequence[tuple[str, str]] = ()
        if target.server_name:
            named = (("grpc.ssl_target_name_override", target.server_name),)
        return grpc.aio.secure_channel(
            target.address, target.tls.channel, options=[*options, *named]
        )
