"""TLS towards the tier: certificate files, checked before use, read again when they change."""

import ssl
from dataclasses import dataclass
from typing import TypeAlias

import grpc

from bridge.tls.pem import load_key, pem_text, read_certificates
from bridge.tls.reloading import ReloadableFiles, TlsError


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTlsFiles:
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
class UpstreamTls:
    """What the files make: for grpc's channels, and for connections of our own."""

    channel: grpc.ChannelCredentials
    context: ssl.SSLContext


def load(files: UpstreamTlsFiles) -> UpstreamTls:
    """Read and check the files; raises TlsError. Blocks."""
    if (files.cert is None) != (files.key is None):
        raise TlsError(f"{files.cert or files.key}: a certificate and its key go together")
    ca = read_certificates(files.ca) if files.ca else None
    context = ssl.create_default_context(cadata=pem_text(ca) if ca else None)
    context.set_alpn_protocols(["h2"])
    if files.cert is None or files.key is None:
        return UpstreamTls(grpc.ssl_channel_credentials(ca), context)
    cert, key = read_certificates(files.cert), load_key(context, files.cert, files.key)
    return UpstreamTls(grpc.ssl_channel_credentials(ca, key, cert), context)


Credentials: TypeAlias = ReloadableFiles[UpstreamTls]


def credentials(files: UpstreamTlsFiles) -> Credentials:
    """Return the credentials in use, to be renewed; raises TlsError. Blocks."""
    return ReloadableFiles(files.paths, lambda: load(files), what="TLS files")
