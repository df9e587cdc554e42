"""Go programs: peers that are built from their Go modules, each by version and checksum.

Go's own tool fetches and builds; it verifies the module against the checksum written here, and
what that needs against the public checksum database. What it refuses stays refused.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .paths import BIN, OUT

BUILD_SECONDS = 1500
"""What a first build may take: Centrifugo's is 3.5 minutes of CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoProgram:
    """A command of a Go module. `digest` is the module's line of go.sum, without its name."""

    name: str
    module: str
    version: str
    digest: str
    package: str = ""
    """The command's package beneath the module; empty: the module itself."""


CENTRIFUGO = GoProgram(
    name="centrifugo",
    module="github.com/centrifugal/centrifugo/v6",
    version="v6.9.1",
    digest="h1:JyYAxuwBvf5ox+3EW2agQJTxNG5axoRSOdvoA6qPAuo=",
)
# The standalone hub of the module. Its authors call it deprecated, in favour of a module of Caddy,
# which Go's tool refuses: no checksum of it is known. It says the same of v1.0.0 of both.
MERCURE = GoProgram(
    name="mercure",
    module="github.com/dunglas/mercure",
    version="v0.20.0",
    digest="h1:BcgHjdZc7oWapXWHv8RSStz3HvuWallJ0KQ2yejgzgc=",
    package="cmd/mercure",
)
ORIGINAL = GoProgram(
    name="the original's gateway",
    module="github.com/xraph/fabriq",
    version="v0.0.6",
    digest="",
)
"""fabriq, whose gateway this bridge stands in for: asked for in each run, and refused so far."""


class GoError(RuntimeError):
    """A program could not be had; its text says why, in one line."""


def built(program: GoProgram, *, install: bool) -> Path:
    """Return the program, built unless it was before. Raises GoError."""
    binary = BIN / f"{program.name}-{program.version}"
    if binary.exists():
        return binary
    if not install:
        raise GoError(f"{program.module}@{program.version} is not built")
    folder = OUT / "go" / program.name
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("go.mod", "go.sum"):
        (folder / file).unlink(missing_ok=True)
    _go(folder, "mod", "init", f"bench.invalid/{program.name}")
    _go(folder, "mod", "edit", f"-require={program.module}@{program.version}")
    (folder / "go.sum").write_text(f"{program.module} {program.version} {program.digest}\n")
    package = "/".join(filter(None, (program.module, program.package)))
    _go(folder, "build", "-mod=mod", "-o", str(binary), package)
    return binary


def refusal(program: GoProgram) -> str:
    """Ask for a module; return what Go's tool says against it, nothing if it can be had."""
    OUT.mkdir(parents=True, exist_ok=True)
    try:
        _go(OUT, "mod", "download", f"{program.module}@{program.version}", within=60)
    except GoError as error:
        return str(error)
    return ""


def _go(folder: Path, *arguments: str, within: float = BUILD_SECONDS) -> None:
    go = shutil.which("go")
    if go is None:
        raise GoError("Go is not installed")
    command = (go, *arguments)
    try:
        done = subprocess.run(  # noqa: S603 - Go's own tool, the table above
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=within
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GoError(str(error)) from None
    if done.returncode:
        raise GoError(_short(done.stderr))


def _short(said: str) -> str:
    """Keep the end of what Go's tool said, without addresses."""
    lines = [line for line in said.splitlines() if not line.startswith("go: downloading ")]
    text = re.sub(r"\S*://\S+", "the module proxy:", " ".join(" ".join(lines).split()))
    return text[-300:]
