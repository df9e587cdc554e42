"""The bridge itself, as an operator starts it, its limits on one address lifted."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from functools import cached_property
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

    transports = ("sse", "ws")

    def __init__(self, folder: Path = ROOT, name: str = "bridge") -> None:
        self.name = name
        self._folder = folder

    @property
    def version(self) -> str:
        """What it says of itself: its version, and which build it is."""
        return self._run("--version").strip()

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
                *self._lifted,
                *job.bridge_options,
                *(credential.options if credential else ()),
                core=SERVER_CORE,
                name=self.name,
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

    @cached_property
    def _lifted(self) -> list[str]:
        known = self._run("serve", "--help")
        return [word for name in LIFTED if f"--{name} " in known for word in (f"--{name}", "0")]

    def _run(self, *arguments: str) -> str:
        command = (sys.executable, "-m", "bridge", *arguments)
        run = subprocess.run(  # noqa: S603 - the checkout's own
            command,
            cwd=self._folder,
            capture_output=True,
            check=True,
            text=True,
            env=clean_environ(),
            timeout=60,
        )
        return run.stdout


def clean_environ() -> dict[str, str]:
    """Return the environment without options of the bridge that a shell may hold."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
