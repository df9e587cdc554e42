"""TLS towards the tier: certificate files, checked before use, read again when they change."""

import ssl
from dataclasses import dataclass
from typing import TypeAlias

import grpc

from bridge.pem import certificates, take_key, text
from bridge.renewal import Renewal, TlsError


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """What TLS to the tier is made of: paths of PEM files.

    `ca` is whom to trust, None for the system's roots (Reanchor and health: gRPC's built-in ones).
    `cert` (with its chain) and `key` are shown to a tier that asks who we are; both or neither.
    `server_name` is what the tier's certificate must hold, where that is not the name it is
    reached by.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files named."""
        return tuple(path for path in (self.ca, self.cert, self.key) if path)


@dataclass(frozen=True, slots=True)
class Tls:
    """What the files make: for grpc's channels, and for connections of our own."""

    channel: grpc.ChannelCredentials
    context: ssl.SSLContext


def load(files: TlsFiles) -> Tls:
    """Read and check the files; raises TlsError. Blocks."""
    if (files.cert is None) != (files.key is None):
        raise TlsError(f"{files.cert or files.key}: a certificate and its key go together")
    ca = certificates(files.ca) if files.ca else None
    context = ssl.create_default_context(cadata=text(ca) if ca else None)
    context.set_alpn_protocols(["h2"])
    if files.cert is None or files.key is None:
        return Tls(grpc.ssl_channel_credentials(ca), context)
    cert, key = certificates(files.cert), take_key(context, files.cert, files.key)
    return Tls(grpc.ssl_channel_credentials(ca, key, cert), context)


Credentials: TypeAlias = Renewal[Tls]


def credentials(files: TlsFiles) -> Credentials:
    """Return the credentials in use, to be renewed; raises TlsError. Blocks."""
    return Renewal(files.paths, lambda: load(files), what="TLS files")
