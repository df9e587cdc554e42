"""Options: one table of everything `serve` can be told, and how each value is read.

Command line, environment, file, help and documentation are all made from it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.core.address import TierAddress, parse_address
from bridge.core.metadata import check_name
from bridge.core.origin import normalize_origin

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_SIZE = re.compile(r"(\d+)(B|KiB|MiB|GiB)?")
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, None: 1}
_PORT = 1 << 16
MAX_WORKERS = 64


def duration(text: str) -> float:
    """Read `500ms`, `15s`, `1.5m`, `2h`, or a bare number of seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a duration is a number with ms, s, m or h, as in 15s")
    return float(match[1]) * _SECONDS[match[2]]


def size(text: str) -> int:
    """Read `64KiB`, `4MiB`, or a bare number of bytes."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("a size is a whole number with B, KiB, MiB or GiB, as in 256KiB")
    return int(match[1]) * _BYTES[match[2]]


def memory(text: str) -> int | None:
    """Read a size, or `auto`: None."""
    return None if text == "auto" else size(text)


def count(text: str) -> int:
    """Read a whole number, 0 or more."""
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError("a whole number, 0 or more, is needed")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    """Read names split by commas; none are fine."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def metadata_names(text: str) -> tuple[str, ...]:
    """Read header names, in lower case as gRPC has them."""
    found = tuple(name.lower() for name in names(text))
    for name in found:
        check_name(name)
    return found


def origins(text: str) -> tuple[str, ...]:
    """Read origins, normalised to scheme://host:port."""
    return tuple(normalize_origin(origin) for origin in names(text))


def workers(text: str) -> int:
    """Read how many worker processes, 1 to 64."""
    if not re.fullmatch(r"\d{1,2}", text) or not 1 <= int(text) <= MAX_WORKERS:
        raise ValueError(f"a whole number, 1 to {MAX_WORKERS}, is needed")
    return int(text)


def file_path(text: str) -> str:
    """Read the path of a file; none is fine."""
    if "\0" in text:
        raise ValueError("a path has no NUL")
    return text


def optional_address(text: str) -> tuple[str, int] | None:
    """Read HOST:PORT, or nothing."""
    return listen_address(text) if text else None


def listen_address(text: str) -> tuple[str, int]:
    """Read HOST:PORT; an empty host is all interfaces, port 0 picks one."""
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"\d{1,5}", port) or int(port) >= _PORT:
        raise ValueError("an address is HOST:PORT, as in 127.0.0.1:8080")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError("an IPv6 host goes in brackets, as in [::1]:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - asked for by an empty host


def upstreams(text: str) -> tuple[TierAddress, ...]:
    """Read the tier's addresses."""
    return tuple(map(parse_address, names(text)))


def path(text: str) -> str:
    """Read a base path: `/api/v1/live`."""
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise ValueError("a path begins with / and does not end with it, as in /api/v1/live")
    return text


def choice(*allowed: str) -> Callable[[str], str]:
    """Read one of a few words."""

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"one of {', '.join(allowed)} is needed")
        return text

    return read


