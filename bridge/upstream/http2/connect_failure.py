"""Connect failure: why a connection can't be made, in an operator's words.

Python's and OpenSSL's errors name what happened to a socket; these name what is wrong with the way
to the tier, as far as the bytes show it.
"""

import errno
import socket
import ssl
from typing import Final

# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_WRONG_NAME: Final = (62, 64)
# What OpenSSL says where the peer's first bytes are no TLS record.
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH")
_CLIENT_CERTIFICATE: Final = ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA")
_ERRORS: Final = {
    errno.ECONNREFUSED: "connection refused: nothing listens on that port",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to the network",
    errno.ENOENT: "there is no such Unix socket",
    errno.EACCES: "the Unix socket may not be used",
    errno.ECONNRESET: "the connection was reset while it was set up",
    errno.EMFILE: "no file descriptor is left",
}
_ENDED: Final = "the peer closes the connection at once"
_TLS_RECORD: Final = (b"\x15\x03", b"\x16\x03")
"""How an alert and a handshake of TLS begin."""
NO_HTTP2: Final = "the peer speaks TLS, and no HTTP/2"
NO_ANSWER: Final = "no connection in time"


def explain(error: OSError | UnicodeError) -> str:
    """Return why a connection failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _WRONG_NAME:
            return f"the certificate is for another name: {error.verify_message}"
        return f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return _explain_tls(error)
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"the name can't be resolved: {getattr(error, 'strerror', None) or error}"
    known = _ERRORS.get(error.errno or 0)
    return known or f"no connection: {error.strerror or error or type(error).__name__}"


def explain_end(tls: bool) -> str:  # noqa: FBT001 - what the connection is
    """Return why a connection may have ended before the peer's first settings."""
    if tls:
        return f"{_ENDED}, after the TLS handshake: it may want a client certificate"
    return f"{_ENDED}: it speaks no HTTP/2, or only TLS"


def explain_first_bytes(data: bytes) -> str | None:
    """Return what the peer speaks if its first bytes are another protocol's; None for HTTP/2."""
    if data.startswith(b"HTTP/"):
        line = data.partition(b"\r\n")[0][:60].decode("ascii", "backslashreplace")
        return f"an HTTP/1 server answers there, and no gRPC: {line!r}"
    if data.startswith(_TLS_RECORD):
        return "the peer speaks TLS there: --upstream-tls or --upstream-ca is missing"
    return None


def _explain_tls(error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if any(known in reason for known in _NO_TLS):
        return "the peer speaks no TLS there: is it plain text?"
    if any(known in reason for known in _CLIENT_CERTIFICATE):
        return f"the peer does not accept our client certificate: {reason}"
    return f"the TLS handshake failed: {reason or error}"
