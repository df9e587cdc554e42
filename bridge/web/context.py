"""Context: what the handlers share, built once by the root."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from bridge.core.errors import Failed, Kind
from bridge.live.backend import Identity
from bridge.live.hub import Hub
from bridge.live.observer import Reason
from bridge.live.outlet import Outlet, Watch
from bridge.live.viewer import End, Resume, Script, Viewer

from .gate import Gate
from .identity import identify
from .journal import Journal, Talk
from .settings import WebSettings
from .sink import TransportSink

STALLED = End(Reason.STALLED, Failed(Kind.TOO_SLOW, "read too slowly"))


@dataclass(frozen=True, slots=True)
class Context:
    """The floor below and the rules of this one."""

    hub: Hub
    watch: Watch
    gate: Gate
    settings: WebSettings
    journal: Journal = field(default_factory=Journal)
    clients: dict[Callable[[], None], None] = field(default_factory=dict)
    """How to tell each open stream that the bridge drains."""

    def identity(self, request: web.Request) -> Identity:
        """Read on whose behalf a request asks. Raises Failed."""
        return identify(request.headers, self.settings.forward, self.settings.scope)

    def outlet(self, sink: TransportSink, end: Callable[[End], None]) -> Outlet:
        """Make a connection's outlet; `end` is called when it takes nothing for too long."""
        return Outlet(sink, self.watch, stalled=lambda: end(STALLED))

    def viewer(self, outlet: Outlet, script: Script, resume: Resume | None = None) -> Viewer:
        """Make a viewer on a connection."""
        backlog = self.settings.viewer_backlog
        return Viewer(outlet=outlet, script=script, backlog=backlog, resume=resume)

    @contextmanager
    def client(self, request: web.Request, talk: Talk, drain: Callable[[], None]) -> Iterator[None]:
        """Admit a stream and know how to end it. Raises Failed over a limit."""
        with self.gate.admit(request.remote or ""), self.journal.connection(talk):
            self.clients[drain] = None
            try:
                yield
            finally:
                del self.clients[drain]


CONTEXT = web.AppKey("context", Context)
