"""Status: how a call ended, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallStatus:
    """How a call ended, whoever carried it.

    `code` is gRPC's name. `text` is for whoever debugs. `details` is a serialized
    google.rpc.Status, empty where there is none.
    """

    code: str
    text: str = ""
    details: bytes = b""
