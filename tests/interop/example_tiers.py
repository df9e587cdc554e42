"""The example tiers as their README has them: built, started, spoken to."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import grpc

from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
TIERS = ROOT / "examples" / "tiers"
ENVIRON = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
}
_GO_PLUGINS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc"
)
_GO_OPTIONS = "module=example.com/tier,Mlivequery/v1/livequery.proto=example.com/tier/livequerypb"
_GO_STUBS = (
    f"-I ../../../proto --go_out=. --go_opt={_GO_OPTIONS} --go-grpc_out=. --go-grpc_opt={_GO_OPTIONS}"
    " livequery/v1/livequery.proto"
)


@dataclass(frozen=True)
class Example:
    """One row of the matrix. Its commands are run in its folder, and stand in the README."""

    name: str
    folder: str
    run: str
    build: tuple[str, ...] = ()
    needs: tuple[str, ...] = ("python",)
    library: tuple[str, str, str] = ("", "", "")
    """Name of its gRPC library, file with the version, pattern of it."""

    @property
    def path(self):
        return TIERS / self.folder

    def version(self):
        name, file, pattern = self.library
        found = re.search(pattern, (self.path / file).read_text())
        return f"{name} {found[1] if found else '?'}"


_GRPCIO = ("grpcio", "../../../requirements/dev.txt", r"(?m)^grpcio==([\d.]+)")
EXAMPLES = (
    Example("Python, sync", "python", "python tier_sync.py", library=_GRPCIO),
    Example("Python, grpc.aio", "python", "python tier_aio.py", library=_GRPCIO),
    Example(
        "Go",
        "go",
        "bin/tier",
        (
            f"go build -o bin/ {_GO_PLUGINS}",
            f"PATH=$PWD/bin:$PATH python -m grpc_tools.protoc {_GO_STUBS}",
            "go build -o bin/tier .",
        ),
        ("go",),
        ("grpc-go", "go.mod", r"google.golang.org/grpc v(\S+)"),
    ),
    Example(
        "Node",
        "node",
        "node tier.js",
        ("npm ci --no-audit --no-fund",),
        ("node", "npm"),
        (
            "@grpc/grpc-js",
            "package-lock.json",
            r'"node_modules/@grpc/grpc-js": {\s*"version": "(.+?)"',
        ),
    ),
    Example(
        "Java",
        "java",
        "java -cp 'target/classes:target/dependency/*' Tier",
        ("mvn -q -B package",),
        ("java", "mvn"),
        ("grpc-java", "pom.xml", r"<grpc.version>(.+?)<"),
    ),
    Example(
        "Rust",
        "rust",
        "target/debug/tier",
        ("cargo build --locked",),
        ("cargo",),
        ("tonic", "Cargo.lock", r'name = "tonic"\nversion = "(.+?)"'),
    ),
)


@cache
def build(example):
    """Build an example once a session; the reason why there is none, or None."""
    missing = [
        program for program in example.needs if not shutil.which(program, path=ENVIRON["PATH"])
    ]
    if missing:
        return f"TOOLCHAIN MISSING: {', '.join(missing)}"
    for command in example.build:
        done = subprocess.run(
            ("nice", "-n", "19", "bash", "-c", command),
            cwd=example.path,
            env=ENVIRON,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        if done.returncode:
            return f"BUILD FAILED: {command}: {(done.stdout + done.stderr)[-800:]}"
    return None


class Tier:
    """One example, running; the same port and certificate over every restart."""

    def __init__(self, example, tls=None, arguments=""):
        self.example = example
        self.tls = tls  # (certificate, key, authority), paths of PEM files
        self.port = 0
        self._arguments = arguments
        self._process = None
        self._rate = 0

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self._process.pid

    def upstream(self, address):
        """Return the bridge's options for this tier, reached by an address."""
        return ("--upstream", address, *(("--upstream-ca", self.tls[2]) if self.tls else ()))

    async def start(self):
        tls = f"--cert {self.tls[0]} --key {self.tls[1]}" if self.tls else ""
        command = (
            f"exec {self.example.run} --listen {self.address} --changes-per-second {self._rate}"
            f" {tls} {self._arguments}"
        )
        self._process = await asyncio.create_subprocess_exec(
            *("bash", "-c", command),
            cwd=self.example.path,
            env=ENVIRON,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(20):
            line = (await self._process.stdout.readline()).decode()
        match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        assert match, f"{self.example.name} said {line!r}"
        self.port = int(match[1])
        return self

    async def command(self, line):
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def rate(self, number):
        self._rate = number
        await self.command(f"rate {number}")

    async def stop(self, number=signal.SIGTERM):
        """End it; within 10 s, or it is an AssertionError."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(number)
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise AssertionError("the tier did not end in 10 s") from None
        finally:
            self._process.stdin.close()

    async def restart(self, number):
        await self.stop(number)
        await self.start()

    async def window(self, query):
        """Read the window from the tier itself: [(id, version)]."""
        if self.tls:
            roots = grpc.ssl_channel_credentials(Path(self.tls[2]).read_bytes())
            channel = grpc.aio.secure_channel(self.address, roots)
        else:
            channel = grpc.aio.insecure_channel(self.address)
        rows = []
        async with channel, asyncio.timeout(10):
            call = livequery_pb2_grpc.LiveQueryServiceStub(channel).Subscribe(
                pb.SubscribeRequest(query=query), wait_for_ready=True
            )
            async for response in call:
                rows += [
                    (delta.agg_id, delta.version)
                    for delta in response.batch.deltas
                    if delta.op == pb.DELTA_OP_ENTER
                ]
                if response.batch.snapshot_complete:
                    break
            call.cancel()
        return rows
