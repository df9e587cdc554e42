"""Call status: how a call ended, as a value."""

from dataclasses import dataclass

from bridge.core.errors import StatusSource


@dataclass(frozen=True, slots=True)
class CallStatus:
    """How a call ended, on either transport.

    `code` is the name of a gRPC status code. `text` is for debugging. `details` is a serialized
    google.rpc.Status; empty if there is none. `source`: whether the tier said it, or it was
    derived.
    """

    code: str
    text: str = ""
    details: bytes = b""
    source: StatusSource = StatusSource.TIER


class MessageRefusedError(Exception):
    """A message that is not accepted: its call can't go on, the connection can."""

    def __init__(self, status: CallStatus) -> None:
        super().__init__(status)
        self.status = status
