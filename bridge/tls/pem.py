"""PEM files of certificates and keys, read and checked with Python's ssl.

Whoever is given them later may take anything, and fail at a handshake without naming a file.
"""

import ssl
from pathlib import Path

from .reloading import TlsError


def read_certificates(path: str) -> bytes:
    """Read a file of certificates; raises TlsError where it can't be read or holds none. Blocks."""
    pem = _read(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem_text(pem))
    except (ssl.SSLError, ValueError):
        raise TlsError(f"{path}: not a certificate in PEM form") from None
    return pem


def pem_text(pem: bytes) -> str:
    """Return what Python's ssl takes as `cadata`: comments may be in any language, PEM is ASCII."""
    return pem.decode("ascii", "ignore")


def load_key(context: ssl.SSLContext, cert: str, key: str) -> bytes:
    """Have a context show a certificate; returns its key. Raises TlsError. Blocks."""

    def ask() -> str:
        raise TlsError(f"{key}: the key is encrypted, and there is nobody to ask")

    pem = _read(key)
    try:
        context.load_cert_chain(cert, key, ask)
    except TlsError:
        raise
    except (OSError, ValueError):
        raise TlsError(f"{key}: not the private key, in PEM form, of {cert}") from None
    return pem


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise TlsError(f"{path}: {error.strerror}") from None
