"""Centrifugo: a channel's publications to its subscribers, in Go. It relays; it knows no windows.

Its unidirectional transports are used, over which a server only sends: the cheapest it has. What a
client asks for is in the address of its request, so there is no message to read. No history, no
presence, no tokens, no compression; it logs errors only.
"""

import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from bench.paths import OUT
from bench.process import SERVER_CORE, process
from bench.tools import Tools

from .peer import Job, Running, feed, free_port, get, upgrade, wait_for

_START = 15.0
_CHANNEL = "live"
_ASKED = quote(json.dumps({"subs": {_CHANNEL: {}}}, separators=(",", ":")))


def _config(port: int) -> dict[str, object]:
    return {
        "http_server": {"address": "127.0.0.1", "port": port},
        "log": {"level": "error"},
        "client": {"insecure": True},
        "http_api": {"insecure": True},
        "uni_sse": {"enabled": True},
        "uni_websocket": {"enabled": True},
        "usage_stats": {"enabled": False},
    }


class CentrifugoPeer:
    """One channel that a feeder publishes to, by POST; the feeder's CPU is not Centrifugo's."""

    name = "centrifugo"
    transports = ("sse", "ws")

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def start(self, job: Job, stack: ExitStack) -> Running:
        """Start Centrifugo, then what publishes to it."""
        folder = Path(stack.enter_context(TemporaryDirectory(dir=OUT)))
        port = free_port()
        config = folder / "centrifugo.json"
        config.write_text(json.dumps(_config(port)))
        command = (str(self._tools.centrifugo), "--config", config)
        child = stack.enter_context(process(*command, core=SERVER_CORE, name="centrifugo"))
        wait_for(child, port, _START)
        around = (f'{{"channel":"{_CHANNEL}","data":', "}")
        headers = "Content-Type: application/json\r\n"
        feed(stack, job.plan, (port, "/api/publish"), headers=headers, around=around)
        where = f"/connection/uni_{'sse' if job.transport == 'sse' else 'websocket'}"
        asked = f"{where}?cf_connect={_ASKED}"
        return Running(
            port=port,
            request=get(asked) if job.transport == "sse" else upgrade(asked),
            # The first thing it says has a "version", its own.
            rows=1,
            servers=[child],
        )
