"""Context: what the handlers share, built once by the root."""

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDictProxy

from bridge.core.errors import Failed, Kind
from bridge.live.backend import Identity
from bridge.live.hub import Hub
from bridge.live.observer import Reason
from bridge.live.outlet import Outlet, Watch, nobody
from bridge.live.script import Script
from bridge.live.viewer import End, Resume, Viewer

from .gate import Gate
from .heart import Hearts
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
    hearts: Hearts = field(default_factory=Hearts)
    journal: Journal = field(default_factory=Journal)
    clients: dict[Callable[[], None], None] = field(default_factory=dict)
    """How to tell each open stream that the bridge drains."""

    def identity(self, headers: CIMultiDictProxy[str]) -> Identity:
        """Read on whose behalf a request asks. Raises Failed."""
        return identify(headers, self.settings.forward, self.settings.scope)

    def outlet(self, sink: TransportSink, stalled: Callable[[], None]) -> Outlet:
        """Make a connection's outlet; `stalled` is called when it takes nothing for too long."""
        outlet = Outlet(sink, self.watch, stalled=stalled)
        sink.serve(outlet)
        return outlet

    def forget(self, outlet: Outlet) -> None:
        """Let go of a connection's outlet: its client is gone."""
        self.watch.remove(outlet)
        outlet.let_go()

    def viewer(self, outlet: Outlet, script: Script, resume: Resume | None = None) -> Viewer:
        """Make a viewer on a connection."""
        backlog = self.settings.viewer_backlog
        return Viewer(outlet=outlet, script=script, backlog=backlog, resume=resume)

    def place(self, ip: str, talk: Talk, drain: Callable[[], None]) -> "Place":
        """Make the place of a stream, not taken yet; a `with` block takes and gives it back."""
        return Place(self, ip, talk, drain)


class Place:
    """A stream's place in the bridge: counted, and told when the bridge drains.

    A class and no generator, for it lasts as long as the stream and there are thousands.
    """

    __slots__ = ("_context", "_drain", "_ip", "_taken", "_talk")

    def __init__(self, context: Context, ip: str, talk: Talk, drain: Callable[[], None]) -> None:
        self._context = context
        self._ip = ip
        self._talk = talk
        self._drain = drain
        self._taken = False

    def take(self) -> None:
        """Take it. Raises Failed over a limit."""
        self._context.gate.admit(self._ip)
        self._taken = True
        self._context.journal.open[self._talk] += 1
        self._context.clients[self._drain] = None

    def give_back(self) -> None:
        """Give it back, if it was taken, and let go of its stream. Idempotent."""
        drain, self._drain = self._drain, nobody
        if not self._taken:
            return
        self._taken = False
        del self._context.clients[drain]
        self._context.journal.open[self._talk] -= 1
        self._context.gate.release(self._ip)

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        self.give_back()


CONTEXT = web.AppKey("context", Context)
