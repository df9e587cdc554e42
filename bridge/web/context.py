"""Context: what the handlers share, built once by the root."""

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDictProxy

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
from .identity import identify
from .idle_timers import IdleTimers
from .settings import WebSettings
from .stream_log import ClientProtocol, StreamLog
from .transport_sink import TransportSink

STALLED = End(EndReason.STALLED, Failed(Kind.TOO_SLOW, "read too slowly"))


@dataclass(frozen=True, slots=True)
class WebContext:
    """The floor below and the rules of this one."""

    hub: Hub
    stall_monitor: StallMonitor
    admission: Admission
    settings: WebSettings
    idle_timers: IdleTimers = field(default_factory=IdleTimers)
    stream_log: StreamLog = field(default_factory=StreamLog)
    clients: dict[Callable[[], None], None] = field(default_factory=dict)
    """How to tell each open stream that the bridge drains."""

    def identity(self, headers: CIMultiDictProxy[str]) -> Identity:
        """Read on whose behalf a request asks. Raises Failed."""
        return identify(headers, self.settings.forward, self.settings.scope)

    def send_buffer(self, sink: TransportSink, stalled: Callable[[], None]) -> SendBuffer:
        """Make a connection's outlet; `stalled` is called when it takes nothing for too long."""
        send_buffer = SendBuffer(sink, self.stall_monitor, on_stalled=stalled)
        sink.serve(send_buffer)
        return send_buffer

    def forget(self, send_buffer: SendBuffer) -> None:
        """Let go of a connection's outlet: its client is gone."""
        self.stall_monitor.remove(send_buffer)
        send_buffer.detach()

    def viewer(
        self, send_buffer: SendBuffer, encoder: Encoder, resume: Resume | None = None
    ) -> Viewer:
        """Make a viewer on a connection."""
        backlog = self.settings.viewer_backlog
        return Viewer(send_buffer=send_buffer, encoder=encoder, backlog=backlog, resume=resume)

    def place(self, ip: str, protocol: ClientProtocol, drain: Callable[[], None]) -> "StreamSlot":
        """Make the place of a stream, not taken yet; a `with` block takes and gives it back."""
        return StreamSlot(self, ip, protocol, drain)


class StreamSlot:
    """A stream's place in the bridge: counted, and told when the bridge drains.

    A class and no generator, for it lasts as long as the stream and there are thousands.
    """

    __slots__ = ("_context", "_drain", "_ip", "_protocol", "_taken")

    def __init__(
        self, context: WebContext, ip: str, protocol: ClientProtocol, drain: Callable[[], None]
    ) -> None:
        self._context = context
        self._ip = ip
        self._protocol = protocol
        self._drain = drain
        self._taken = False

    def take(self) -> None:
        """Take it. Raises Failed over a limit."""
        self._context.admission.admit(self._ip)
        self._taken = True
        self._context.stream_log.open[self._protocol] += 1
        self._context.clients[self._drain] = None

    def give_back(self) -> None:
        """Give it back, if it was taken, and let go of its stream. Idempotent."""
        drain, self._drain = self._drain, do_nothing
        if not self._taken:
            return
        self._taken = False
        del self._context.clients[drain]
        self._context.stream_log.open[self._protocol] -= 1
        self._context.admission.release(self._ip)

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        self.give_back()


CONTEXT = web.AppKey("context", WebContext)
