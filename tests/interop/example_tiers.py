"""The example tiers as their README has them: built, started, spoken to."""

import asyncio
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import grpc

from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
TIERS = ROOT / "examples" / "tiers"
BUILT = "INTEROP_BUILT"
"""Variable with what another process has built: {name: reason why not, or null}."""
_STARTED = time.monotonic()
_TIMED_OUT = 124  # the exit code of timeout(1)
_BUILD_SECONDS = float(os.environ.get("INTEROP_SECONDS", "900"))
"""Seconds from the start in which all that is built must be built."""
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
_ES_STUBS = (
    "-I ../../../proto --plugin=protoc-gen-es=node_modules/.bin/protoc-gen-es --es_out=gen"
    " --es_opt=target=js livequery/v1/livequery.proto"
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
    version_command: tuple[str, ...] = ()
    """What prints the version, where it is the system's and no file's."""
    libraries: tuple[str, ...] = ()
    """The system's, that it is built with, as pkg-config names them."""
    packages: tuple[str, ...] = ()
    """Debian's, that bring what it needs."""
    root: Path = TIERS
    repairs: tuple[str, ...] = ()
    """Repairs that it is known to need."""

    @property
    def path(self):
        return self.root / self.folder

    @property
    def tier(self):
        """The class of its processes."""
        return Tier

    def version(self):
        """Return name and version of the library, as its lock file says."""
        name, file, pattern = self.library
        found = re.search(pattern, (self.path / file).read_text())
        return f"{name} {found[1] if found else '?'}"

    def tried_version(self):
        """Return name and version of the library that is built with."""
        if not self.version_command or not shutil.which(self.version_command[0]):
            return self.version()
        done = subprocess.run(self.version_command, capture_output=True, text=True, check=False)
        return f"{self.library[0]} {done.stdout.strip()}" if done.stdout else self.version()


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
    Example(
        "C++",
        "cpp",
        "build/tier",
        ("make",),
        ("make", "c++", "protoc", "grpc_cpp_plugin", "pkg-config"),
        ("grpc++", "Makefile", r"grpc\+\+ ([\d.]+)"),
        ("pkg-config", "--modversion", "grpc++"),
        ("grpc++", "protobuf"),
        ("g++", "make", "pkg-config", "protobuf-compiler-grpc", "libgrpc++-dev", "libprotobuf-dev"),
    ),
    Example(
        "Connect",
        "connect",
        "node tier.js",
        ("npm ci --no-audit --no-fund", f"mkdir -p gen && python -m grpc_tools.protoc {_ES_STUBS}"),
        ("node", "npm"),
        (
            "@connectrpc/connect-node",
            "package-lock.json",
            r'"node_modules/@connectrpc/connect-node": {\s*"version": "(.+?)"',
        ),
    ),
)


@cache
def build(example):
    """Build an example once a session; the reason why there is none, or None."""
    built = json.loads(os.environ.get(BUILT, "{}"))
    if example.name in built:
        return built[example.name]
    with (example.path / ".build-lock").open("w") as lock:  # other processes may build it, too
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build(example)


def build_all(examples):
    """Build examples, two at a time, for this process and those that it starts."""
    with ThreadPoolExecutor(2) as pool:
        reasons = list(pool.map(build, examples))
    os.environ[BUILT] = json.dumps(
        {example.name: reason for example, reason in zip(examples, reasons, strict=True)}
    )


def _build(example):
    _install(example)
    if missing := _missing(example):
        return f"TOOLCHAIN MISSING: {', '.join(missing)}"
    for command in example.build:
        left = max(_STARTED + _BUILD_SECONDS - time.monotonic(), 1)
        done = subprocess.run(
            # `timeout` ends all that the command has started, too.
            ("timeout", "-k", "5", f"{left:.0f}", "nice", "-n", "19", "bash", "-c", command),
            cwd=example.path,
            env=ENVIRON,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == _TIMED_OUT:
            return f"NOT BUILT IN TIME: {command}"
        if done.returncode:
            return f"BUILD FAILED: {command}: {(done.stdout + done.stderr)[-800:]}"
    return None


SECURITIES = ("plain", "TLS", "mTLS")


@dataclass(frozen=True)
class Files:
    """PEM files of a run: the tier's certificate and key, the authority, the bridge's own pair."""

    cert: str
    key: str
    ca: str
    client: tuple[str, str] | None = None
    """Certificate and key of clients, where the tier asks for one."""


def _missing(example):
    missing = [name for name in example.needs if not shutil.which(name, path=ENVIRON["PATH"])]
    if "pkg-config" in missing:
        return missing
    return missing + [name for name in example.libraries if not _has_library(name)]


def _has_library(name):
    asked = ("pkg-config", "--exists", name)
    return subprocess.run(asked, check=False).returncode == 0


def _install(example):
    """Install Debian's packages of an example, where something is missing and that is possible."""
    if _missing(example) and example.packages and os.geteuid() == 0 and shutil.which("apt-get"):
        install = ("apt-get", "install", "-y", "--no-install-recommends", *example.packages)
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(install, check=False, capture_output=True, timeout=120)


class Tier:
    """One example, running; the same port and certificate over every restart."""

    protocol = ()

    def __init__(self, example, files=None, arguments=""):
        self.example = example
        self.files = files
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
        options = ["--upstream", address, *self.protocol]
        if self.files:
            options += ["--upstream-ca", self.files.ca]
            if self.files.client:
                cert, key = self.files.client
                options += ["--upstream-cert", cert, "--upstream-key", key]
        return options

    async def start(self):
        tls = f"--cert {self.files.cert} --key {self.files.key}" if self.files else ""
        if self.files and self.files.client:
            tls += f" --client-ca {self.files.ca}"
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
        async with asyncio.timeout(60):  # a JVM on a loaded machine
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
        """Read the window of a query (as JSON) from the tier itself: [(id, version)]."""
        rows = []
        async with self._channel() as channel, asyncio.timeout(10):
            call = livequery_pb2_grpc.LiveQueryServiceStub(channel).Subscribe(
                pb.SubscribeRequest(query=as_message(query)), wait_for_ready=True
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

    def _channel(self):
        if not self.files:
            return grpc.aio.insecure_channel(self.address)
        cert, key = self.files.client or (None, None)
        credentials = grpc.ssl_channel_credentials(
            Path(self.files.ca).read_bytes(),
            Path(key).read_bytes() if key else None,
            Path(cert).read_bytes() if cert else None,
        )
        return grpc.aio.secure_channel(self.address, credentials)


_OPERATORS = {"gt": pb.OPERATOR_GT, "in": pb.OPERATOR_IN}


def as_message(query):
    """Return a query of AND, `gt` and `in` as the contract's message."""
    message = pb.LiveQuery(entity=query["entity"], limit=query["limit"])
    for condition in query.get("where", ()):
        leaf = message.where.add().comparison
        leaf.column, leaf.operator = condition["column"], _OPERATORS[condition["op"]]
        if condition["op"] == "in":
            leaf.list.values.extend(map(_value, condition["value"]))
        else:
            leaf.value.CopyFrom(_value(condition["value"]))
    for key in query.get("sort", ()):
        message.sort.add(column=key["column"], desc=key.get("desc", False))
    if cursor := query.get("cursor"):
        message.cursor.values.extend(map(_value, cursor["values"]))
    return message


def _value(value):
    if isinstance(value, str):
        return pb.Value(string_value=value)
    return pb.Value(int_value=value)
