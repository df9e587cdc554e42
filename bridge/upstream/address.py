"""Addresses: where an operator says the tier is, and where one replica listens."""

import re
from dataclasses import dataclass
from typing import Final

DNS: Final = "dns:///"


@dataclass(frozen=True, slots=True)
class ReplicaAddress:
    """Where one replica listens.

    `address` is what gRPC dials and operators read: `HOST:PORT` or `unix:/PATH`. `host` and `port`
    are the name it was found by, if it was found by one: what its certificate must hold and what
    it is asked as, so that a proxy before it sees the service's name and no number.
    """

    address: str
    host: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class ServiceName:
    """A name whose every address is a replica."""

    host: str
    port: int

    def at(self, numeric: str) -> ReplicaAddress:
        """Return the replica at one of the name's addresses."""
        host = f"[{numeric}]" if ":" in numeric else numeric
        return ReplicaAddress(f"{host}:{self.port}", self.host, self.port)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse(text: str) -> ReplicaAddress | ServiceName:
    """Read an address: `HOST:PORT` or `unix:/PATH` is one replica, `dns:///NAME:PORT` many.

    A host name in `HOST:PORT` stays one replica: gRPC dials whichever of its addresses answers.

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
