"""PooledCall: one streaming call of any protocol, on a pooled connection of a replica.

Invariants:
- Every way out of here cancels the call, and gives its place on the connection back once.
- Messages are passed on as they arrive, without a task in between. Timeouts are the caller's.
"""

import contextlib
from collections.abc import Callable, Iterator

from google.protobuf.message import DecodeError

from bridge.core.errors import Failed, Kind
from bridge.upstream.http2.call import Call, CallEnded
from bridge.upstream.http2.request import ONE_MESSAGE, Metadata, RequestForm
from bridge.upstream.http2.status import CallStatus
from bridge.upstream.http2.stream_buffer import MAX_MESSAGE

from .connection_pool import PooledConnection
from .endpoint import Endpoint
from .status_translation import failure_of_status, is_from_tier


class PooledCall:
    """A call at an endpoint, from `start` to `close`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.pooled: PooledConnection | None = None
        """The connection that it was sent on; kept after `close`."""
        self.answered = False
        """Whether the tier itself has sent anything, even if only an error."""
        self._metadata: Metadata = ()
        self._call: Call | None = None
        self._closed = False

    @property
    def leaving(self) -> bool:
        """Whether the tier has announced the end of the connection."""
        return self.pooled is not None and self.pooled.connection.going_away

    async def start(
        self, path: str, message: bytes, metadata: Metadata, form: RequestForm = ONE_MESSAGE
    ) -> None:
        """Send the request. Raises Failed."""
        self._metadata = metadata
        if len(message) > MAX_MESSAGE:
            raise self._failed(CallStatus("RESOURCE_EXHAUSTED", "Sent message larger than max"))
        with self._translated_errors():
            self.pooled = await self.endpoint.pool.acquire()
            self._call = self.pooled.connection.start_call(path, message, metadata, form)

    def send(self, message: bytes) -> None:
        """Send another message, if the request is open and the call still runs."""
        if self._call is not None:
            self._call.send(message)

    async def read_first(self) -> bytes:
        """Wait for the first message. Raises Failed."""
        with self._translated_errors():
            message = await self._started_call().read()
        if message is None:
            raise Failed(Kind.UNAVAILABLE, "the tier ended the stream before it began")
        self.answered = True
        return message

    async def follow(self, handler: Callable[[bytes], None]) -> None:
        """Call a handler with each message until the tier ends the call (OK). Raises Failed.

        What the handler raises is raised here; a DecodeError as a failure of the call.
        """
        with self._translated_errors():
            await self._started_call().follow(handler)

    def interrupt(self, error: Exception) -> None:
        """Have `follow` raise an error, as if its handler had."""
        if self._call is not None:
            self._call.interrupt(error)

    def _started_call(self) -> Call:
        if self._call is None:
            raise Failed(Kind.UNAVAILABLE, "the call was cut")
        return self._call

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except CallEnded as ended:
            raise self._failed(ended.status) from None
        except DecodeError:
            raise self._failed(CallStatus("INTERNAL", "a message that is none")) from None

    def _failed(self, status: CallStatus) -> Failed:
        self.answered = self.answered or is_from_tier(status)
        failed = failure_of_status(status, self._metadata)
        failed.replica = self.endpoint.replica.address
        return failed

    def close(self, *, suspect: bool = False) -> None:
        """Cancel the call. `suspect`: prefer other replicas for a while. Idempotent."""
        if self._call is not None:
            self._call.cancel()
        if self.pooled is not None and not self._closed:
            if suspect:
                self.endpoint.suspect(self.pooled)
            self.endpoint.pool.release(self.pooled)
        self._closed = True
