"""The bridge itself, as an operator starts it, its limits on one address lifted."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

from bench.paths import ROOT
from bench.process import SERVER_CORE, process

from .credential import Credential
from .peer import Job, Running, entity, get, text_message, tier, upgrade

BASE = "/api/v1/live"
LIFTED = (
    "max-connections-per-ip",
    "max-connections-per-identity",
    "max-subscriptions-per-identity",
    "max-connections",
    "max-rows",
    "accept-rate",
)
"""Limits that a load would run into; those that the checkout has."""


class BridgePeer:
    """`python -m bridge serve` before the load tier, from the checkout at `folder`."""

    name = "bridge"
    transports = ("sse", "ws")

    def __init__(self, folder: Path = ROOT) -> None:
        self._folder = folder

    def start(self, job: Job, stack: ExitStack) -> Running:
        """Start tier and bridge."""
        load, port = tier(stack)
        credential = Credential.make(stack) if job.tokens else None
        child = stack.enter_context(
            process(
                sys.executable,
                "-m",
                "bridge",
                "serve",
                "--upstream",
                f"127.0.0.1:{port}",
                "--listen",
                "127.0.0.1:0",
                *_lifted(self._folder),
                *job.bridge_options,
                *(credential.options if credential else ()),
                core=SERVER_CORE,
                name="bridge",
                environ=clean_environ(),
                folder=self._folder,
            )
        )
        query = json.dumps({"entity": entity(job), "limit": job.plan.rows})
        if job.transport == "sse":
            version = "v=1&" if job.v1 else ""
            request, message = get(f"{BASE}?{version}query={quote(query, safe='{},')}"), b""
            request = request.replace(b"{", b"%7B").replace(b"}", b"%7D")
            request = request.replace(b"%7Bi%7D", b"{i}")
        else:
            request = upgrade(f"{BASE}/ws", "livequery.v1" if job.v1 else "")
            sub = '"sub":"1",' if job.v1 else ""
            message = text_message(f'{{"action":"subscribe",{sub}"query":{query}}}'.encode())
        if credential:
            request = credential.added_to(request)
        return Running(
            port=child.port(),
            request=request,
            message=message,
            rows=job.plan.rows,
            servers=[child],
            tier=load,
        )


def clean_environ() -> dict[str, str]:
    """Return the environment without options of the bridge that a shell may hold."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}


def _lifted(folder: Path) -> list[str]:
    command = (sys.executable, "-m", "bridge", "serve", "--help")
    run = subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True)  # noqa: S603 - the checkout's own
    return [word for name in LIFTED if f"--{name} " in run.stdout for word in (f"--{name}", "0")]
