"""Mercure: a topic's updates to its subscribers, in Go. It relays; it knows no windows.

Kept in memory, without history: its local transport. Subscribers show no token; the one that
publishes must, and it is verified each time. No write deadlines, no heartbeats, no compression. It
logs each subscriber that comes and each request that ends, which it can't be told to leave.
"""

from contextlib import ExitStack
from typing import Final

import jwt

from bench.process import SERVER_CORE, process
from bench.tools import Tools

from .peer import Job, Running, feed, free_port, get, wait_for

_START = 15.0
_PATH: Final = "/.well-known/mercure"
_KEY: Final = "a key for one run, on loopback, of 32 bytes or more"
_NEVER: Final = ("--read-timeout", "--write-timeout", "--heartbeat-interval")


class MercurePeer:
    """One topic that a feeder publishes to, by POST; the feeder's CPU is not Mercure's."""

    name = "mercure"
    transports = ("sse",)

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def start(self, job: Job, stack: ExitStack) -> Running:
        """Start Mercure, then what publishes to it."""
        port = free_port()
        command = (
            str(self._tools.mercure),
            *("--addr", f"127.0.0.1:{port}", "--transport-url", "local://local"),
            *("--publisher-jwt-key", _KEY, "--allow-anonymous"),
            *(word for option in _NEVER for word in (option, "0s")),
        )
        child = stack.enter_context(process(*command, core=SERVER_CORE, name="mercure"))
        wait_for(child, port, _START)
        token = jwt.encode({"mercure": {"publish": ["*"]}}, _KEY, "HS256")
        headers = (
            f"Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Bearer {token}\r\n"
        )
        # A frame has none of the characters that a form must escape: % + & ;
        around = ("topic=live&type=update&data=", "")
        feed(stack, job.plan, (port, _PATH), headers=headers, around=around)
        return Running(port=port, request=get(f"{_PATH}?topic=live"), servers=[child])
