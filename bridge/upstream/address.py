"""Addresses of the tier: as an operator names it, and of one replica."""

import re
from dataclasses import dataclass
from typing import Final

DNS: Final = "dns:///"


@dataclass(frozen=True, slots=True)
class ReplicaAddress:
    """Where one replica listens.

    `target` is what gRPC connects to and operators read: `HOST:PORT` or `unix:/PATH`. `host` and
    `port` are set if the replica was found by a service name: its certificate must hold that host,
    and requests carry both as `:authority`, so that a proxy sees the service's name.
    """

    target: str
    host: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class ServiceName:
    """A name that resolves to the addresses of all replicas."""

    host: str
    port: int

    def replica(self, ip: str) -> ReplicaAddress:
        """Return the replica at one of the name's IP addresses."""
        host = f"[{ip}]" if ":" in ip else ip
        return ReplicaAddress(f"{host}:{self.port}", self.host, self.port)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_address(text: str) -> ReplicaAddress | ServiceName:
    """Parse an address: `HOST:PORT` or `unix:/PATH` is one replica, `dns:///NAME:PORT` is many.

    A host name in `HOST:PORT` stays one replica: a connection goes to any of its IP addresses.

    Raises:
        ValueError: it is none of these; the message quotes it.

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
