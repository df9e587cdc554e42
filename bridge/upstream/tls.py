"""TLS towards the tier: certificate files, read again when they change.

Files are checked with Python's ssl before gRPC sees them: gRPC takes anything and fails at the
handshake, without naming a file.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc

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
    ca = _read(files.ca) if files.ca else None
    if ca is not None and files.ca:
        _check_certificates(files.ca, ca)
    context = ssl.create_default_context(cadata=ca.decode("ascii", "replace") if ca else None)
    context.set_alpn_protocols(["h2"])
    if files.cert is None or files.key is None:
        return Tls(grpc.ssl_channel_credentials(ca), context)
    cert, key = _read(files.cert), _read(files.key)
    _check_certificates(files.cert, cert)
    _take_key(context, files.cert, files.key)
    return Tls(grpc.ssl_channel_credentials(ca, key, cert), context)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise TlsError(f"{path}: {error.strerror}") from None


def _check_certificates(path: str, pem: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem.decode("ascii", errors="replace"))
    except (ssl.SSLError, ValueError):
        raise TlsError(f"{path}: not a certificate in PEM form") from None


def _take_key(context: ssl.SSLContext, cert: str, key: str) -> None:
    def ask() -> str:
        raise TlsError(f"{key}: the key is encrypted; there is nobody to ask for its password")

    try:
        context.load_cert_chain(cert, key, ask)
    except (OSError, ValueError) as error:
        if isinstance(error, TlsError):
            raise
        raise TlsError(f"{key}: not the private key, in PEM form, of {cert}") from None


Credentials: TypeAlias = Renewal[Tls]


def credentials(files: TlsFiles) -> Credentials:
    """Return the credentials in use, to be renewed; raises TlsError. Blocks."""
    return Renewal(files.paths, lambda: load(files), what="TLS files")
