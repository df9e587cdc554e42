"""PEM files of certificates and keys, read and checked with Python's ssl.

A TLS stack that is given unchecked files may accept them, and fail at a handshake without naming
the file.
"""

import ssl
from pathlib import Path


class TlsError(ValueError):
    """A certificate or key file that can't be used. The message names the file."""


def read_certificates(path: str) -> bytes:
    """Return a file of certificates. Blocks.

    Raises:
        TlsError: the file can't be read or holds no certificate.

    """
    pem = _read(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem_text(pem))
    except (ssl.SSLError, ValueError):
        raise TlsError(f"{path}: not a certificate in PEM form") from None
    return pem


def pem_text(pem: bytes) -> str:
    """Return what Python's ssl takes as `cadata`: PEM is ASCII, comments may be in any language."""
    return pem.decode("ascii", "ignore")


def load_key(context: ssl.SSLContext, cert: str, key: str) -> bytes:
    """Load a certificate and its key into a context; return the key's file. Blocks.

    Raises:
        TlsError: the key can't be read, is encrypted, or is not the certificate's.

    """

    def refuse_password() -> str:
        raise TlsError(f"{key}: the key is encrypted, and there is nobody to ask")

    pem = _read(key)
    try:
        context.load_cert_chain(cert, key, refuse_password)
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
