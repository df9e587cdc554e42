"""Addresses of the tier: the grammar of `--upstream`, and the address of one replica."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

DNS: Final = "dns:///"


@dataclass(frozen=True, slots=True)
class ReplicaAddress:
    """The address of one replica.

    `address` is what gRPC dials and operators read: `HOST:PORT` or `unix:/PATH`. `host` and `port`
    are the service name that resolved to it; empty without one. The certificate must match this
    name, and requests carry it as their authority: a proxy in between sees the service's name.
    """

    address: str
    host: str = ""
    port: int = 0


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
        return f"{self.host}:{self.port}"


TierAddress: TypeAlias = ReplicaAddress | ServiceName
"""What an operator may name as the tier; `address` is its text."""


def parse_address(text: str) -> TierAddress:
    """Parse an address: `HOST:PORT` or `unix:/PATH` is one replica, `dns:///NAME:PORT` many.

    A host name in `HOST:PORT` stays one replica: gRPC dials any of its addresses that answers.

    Raises:
        ValueError: the text is none of these; the message quotes it.

    """
    if text.startswith("unix:"):
        if text == "unix:":
            raise ValueError(f"{text!r}: a Unix socket needs a path, as in unix:/run/tier.sock")
        return ReplicaAddress(text)
    host, colon, port = text.removeprefix(DNS).rpartition(":")
    if not colon or not host or "/" in host or not re.fullmatch(r"\d{1,5}", port):
        raise ValueError(
            f"{text!r} is no address of a tier: HOST:PORT, dns:///NAME:PORT or unix:/PATH"
        )
    if text.startswith(DNS):
        return ServiceName(host.strip("[]"), int(port))
    return ReplicaAddress(text)


def format_addresses(addresses: Iterable[TierAddress]) -> str:
    """Return the addresses as `--upstream` takes them, separated by commas."""
    return ",".join(address.address for address in addresses)


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host
