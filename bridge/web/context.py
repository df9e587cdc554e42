"""WebContext: what all handlers share, built once by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from aiohttp import web

from bridge.core.client_address import counted_address
from bridge.core.errors import Failed, Kind
from bridge.live.backend import Identity
from bridge.live.encoder import Encoder
from bridge.live.hub import Hub
from bridge.live.resume import Resume
from bridge.live.send_buffer import SendBuffer, do_nothing
from bridge.live.stall_monitor import StallMonitor
from bridge.live.stream_end import End, EndReason
from bridge.live.viewer import Viewer

from .admission import Admission
from .http.problem import Refusal, refusal
from .identity import identify, with_token
from .idle_timers import IdleTimers
from .schema_cache import SchemaCache
from .settings import WebSettings
from .stream_log import ClientProtocol, StreamLog
from .stream_request import StreamRequest
from .transport_sink import TransportSink

STALLED = End(EndReason.STALLED, Failed(Kind.TOO_SLOW, "read too slowly"))


@dataclass(frozen=True, slots=True)
class WebContext:
    """The hub below, and the rules and counts of the web floor."""

    hub: Hub
    stall_monitor: StallMonitor
    admission: Admission
    settings: WebSettings
    schemas: SchemaCache
    idle_timers: IdleTimers = field(default_factory=IdleTimers)
    stream_log: StreamLog = field(default_factory=StreamLog)
    clients: dict[Callable[[], None], None] = field(default_factory=dict)
    """The callback by which each open stream learns that the bridge drains."""

    def identity(self, request: StreamRequest, token: str | None = None) -> Identity:
        """Read on whose behalf a client asks; `token` replaces its Authorization header.

        Limits count it by its address too: no credential is verified here. Raises Failed.
        """
        forward, scope = self.settings.forward, self.settings.scope
        if token is None:
            identity = identify(request.headers, forward, scope)
        else:
            identity = with_token(request.headers, token, forward, scope)
        return replace(identity, address=counted_address(request.remote))

    def refuse(self, request_id: str, failure: Failed, *, soft: bool = False) -> Refusal:
        """Count and log a failure over HTTP; return the response."""
        self.stream_log.log_refusal(request_id, "http", failure)
        return refusal(failure, soft=soft)

    def send_buffer(self, sink: TransportSink, stalled: Callable[[], None]) -> SendBuffer:
        """Make a connection's send buffer; `stalled` is called when its client takes nothing."""
        send_buffer = SendBuffer(sink, self.stall_monitor, on_stalled=stalled)
        sink.attach(send_buffer)
        return send_buffer

    def detach(self, send_buffer: SendBuffer) -> None:
        """Stop watching a send buffer: its client is gone."""
        self.stall_monitor.remove(send_buffer)
        send_buffer.detach()

    def viewer(
        self, send_buffer: SendBuffer, encoder: Encoder, resume: Resume | None = None
    ) -> Viewer:
        """Make a viewer on a connection."""
        backlog = self.settings.viewer_backlog
        return Viewer(send_buffer=send_buffer, encoder=encoder, backlog=backlog, resume=resume)

    def slot(self, ip: str, protocol: ClientProtocol, drain: Callable[[], None]) -> "StreamSlot":
        """Make the slot of a stream; a `with` block acquires and releases it."""
        return StreamSlot(self, ip, protocol, drain)


class StreamSlot:
    """One stream in the limits, in the counts, and among those that learn of a drain.

    A class, not a generator: it lasts as long as its stream, and there are thousands.
    """

    __slots__ = ("_acquired", "_context", "_drain", "_ip", "_protocol")

    def __init__(
        self, context: WebContext, ip: str, protocol: ClientProtocol, drain: Callable[[], None]
    ) -> None:
        self._context = context
        self._ip = counted_address(ip)
        self._protocol = protocol
        self._drain = drain
        self._acquired = False

    def acquire(self) -> None:
        """Count the stream. Raises Failed over a limit."""
        self._context.admission.admit(self._ip)
        self._acquired = True
        self._context.stream_log.open[self._protocol] += 1
        self._context.clients[self._drain] = None

    def release(self) -> None:
        """Count the stream no more, if it was, and let go of it. Idempotent."""
        drain, self._drain = self._drain, do_nothing
        if not self._acquired:
            return
        self._acquired = False
        del self._context.clients[drain]
        self._context.stream_log.open[self._protocol] -= 1
        self._context.admission.release(self._ip)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


CONTEXT = web.AppKey("context", WebContext)