@dataclass(frozen=True, slots=True)
class Option:
    """One line of the table. `key` is its name in `Config`."""

    name: str
    metavar: str
    default: str
    read: Callable[[str], Any]
    help: str

    @property
    def key(self) -> str:
        """The attribute of `Config`."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"BRIDGE_{self.key.upper()}"


OPTIONS = (
    Option(
        "upstream",
        "ADDRESS,…",
        "",
        upstreams,
        "The tier: HOST:PORT, dns:///NAME:PORT or unix:/PATH, several split by commas.",
    ),
    Option(
        "upstream-tls",
        "on|off",
        "off",
        choice("on", "off"),
        "TLS to the tier; on by itself when any file below is named.",
    ),
    Option(
        "upstream-ca",
        "FILE",
        "",
        file_path,
        "Whom to trust as a tier, in PEM form; without it, the system's roots and gRPC's own.",
    ),
    Option(
        "upstream-cert", "FILE", "", file_path, "The certificate the tier is shown, in PEM form."
    ),
    Option("upstream-key", "FILE", "", file_path, "That certificate's private key, in PEM form."),
    Option(
        "upstream-server-name",
        "NAME",
        "",
        file_path,
        "What the tier's certificate must hold, where that is not the name it is reached by.",
    ),
    Option(
        "resubscribe-rate",
        "N",
        "50",
        count,
        "Lost subscriptions opened again per second; 0 is no limit.",
    ),
    Option(
        "listen",
        "HOST:PORT",
        "127.0.0.1:8080",
        listen_address,
        "Where browsers connect; port 0 picks one.",
    ),
    Option(
        "admin-listen",
        "HOST:PORT",
        "",
        optional_address,
        "Where operators connect: /metrics, which is then here only, and health.",
    ),
    Option(
        "tls-cert",
        "FILE",
        "",
        file_path,
        "Serve browsers over TLS with this certificate and its chain, in PEM form.",
    ),
    Option("tls-key", "FILE", "", file_path, "The certificate's private key, in PEM form."),
    Option(
        "tls-client-ca",
        "FILE",
        "",
        file_path,
        "Turn clients away that no authority in this PEM file vouches for.",
    ),
    Option(
        "workers",
        "N",
        "1",
        workers,
        "Processes that share the port, each with subscriptions of its own.",
    ),
    Option("base-path", "PATH", "/api/v1/live", path, "Where the streams are."),
    Option(
        "forward-metadata",
        "NAME,…",
        "authorization",
        metadata_names,
        "Request headers that travel to the tier as metadata.",
    ),
    Option(
        "scope",
        "NAME,…",
        "",
        metadata_names,
        "Which of those sharing may depend on. Default: all but trace and request ids. "
        "A request without one that is named here is refused.",
    ),
    Option(
        "sharing",
        "on|off",
        "on",
        choice("on", "off"),
        "Whether equal queries of one scope share an upstream subscription.",
    ),
    Option(
        "allowed-origins",
        "ORIGIN,…",
        "",
        origins,
        "Pages served beside the listener's own, as https://app.example.",
    ),
    Option("max-connections", "N", "10000", count, "Open streams in all; 0 is no limit."),
    Option(
        "max-connections-per-ip", "N", "100", count, "Open streams for one address; 0 is no limit."
    ),
    Option(
        "accept-rate",
        "N",
        "0",
        count,
        "New streams per second, twice as many at once; the others get 503. 0 is no limit.",
    ),
    Option("max-rows", "N", "1000", count, "Largest window limit; 0 is no limit."),
    Option(
        "heartbeat-interval",
        "TIME",
        "15s",
        duration,
        "Silence after which an SSE stream gets a comment; 0 for none.",
    ),
    Option(
        "ping-interval",
        "TIME",
        "25s",
        duration,
        "Time between WebSocket pings, each to be answered within half of it; 0 for none.",
    ),
    Option(
        "stall-timeout",
        "TIME",
        "5s",
        duration,
        "A client that reads nothing for this long is cut; 0 never.",
    ),
    Option(
        "viewer-backlog",
        "SIZE",
        "256KiB",
        size,
        "Beyond it a slow client gets merged frames; 0 is no limit.",
    ),
    Option(
        "memory-limit",
        "SIZE",
        "auto",
        memory,
        "Near it newcomers are refused, then the slowest are cut; auto is the container's, 0 none.",
    ),
    Option(
        "linger",
        "TIME",
        "5s",
        duration,
        "How long an upstream call is kept after its last viewer.",
    ),
    Option(
        "open-timeout",
        "TIME",
        "10s",
        duration,
        "From a request to the tier's `started`, retries included.",
    ),
    Option(
        "max-staleness",
        "TIME",
        "60s",
        duration,
        "How long a window may stand without its tier; 0 is no limit.",
    ),
    Option(
        "keepalive",
        "compatible|fast",
        "compatible",
        choice("compatible", "fast"),
        "Pings to the tier: every 330 s, or, where its servers agree, every 10 s.",
    ),
    Option(
        "gather",
        "TIME",
        "4ms",
        duration,
        "How long messages may wait for each other on a connection to the tier that brings over"
        " 500 a second: a quarter less CPU for many distinct queries. 0 takes each at once.",
    ),
    Option(
        "wait-for-tier",
        "on|off",
        "off",
        choice("on", "off"),
        "Open the port only once a tier is reachable; else at once.",
    ),
    Option(
        "drain-timeout",
        "TIME",
        "15s",
        duration,
        "From SIGTERM to the end, whatever is left by then.",
    ),
    Option(
        "explorer",
        "on|off",
        "off",
        choice("on", "off"),
        "Serve the explorer page and the browser library.",
    ),
    Option(
        "log-format",
        "text|json",
        "text",
        choice("text", "json"),
        "How log lines look (on stderr).",
    ),
    Option(
        "log-level",
        "LEVEL",
        "info",
        choice("debug", "info", "warning", "error"),
        "The least that is logged.",
    ),
)

BY_KEY = {option.key: option for option in OPTIONS}
