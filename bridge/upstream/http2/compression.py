"""Compression: messages of a server that compresses unasked. Pure; no I/O.

Only identity is offered upstream. Servers on gRPC's C core with a default compression send gzip or
deflate even so ("Compression" in gRPC's documentation; deflate is RFC 1950).

Invariants: a message is kept as it arrived until it is read, so that a buffer of WINDOW bytes is
one; never more than `max_size` bytes and one are made of it.
"""

import zlib
from typing import ClassVar, Final

from .status import CallStatus, MessageRefusedError

IDENTITY: Final = "identity"
_MAX_NAME: Final = 40
"""Characters of an unknown coding that are quoted."""


class CompressedMessage(bytes):
    """A message as it arrived: still compressed."""

    __slots__ = ()
    WINDOW_BITS: ClassVar[int]
    """The format, as zlib.decompressobj has it."""


class GzipMessage(CompressedMessage):
    """A message in gzip (RFC 1952)."""

    __slots__ = ()
    WINDOW_BITS = zlib.MAX_WBITS + 16


class DeflateMessage(CompressedMessage):
    """A message in deflate (RFC 1950)."""

    __slots__ = ()
    WINDOW_BITS = zlib.MAX_WBITS


_CODINGS: Final[dict[str, type[CompressedMessage]]] = {
    "gzip": GzipMessage,
    "deflate": DeflateMessage,
}


def coding_of(flag: int, name: str) -> type[CompressedMessage]:
    """Return the kind of a message with a flag other than 0, in the call's `grpc-encoding`.

    Raises MessageRefusedError if it can't be read.
    """
    coding = _CODINGS.get(name)
    if flag != 1 or coding is None:
        what = f"a message compressed as {name[:_MAX_NAME]!r}" if flag == 1 else f"the flag {flag}"
        raise MessageRefusedError(
            CallStatus("INTERNAL", f"{what}: only gzip and deflate can be read")
        )
    return coding


def decompress(message: bytes, max_size: int) -> bytes:
    """Return what a CompressedMessage holds; other messages as they are.

    Raises MessageRefusedError if it holds more than `max_size` bytes, or can't be read.
    """
    if not isinstance(message, CompressedMessage):
        return message
    stream = zlib.decompressobj(message.WINDOW_BITS)
    try:
        plain = stream.decompress(message, max_size + 1)
    except zlib.error as error:
        raise MessageRefusedError(CallStatus("INTERNAL", f"a bad message: {error}")) from None
    if len(plain) > max_size:
        text = f"Received message larger than max (once decompressed, {max_size})"
        raise MessageRefusedError(CallStatus("RESOURCE_EXHAUSTED", text))
    if not stream.eof or stream.unused_data:
        raise MessageRefusedError(CallStatus("INTERNAL", "a bad message: its length is wrong"))
    return plain
