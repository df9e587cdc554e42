"""StreamOwner: whoever has the connection of an event stream."""

from typing import Protocol

from bridge.core.errors import Failed


class StreamOwner(Protocol):
    """The owner of a stream's connection."""

    def on_started(self) -> None:
        """Note that the response has started."""

    def on_refused(self, failure: Failed) -> None:
        """Answer with a failure: nothing was written."""

    def on_finished(self, *, keep_alive: bool) -> None:
        """Note that all is written. `keep_alive`: the connection may carry another request."""
