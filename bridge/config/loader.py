"""Config: what the bridge was told, from defaults < file < environment < flags.

Read once, checked once, frozen. Every refusal names the option, where its value came from, and,
for a name that does not exist, the nearest one that does.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.core.address import TierAddress

from .options import BY_KEY, OPTIONS, Option

PREFIX = "BRIDGE_"
# What Kubernetes sets in every pod beside a Service called `bridge`: not meant for us.
_SERVICE_LINK = re.compile(r"BRIDGE_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT|PORT_\d+_[A-Z]+(_.+)?)")


class ConfigError(ValueError):
    """A configuration that can't be used; the message says which part and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One attribute per option of the table: durations in seconds, sizes in bytes."""

    upstream: tuple[TierAddress, ...]
    upstream_tls: str
    upstream_ca: str
    upstream_cert: str
    upstream_key: str
    upstream_server_name: str
    resubscribe_rate: int
    listen: tuple[str, int]
    admin_listen: tuple[str, int] | None
    tls_cert: str
    tls_key: str
    tls_client_ca: str
    workers: int
    base_path: str
    forward_metadata: tuple[str, ...]
    scope: tuple[str, ...]
    sharing: str
    allowed_origins: tuple[str, ...]
    max_connections: int
    max_connections_per_ip: int
    accept_rate: int
    max_rows: int
    heartbeat_interval: float
    ping_interval: float
    stall_timeout: float
    viewer_backlog: int
    memory_limit: int | None
    linger: float
    open_timeout: float
    max_staleness: float
    keepalive: str
    gather: float
    wait_for_tier: str
    drain_timeout: float
    explorer: str
    log_format: str
    log_level: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A value as text, and where it came from."""

    text: str
    source: str


def resolve(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    file: str | None = None,
) -> tuple[Config, dict[str, Setting]]:
    """Build the configuration.

    Args:
        flags: option key → text, None where it was not given.
        environ: the process's environment; every BRIDGE_ variable in it must be an option.
        file: path of a TOML file; BRIDGE_CONFIG where the flag is not given.

    Raises:
        ConfigError: anything unknown, unreadable or contradictory.

    """
    settings = {option.key: Setting(option.default, "default") for option in OPTIONS}
    file = file or environ.get(f"{PREFIX}CONFIG")
    if file:
        settings.update(_from_file(file))
    settings.update(_from_environ(environ))
    settings.update(
        (key, Setting(text, f"--{BY_KEY[key].name}"))
        for key, text in flags.items()
        if text is not None
    )
    return build(settings), settings


def build(settings: Mapping[str, Setting]) -> Config:
    """Read and check settings of all options. Raises ConfigError."""
    config = Config(**{key: _read(BY_KEY[key], setting) for key, setting in settings.items()})
    _check(config)
    return config


def _read(option: Option, setting: Setting) -> Any:
    try:
        return option.read(setting.text)
    except ValueError as error:
        where = "" if setting.source == f"--{option.name}" else f" (from {setting.source})"
        raise ConfigError(f"--{option.name} {setting.text!r}{where}: {error}") from None


def _from_environ(environ: Mapping[str, str]) -> dict[str, Setting]:
    known = {option.variable: option for option in OPTIONS}
    found = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable == f"{PREFIX}CONFIG":
            continue
        option = known.get(variable)
        if option is None and _SERVICE_LINK.fullmatch(variable):
            continue
        if option is None:
            raise ConfigError(f"unknown variable {variable}{_nearest(variable, known)}")
        found[option.key] = Setting(text, variable)
    return found


def _from_file(file: str) -> dict[str, Setting]:
    try:
        data = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not TOML: {error}") from None
    names = {option.name for option in OPTIONS}
    found = {}
    for key, value in data.items():
        option = BY_KEY.get(key.replace("-", "_"))
        if option is None:
            raise ConfigError(f"{file}: unknown key {key!r}{_nearest(key, names)}")
        found[option.key] = Setting(_text(value, f"{file}: {key}"), file)
    return found


def _text(value: Any, where: str) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    raise ConfigError(f"{where}: a text, a number, true or false, or a list of texts is needed")


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _check(config: Config) -> None:
    """Check what no option can tell alone."""
    for name in config.scope:
        if name not in config.forward_metadata:
            raise ConfigError(f"--scope {name}: only what --forward-metadata names can be a scope")
    if bool(config.upstream_cert) != bool(config.upstream_key):
        given, other = ("cert", "key") if config.upstream_cert else ("key", "cert")
        raise ConfigError(f"--upstream-{given} needs --upstream-{other}: they go together")
    if bool(config.tls_cert) != bool(config.tls_key):
        given, other = ("cert", "key") if config.tls_cert else ("key", "cert")
        raise ConfigError(f"--tls-{given} needs --tls-{other}: they go together")
    if config.tls_client_ca and not config.tls_cert:
        raise ConfigError("--tls-client-ca needs --tls-cert: only TLS has client certificates")
    if config.admin_listen == config.listen and config.listen[1]:
        raise ConfigError("--admin-listen: a port other than --listen's is needed")
    if not config.open_timeout:
        raise ConfigError("--open-timeout 0: a request must get its answer some time")


def show(settings: Mapping[str, Setting]) -> str:
    """Print the configuration as a TOML file, each value with where it came from."""
    lines = [
        (f'{option.name} = "{settings[option.key].text}"', settings[option.key].source)
        for option in OPTIONS
    ]
    width = max(len(line) for line, _ in lines)
    return "\n".join(f"{line:<{width}}  # {source}" for line, source in lines)
