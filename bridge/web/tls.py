"""TLS of the listener: certificate files, checked before use, read again when they change.

A renewed certificate makes a new SSLContext, never a change of the one in use: a file that turns
out bad half-way must not break handshakes, and an authority that was taken out of the client CA
file must not stay trusted, nor a session be resumed that it vouched for.
"""

import ssl
from dataclasses import dataclass

from bridge.tls.pem import load_key, pem_text, read_certificates
from bridge.tls.reloading import ReloadableFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerTlsFiles:
    """Paths of PEM files: certificate (with its chain), its key, and who may vouch for clients.

    With `client_ca` a client without a certificate of one of these authorities is turned away.
    """

    cert: str
    key: str
    client_ca: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files named."""
        return tuple(path for path in (self.cert, self.key, self.client_ca) if path)


def load(files: ListenerTlsFiles) -> ssl.SSLContext:
    """Read and check the files; raises TlsError. Blocks."""
    read_certificates(files.cert)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_key(context, files.cert, files.key)
    if files.client_ca:
        context.load_verify_locations(cadata=pem_text(read_certificates(files.client_ca)))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def reloadable_certificate(files: ListenerTlsFiles) -> ReloadableFiles[ssl.SSLContext]:
    """Return the context in use, to be renewed; raises TlsError. Blocks."""
    return ReloadableFiles(files.paths, lambda: load(files), what="certificate")
