"""WebContext: what all handlers share, built once by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from bridge.core.errors import Failed, Kind
from bridge.core.shared_rate import SharedRate
from bridge.live.encoder import Encoder
from bridge.live.hub import Hub
from bridge.live.resume import Resume
from bridge.live.send_buffer import SendBuffer
from bridge.live.stall_monitor import StallMonitor
from bridge.live.stream_end import End, EndReason
from bridge.live.viewer import Viewer

from .admission import Admission
from .auth.authenticator import Authenticator
from .deadlines import Deadlines
from .http.problem import Refusal, refusal
from .idle_timers import IdleTimers
from .open_streams import OpenStreams
from .schema_cache import SchemaCache
from .settings import WebSettings
from .stream_log import StreamLog
from .transport_sink import TransportSink

COMMAND_BURST: Final = 16
"""Commands at once, in seconds of their rate: enough, at the default, to open 64 subscriptions
twice over on one socket."""
STALLED = End(EndReason.STALLED, Failed(Kind.TOO_SLOW, "read too slowly"))


@dataclass(slots=True)
class WebContext:
    """The hub below, and the rules and counts of the web floor."""

    hub: Hub
    stall_monitor: StallMonitor
    admission: Admission
    settings: WebSettings
    authenticator: Authenticator
    schemas: SchemaCache
    idle_timers: IdleTimers = field(default_factory=IdleTimers)
    stream_log: StreamLog = field(default_factory=StreamLog)
    open_streams: OpenStreams = field(default_factory=OpenStreams)
    pings: Deadlines = field(init=False)
    """When WebSockets are pinged."""
    commands: SharedRate = field(init=False)
    """How fast each may send commands."""
    first_commands: Deadlines = field(init=False)
    """Until when they have to send their first command."""

    def __post_init__(self) -> None:
        self.pings = Deadlines(self.settings.ping_interval)
        rate, clock = self.settings.command_rate, self.stall_monitor.now
        self.commands = SharedRate(rate=rate, burst=COMMAND_BURST * rate, clock=clock)
        self.first_commands = Deadlines(self.settings.first_message_timeout)

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

    def stop_timers(self) -> None:
        """Stop what is due later. Idempotent."""
        self.idle_timers.stop()
        self.pings.stop()
        self.first_commands.stop()

    def viewer(
        self, send_buffer: SendBuffer, encoder: Encoder, resume: Resume | None = None
    ) -> Viewer:
        """Make a viewer on a connection."""
        backlog = self.settings.viewer_backlog
        return Viewer(send_buffer=send_buffer, encoder=encoder, backlog=backlog, resume=resume)


CONTEXT = web.AppKey("context", WebContext)
