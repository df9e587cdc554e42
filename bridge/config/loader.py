"""Loader: makes the Config from defaults, TOML file, environment and flags; later sources win.

Every refusal names the option and where its value came from. For an unknown name it adds the
nearest known one.
"""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .auth_rules import broken_auth_rule
from .options import BY_KEY, OPTIONS, Config, Option
from .service_links import is_service_link
from .values import may_overlap

PREFIX = "BRIDGE_"
VARIABLES = {option.variable: option for option in OPTIONS}
_USERINFO = re.compile(r"//[^/@]*@")
"""User and password in a URL."""
_SECRET_FILES = ("ticket_key", "admin_token")
"""Options that name a file with a secret; somebody may give the secret itself."""
_SECRET = "secret:"  # noqa: S105 - how --jwt-keys says that its file is one
# The pages of `--explorer on`, beside `/`, which is no base path.
_PAGE_PATH = re.compile(r"/explorer(/.+)?|/client(/.+)?|/board/.+")


class ConfigError(ValueError):
    """The configuration is invalid; the message says which part and why."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The text of an option's value, and where it came from."""

    text: str
    source: str


def resolve(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    file: str | None = None,
) -> tuple[Config, dict[str, Setting]]:
    """Build the configuration; returns it with the text and source of every option.

    Args:
        flags: option key → text, or a value as a TOML file has it; None for one not given.
        environ: the environment of the process; every BRIDGE_ variable in it must be an option,
            a service link, or empty.
        file: path of a TOML file; None takes BRIDGE_CONFIG from `environ`, if it is there.

    Raises:
        ConfigError: a name is unknown, a value is invalid, or two options contradict.

    """
    settings = {option.key: Setting(option.default, "default") for option in OPTIONS}
    file = file or environ.get(f"{PREFIX}CONFIG")
    if file:
        settings.update(_from_file(file))
    settings.update(_from_environ(environ))
    settings.update(_from_flags(flags))
    return build(settings), settings


def build(settings: Mapping[str, Setting]) -> Config:
    """Parse and check settings of all options. Raises ConfigError."""
    config = Config(**{key: _parse(BY_KEY[key], setting) for key, setting in settings.items()})
    _check(config)
    return config


def _parse(option: Option, setting: Setting) -> Any:
    try:
        return option.parse(setting.text)
    except ValueError as error:
        where = "" if setting.source == f"--{option.name}" else f" (from {setting.source})"
        text = _USERINFO.sub("//***@", setting.text)
        raise ConfigError(f"--{option.name} {text!r}{where}: {error}") from None


def _from_flags(flags: Mapping[str, Any]) -> dict[str, Setting]:
    found = {}
    for key, value in flags.items():
        option = BY_KEY.get(key)
        if option is None:
            raise ConfigError(f"unknown option {key!r}{_nearest(key, BY_KEY)}")
        if value is not None:
            found[key] = Setting(_to_text(value, f"--{option.name}"), f"--{option.name}")
    return found


def _from_environ(environ: Mapping[str, str]) -> dict[str, Setting]:
    found = {}
    for variable, text in environ.items():
        # An empty variable is as good as none: there, templates can't leave one out.
        if not text or not variable.startswith(PREFIX) or variable == f"{PREFIX}CONFIG":
            continue
        option = VARIABLES.get(variable)
        if option is not None:
            found[option.key] = Setting(text, variable)
        elif not is_service_link(variable, text, VARIABLES):
            raise ConfigError(f"unknown variable {variable}{_nearest(variable, VARIABLES)}")
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
        found[option.key] = Setting(_to_text(value, f"{file}: {key}"), file)
    return found


def _to_text(value: Any, where: str) -> str:
    """Return a TOML value as the text that the command line would take."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return json.dumps(value)
    raise ConfigError(f"{where}: a text, a number, true or false, or a list of texts is needed")


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _check(config: Config) -> None:
    """Check rules that concern more than one option, or its value 0. Raises ConfigError."""
    if broken := broken_auth_rule(config):
        raise ConfigError(broken)
    if bool(config.upstream_cert) != bool(config.upstream_key):
        given, other = ("cert", "key") if config.upstream_cert else ("key", "cert")
        raise ConfigError(f"--upstream-{given} needs --upstream-{other}: they go together")
    if bool(config.tls_cert) != bool(config.tls_key):
        given, other = ("cert", "key") if config.tls_cert else ("key", "cert")
        raise ConfigError(f"--tls-{given} needs --tls-{other}: they go together")
    if config.proxy_protocol and not config.trusted_proxies:
        raise ConfigError(
            "--proxy-protocol on needs --trusted-proxies: a client could send the header"
        )
    if config.tls_client_ca and not config.tls_cert:
        raise ConfigError("--tls-client-ca needs --tls-cert: only TLS has client certificates")
    if config.admin_listen is not None and any(
        may_overlap(config.admin_listen, public) for public in config.listen
    ):
        raise ConfigError("--admin-listen: a port other than --listen's is needed")
    if config.explorer and _PAGE_PATH.fullmatch(config.base_path):
        raise ConfigError(
            f"--base-path {config.base_path}: --explorer on serves its pages there. "
            "Another path is needed, as in /api/v1/live"
        )
    if not config.open_timeout:
        raise ConfigError("--open-timeout 0: a request must get its answer some time")


def show(settings: Mapping[str, Setting]) -> str:
    """Return the configuration as a TOML file; a comment names the source of each value."""
    lines = [
        (f"{option.name} = {_toml(_shown(option, setting))}", setting.source)
        for option, setting in ((option, settings[option.key]) for option in OPTIONS)
    ]
    width = max(len(line) for line, _ in lines)
    return "\n".join(f"{line:<{width}}  # {source}" for line, source in lines)


def _shown(option: Option, setting: Setting) -> str:
    """Return a setting's text; `***` where a secret stands in place of the path of its file."""
    path = setting.text.removeprefix(_SECRET)
    if option.key not in _SECRET_FILES and path == setting.text:
        return setting.text
    return setting.text if not path or os.path.isfile(path) else "***"  # noqa: PTH113 - never raises


def _toml(text: str) -> str:
    """Return a text as a TOML string: a literal one where it has quotes (TOML 1.0, Strings)."""
    return f"'{text}'" if '"' in text and "'" not in text else f'"{text}"'
