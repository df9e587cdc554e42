"""TLS of the listener: certificate files, checked before use, reloaded when they change.

A reload makes a new SSLContext and does not change the one in use. So a bad file never breaks
handshakes, and a CA that was removed from the client CA file is no longer trusted, in resumed
sessions either.
"""

import ssl
from dataclasses import dataclass

from bridge.tls.pem import load_key, pem_text, read_certificates
from bridge.tls.reloading import ReloadableFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerTlsFiles:
    """Paths of PEM files: the certificate with its chain, its key, and the CA of clients.

    With `client_ca` every client needs a certificate signed by one of these CAs.
    """

    cert: str
    key: str
    client_ca: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that are given."""
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
    """Return the SSLContext with a way to reload it; raises TlsError. Blocks."""
    return ReloadableFiles(files.paths, lambda: load(files), what="certificate")
