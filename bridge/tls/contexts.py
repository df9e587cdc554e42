"""SSL contexts made from certificate files, one maker for each side.

Reloaded files make a new context; a context in use is never changed. Half-read files must not
break handshakes. A CA that was removed from a file must not stay trusted, and no TLS session that
it vouched for may be resumed.

The verify flags are set here because Python's defaults differ by version: since 3.13
`ssl.create_default_context` refuses CA certificates without a keyUsage extension.
"""

import ssl
from dataclasses import dataclass
from typing import Final

from .pem import TlsError, load_key, pem_text, read_certificates

SERVER_VERIFY_FLAGS: Final = ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST
CLIENT_VERIFY_FLAGS: Final = (
    ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
)
"""As gRPC's own channels, which connect to the same servers with the same CA file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files; None where there is no such file.

    `ca`: the CA certificates that the peer's certificate must be signed by. `cert`: our
    certificate with its chain. `key`: its private key.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that are named."""
        return tuple(path for path in (self.ca, self.cert, self.key) if path)


@dataclass(frozen=True, slots=True)
class LoadedTls:
    """A context, and the checked bytes of its files for a TLS stack that is not Python's."""

    context: ssl.SSLContext
    ca: bytes | None
    cert: bytes | None
    key: bytes | None


def load_server(files: TlsFiles) -> LoadedTls:
    """Load the listener's context. With `ca`, client certificates are required. Blocks.

    Raises:
        TlsError: a file can't be used.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_flags = SERVER_VERIFY_FLAGS
    context.set_alpn_protocols(["http/1.1"])
    cert, key = _load_certificate(context, files)
    ca = read_certificates(files.ca) if files.ca else None
    if ca is not None:
        context.load_verify_locations(cadata=pem_text(ca))
        context.verify_mode = ssl.CERT_REQUIRED
    return LoadedTls(context, ca, cert, key)


def load_client(files: TlsFiles) -> LoadedTls:
    """Load a context for HTTP/2 to the tier. Without `ca`, the system's roots are trusted. Blocks.

    Raises:
        TlsError: a file can't be used.

    """
    ca = read_certificates(files.ca) if files.ca else None
    context = ssl.create_default_context(cadata=pem_text(ca) if ca else None)
    context.verify_flags = CLIENT_VERIFY_FLAGS
    context.set_alpn_protocols(["h2"])
    cert, key = _load_certificate(context, files)
    return LoadedTls(context, ca, cert, key)


def _load_certificate(
    context: ssl.SSLContext, files: TlsFiles
) -> tuple[bytes, bytes] | tuple[None, None]:
    """Load our certificate and key, if there are any, and set the lowest TLS version."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.cert and files.key:
        return read_certificates(files.cert), load_key(context, files.cert, files.key)
    if files.cert or files.key:
        raise TlsError(f"{files.cert or files.key}: a certificate and its key go together")
    return None, None
