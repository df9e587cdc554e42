"""One Subscribe over HTTP/2 as it is on the wire: what grpc hides from its callers.

It shows HTTP statuses, the server's limit of streams and compressed messages, and it can stop
taking: with `hold`, the flow control window stays as small as it was opened.
"""

import asyncio
import base64
import contextlib
import zlib
from collections.abc import AsyncGenerator, Iterable
from typing import Final
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from google.protobuf.message import DecodeError

from livequery.v1 import livequery_pb2 as pb

from .calls import DETAILS_KEY, SERVICE, CallEnd, CallFailedError, Target, error_info

PREFIX: Final = 5
OPEN_WINDOW: Final = 1 << 24
CONNECT_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 0.1
CODES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


def host_and_port(address: str) -> tuple[str, int]:
    """Return where a `HOST:PORT` or `dns:///NAME:PORT` leads."""
    host, _, port = address.removeprefix("dns:///").rpartition(":")
    return host.strip("[]"), int(port)


class RawCall:
    """A connection with one call. Use `open`; `close` in the end.

    Attributes: `headers` of the response, `compressed` messages so far, the server's
    `stream_limit`, and whether it said `going_away`.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, window: int
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._http2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self._http2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window,
            },
        )
        self.headers: dict[str, str] = {}
        self.compressed = 0
        self.going_away = False
        self._held = window < OPEN_WINDOW
        self._taken = 0
        self._trailers: dict[str, str] = {}
        self._buffer = bytearray()
        self._end: CallEnd | None = None

    @classmethod
    async def open(
        cls, target: Target, request: pb.SubscribeRequest, *, window: int = OPEN_WINDOW
    ) -> "RawCall":
        """Connect and send the request.

        Raises OSError (TimeoutError included) where there is no connection.
        """
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await _connect(target)
        call = cls(reader, writer, window=window)
        call._send(target, request)
        return call

    @property
    def stream_limit(self) -> int:
        """How many streams the server allows on a connection."""
        return int(self._http2.remote_settings.max_concurrent_streams)

    def release(self) -> None:
        """Take everything from now on."""
        self._held = False
        if self._end is None:
            self._grant(OPEN_WINDOW)
            self._allow()

    async def messages(self) -> AsyncGenerator[pb.SubscribeResponse, None]:
        """Yield messages until the call ends; raises CallFailedError for a status but OK."""
        while True:
            while (text := self._next_message()) is not None:
                try:
                    yield pb.SubscribeResponse.FromString(text)
                except DecodeError:
                    raise CallFailedError(CallEnd("INTERNAL", "unreadable message")) from None
            if self._end is not None:
                if self._end.code != "OK":
                    raise CallFailedError(self._end)
                return
            await self._read()

    async def close(self) -> None:
        """Close the connection, which cancels the call."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    # ------------------------------------------------------------ the wire

    def _send(self, target: Target, request: pb.SubscribeRequest) -> None:
        unix = target.address.startswith("unix:")
        authority = "localhost" if unix else target.address.removeprefix("dns:///")
        if target.tls is not None and target.server_name:
            authority = target.server_name
        self._http2.initiate_connection()
        self._http2.increment_flow_control_window(OPEN_WINDOW)
        self._http2.send_headers(
            1,
            [
                (":method", "POST"),
                (":scheme", "http" if target.tls is None else "https"),
                (":path", SERVICE + "Subscribe"),
                (":authority", authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", "livequery-bridge-verify"),
                ("grpc-accept-encoding", "identity"),
                *target.metadata,
            ],
        )
        text = request.SerializeToString()
        self._http2.send_data(1, b"\0" + len(text).to_bytes(4) + text, end_stream=True)
        self._writer.write(self._http2.data_to_send())

    async def _read(self) -> None:
        try:
            data = await self._reader.read(65536)
            events = self._http2.receive_data(data) if data else []
            self._writer.write(self._http2.data_to_send())
        except (OSError, h2.exceptions.ProtocolError) as error:
            self._finish(CallEnd("UNAVAILABLE", f"connection: {error}"))
            return
        for event in events:
            self._take(event)
        if not data:
            self._finish(CallEnd("UNAVAILABLE", "the connection was closed"))

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                self.headers = _text(event.headers)
            case h2.events.TrailersReceived():
                self._trailers = _text(event.headers)
            case h2.events.DataReceived():
                self._buffer += event.data or b""
                self._taken += event.flow_controlled_length or 0
                self._allow()
            case h2.events.StreamEnded():
                self._finish(self._status())
            case h2.events.StreamReset():
                self._finish(CallEnd("UNAVAILABLE", f"RST_STREAM {event.error_code}"))
            case h2.events.ConnectionTerminated():
                self.going_away = True

    def _allow(self) -> None:
        """Give back what was taken, unless the call is held or over."""
        if self._held or self._end is not None or not self._taken:
            return
        taken, self._taken = self._taken, 0
        self._http2.increment_flow_control_window(taken)
        self._grant(taken)

    def _grant(self, size: int) -> None:
        """Let the server send so many bytes more; its end may have come in the same read."""
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            self._http2.increment_flow_control_window(size, 1)
        self._writer.write(self._http2.data_to_send())

    def _status(self) -> CallEnd:
        said = {**self.headers, **self._trailers}
        if self.headers.get(":status") != "200":
            return CallEnd("UNKNOWN", f"HTTP {self.headers.get(':status')}")
        if "grpc-status" not in said:
            return CallEnd("UNKNOWN", "the stream ended without a grpc-status")
        number = said["grpc-status"]
        code = CODES[int(number)] if number.isdigit() and int(number) < len(CODES) else "UNKNOWN"
        details = _unpadded(said.get(DETAILS_KEY, ""))
        return CallEnd(code, unquote(said.get("grpc-message", "")), error_info(details))

    def _finish(self, end: CallEnd) -> None:
        self._end = self._end or end

    def _next_message(self) -> bytes | None:
        if len(self._buffer) < PREFIX:
            return None
        size = PREFIX + int.from_bytes(self._buffer[1:PREFIX])
        if len(self._buffer) < size:
            return None
        flag, text = self._buffer[0], bytes(self._buffer[PREFIX:size])
        del self._buffer[:size]
        if not flag:
            return text
        self.compressed += 1
        try:
            return zlib.decompress(text, wbits=47)  # 47: a gzip or a zlib header
        except zlib.error:
            self._finish(CallEnd("INTERNAL", "a message compressed in an unknown way"))
            return None


async def _connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.address.startswith("unix:"):
        return await asyncio.open_unix_connection(
            target.address.removeprefix("unix:").removeprefix("//")
        )
    host, port = host_and_port(target.address)
    if target.tls is None:
        return await asyncio.open_connection(host, port)
    name = target.server_name or host
    return await asyncio.open_connection(
        host,
        port,
        ssl=target.tls.context,
        server_hostname=name,
        ssl_shutdown_timeout=CLOSE_SECONDS,  # gRPC servers do not answer a TLS goodbye
    )


def _text(headers: Iterable[tuple[bytes, bytes]] | None) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers or ()}


def _unpadded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""
