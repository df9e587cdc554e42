"""fabriq's wire on grpc-go: a stub, for fabriq's own server can't be had everywhere."""

import asyncio
import json
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from example_tiers import ENVIRON, Example, Tier

HERE = Path(__file__).parent
MODULE = "github.com/xraph/fabriq/remote/grpc/cmd/fabriqserver"


class FabriqProcess(Tier):
    """The stub, running. Its window is asked for by a command, and read from stdout."""

    protocol = ("--upstream-protocol", "fabriq.v1")

    async def window(self, query):
        await self.command(f"window {json.dumps(query)}")
        async with asyncio.timeout(10):
            rows = json.loads(await self._process.stdout.readline())
        return [tuple(row) for row in rows]


@dataclass(frozen=True)
class FabriqStub(Example):
    @property
    def tier(self):
        return FabriqProcess


STUB = FabriqStub(
    "Go, a stub of fabriq.v1",
    "fabriq",
    "bin/fabriq",
    ("go build -o bin/fabriq .",),
    ("go",),
    ("grpc-go", "go.mod", r"google.golang.org/grpc v(\S+)"),
    root=HERE,
    repairs=("missing_leave",),  # its engine forgets the leave of a row that an enter pushes out
)


@cache
def fabriqs_own_server():
    """Return why fabriq's own server can't be had from its Go module; None if it can."""
    try:
        done = subprocess.run(
            ("go", "mod", "download", "-json", f"{MODULE}@latest"),
            cwd=HERE / "fabriq",
            env={**ENVIRON, "GOFLAGS": "-mod=mod"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if not done.returncode:
        return None
    said = json.loads(done.stdout or "{}").get("Error") or done.stderr
    said = re.sub(r"\S*://\S+", "the module proxy:", said.partition(": ")[2] or said)
    return " ".join(said.split())[:200]
