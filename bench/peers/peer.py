"""Peer: something that brings changes to browsers, and can be run beside the bridge."""

import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol

from bench.paths import BIN
from bench.plan import Plan
from bench.process import LOAD_CORE, Process, ProcessError, process

WS_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""Every client's key, that of RFC 6455 §1.3: nobody checks the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a peer is asked to do.

    `distinct`: each client has a query of its own. `v1`: clients speak v1, as the library does.
    """

    plan: Plan
    transport: str = "sse"
    distinct: bool = False
    v1: bool = False
    bridge_options: tuple[str, ...] = ()
    tokens: bool = False
    """Whether the bridge verifies a token of each client (`--auth jwt`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A peer that serves: where, how it is asked, and whose CPU and memory count."""

    port: int
    request: bytes
    message: bytes = b""
    rows: int = 0
    """Frames that a newcomer gets at once."""
    servers: list[Process] = field(default_factory=list)
    tier: Process | None = None


class Peer(Protocol):
    """A kind of server."""

    name: str
    transports: tuple[str, ...]

    def start(self, job: Job, stack: ExitStack) -> Running:
        """Start everything needed; `stack` ends it. Raises ProcessError."""


def get(path: str, accept: str = "text/event-stream") -> bytes:
    """Print a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """Print a POST of JSON. A client's number (`{i}`) is five digits instead of three."""
    length = len(body) + 2 * body.count(b"{i}")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Accept: text/event-stream\r\nContent-Length: {length}\r\n\r\n"
    )
    return head.encode() + body


def upgrade(path: str, protocol: str = "") -> bytes:
    """Print an upgrade to WebSocket."""
    offer = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {WS_KEY}\r\n{offer}\r\n"
    ).encode()


def text_message(payload: bytes) -> bytes:
    """Print a client's text message, masked with zeros (RFC 6455 §5.2)."""
    length = len(payload) + 2 * payload.count(b"{i}")
    return b"\x81\xfe" + length.to_bytes(2) + bytes(4) + payload


def free_port() -> int:
    """Pick a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(child: Process, port: int, within: float) -> None:
    """Wait until a child takes connections. Raises ProcessError."""
    until = time.monotonic() + within
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise ProcessError(f"{child.name} did not start: {child.tail()}") from None
            time.sleep(0.05)
        else:
            return


def feed(
    stack: ExitStack, plan: Plan, to: tuple[int, str], *, headers: str, around: tuple[str, str]
) -> None:
    """Start what publishes a plan's frames `to` a port and path of a broker, each in a POST.

    A frame stands between the two halves of `around`.
    """
    port, path = to
    command = (BIN / "feeder", str(port), path, plan.text, headers, *around)
    stack.enter_context(process(*command, core=LOAD_CORE, name="feeder"))


def tier(stack: ExitStack) -> tuple[Process, int]:
    """Start the load tier; returns it and its port."""
    child = stack.enter_context(process(BIN / "tier", core=LOAD_CORE, name="tier"))
    return child, child.port()


def entity(job: Job) -> str:
    """Name what a client subscribes to."""
    return job.plan.text + (",id={i}" if job.distinct else "")
