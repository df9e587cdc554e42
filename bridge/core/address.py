"""Addresses of the tier: the grammar of `--upstream`, and the address of one replica."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

DNS: Final = "dns:///"
_UNIX: Final = "unix:"
_MAX_PORT: Final = 65_535
_MAX_NAME: Final = 253
# RFC 1123, section 2.1, and the underscore that container networks use.
_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
# A host that ends like this is an IPv4 address, as in URLs (WHATWG URL, "ends in a number").
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/+(.*)", re.DOTALL)
# Names of gRPC that mean what a plain address means, and how it is spelt here.
_PLAIN_SCHEMES: Final = ("ipv4:", "ipv6:")
_FORMS: Final = "HOST:PORT, dns:///NAME:PORT or unix:/PATH"


@dataclass(frozen=True, slots=True)
class ReplicaAddress:
    """The address of one replica.

    `address` is what is connected to, and what operators read: `HOST:PORT` or `unix:/PATH`. `host`
    and `port` are the service name that resolved to it; empty without one. The certificate must
    match this name, and requests carry it as their authority: a proxy in between sees the
    service's name.
    """

    address: str
    host: str = ""
    port: int = 0

    @property
    def unix_path(self) -> str | None:
        """The path of the Unix socket; None if it is no such address."""
        if not self.address.startswith(_UNIX):
            return None
        return self.address.removeprefix(_UNIX).removeprefix("//")

    @property
    def target(self) -> tuple[str, int]:
        """What is resolved and connected to: host and port. Not for Unix sockets."""
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def tls_name(self) -> str:
        """The name that its certificate must hold, unless another one is configured."""
        if self.unix_path is not None:
            return "localhost"
        return (self.host or self.target[0]).removesuffix(".")  # RFC 6066, section 3

    @property
    def authority(self) -> str:
        """The `:authority` of requests, unless another name is configured (RFC 3986, 3.2)."""
        if self.host:
            return f"{_bracket(self.host)}:{self.port}"
        if self.unix_path is not None:
            return "localhost"
        host, port = self.target
        return f"{_bracket(host.partition('%')[0])}:{port}"  # RFC 6874: a zone stays on its host


@dataclass(frozen=True, slots=True)
class ServiceName:
    """A DNS name; every address it resolves to is a replica."""

    host: str
    port: int

    @property
    def address(self) -> str:
        """The name as `--upstream` takes it: `dns:///NAME:PORT`."""
        return f"{DNS}{_bracket(self.host)}:{self.port}"

    def at(self, numeric: str) -> ReplicaAddress:
        """Return the replica at one numeric address of the name."""
        return ReplicaAddress(f"{_bracket(numeric)}:{self.port}", self.host, self.port)

    def __str__(self) -> str:
        return f"{_bracket(self.host)}:{self.port}"


TierAddress: TypeAlias = ReplicaAddress | ServiceName
"""What an operator may name as the tier; `address` is its text."""


def parse_address(text: str) -> TierAddress:
    """Parse an address: `HOST:PORT` or `unix:/PATH` is one replica, `dns:///NAME:PORT` many.

    HOST is a name, an IPv4 address of four numbers, or an IPv6 address in brackets. A name in
    `HOST:PORT` stays one replica: the first of its addresses that answers is used.

    Raises:
        ValueError: the text is none of these; the message quotes it, and names the right spelling
            where there is one.

    """
    if text.startswith(_UNIX):
        return _parse_unix(text)
    if text.startswith(DNS):
        host, port = _host_and_port(text, text.removeprefix(DNS), prefix=DNS)
        return ServiceName(host, port)
    _refuse_scheme(text)
    _host_and_port(text, text)
    return ReplicaAddress(text)


def format_addresses(addresses: Iterable[TierAddress]) -> str:
    """Return the addresses as `--upstream` takes them, separated by commas."""
    return ",".join(address.address for address in addresses)


def _parse_unix(text: str) -> ReplicaAddress:
    address = ReplicaAddress(text)
    path = address.unix_path
    if not path or "\0" in path:
        raise ValueError(f"{text!r}: a Unix socket needs a path, as in unix:/run/tier.sock")
    if text.startswith("unix://") and not path.startswith("/"):
        raise ValueError(f"{text!r}: an absolute path is needed, as in unix:/{path}")
    return address


def _refuse_scheme(text: str) -> None:
    """Raise ValueError for gRPC's and browsers' other spellings; the message has ours."""
    for scheme in _PLAIN_SCHEMES:
        if text.startswith(scheme):
            raise ValueError(f"{text!r}: write it without {scheme!r}: {text.removeprefix(scheme)}")
    if text.startswith("dns:"):
        rest = text.removeprefix("dns:")
        if rest.startswith("//"):
            raise ValueError(
                f"{text!r}: the system's resolver is asked, no other: dns:///NAME:PORT"
            )
        raise ValueError(f"{text!r}: write {DNS}{rest.lstrip('/')}")
    if scheme_found := _SCHEME.match(text):
        name, rest = scheme_found.groups()
        hint = rest.split("/")[0]
        raise ValueError(f"{text!r}: an address has no {name!r}; it is {_FORMS}, as in {hint!r}")


def _host_and_port(text: str, address: str, *, prefix: str = "") -> tuple[str, int]:
    """Return host, without brackets, and port. Raises ValueError, which quotes `text`."""
    if any(character.isspace() for character in address):
        raise ValueError(f"{text!r}: an address has no space; several are separated by commas")
    host, colon, port = address.rpartition(":")
    if not colon or not host or "/" in address or not port:
        raise ValueError(f"{text!r} is no address of a tier: {_FORMS}")
    if ":" in host and not host.startswith("["):
        raise ValueError(f"{text!r}: an IPv6 address is in brackets{_spell_ipv6(address, prefix)}")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _MAX_PORT):
        raise ValueError(f"{text!r}: {port!r} is no port; it is a number from 1 to {_MAX_PORT}")
    return _checked_host(text, host), int(port)


def _spell_ipv6(address: str, prefix: str) -> str:
    """Return how an IPv6 address without brackets is spelt, if its last part may be a port."""
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdigit()) or not _is_ip(host, ipaddress.IPv6Address):
        return ""
    return f": {prefix}[{host}]:{port}"


def _checked_host(text: str, host: str) -> str:
    if host.startswith("["):
        inner = host[1:-1]
        if not host.endswith("]") or not _is_ip(inner, ipaddress.IPv6Address):
            raise ValueError(f"{text!r}: {host!r} is no IPv6 address")
        return inner
    if not host.isascii():
        raise ValueError(f"{text!r}: {host!r} is not ASCII{_spell_ascii(host)}")
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        if not _is_ip(host, ipaddress.IPv4Address):
            raise ValueError(
                f"{text!r}: {host!r} is no IPv4 address; it has four numbers, as in 127.0.0.1"
            )
    elif len(host) > _MAX_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(f"{text!r}: {host!r} is no host name")
    return host


def _spell_ascii(host: str) -> str:
    """Return how an international name is spelt in ASCII (RFC 5891), as part of a message."""
    try:
        return f": write {host.encode('idna').decode()}"
    except UnicodeError:
        return ""


def _is_ip(text: str, kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host
