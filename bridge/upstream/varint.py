"""Varint: numbers as they are on the wire (Protocol Buffers, Encoding), in 64 bits at most.

A number is two's complement here, whatever its field says of its sign.
"""

import contextlib
from typing import Final

with contextlib.suppress(ImportError):  # it is there while this is compiled, and not looked up then
    from mypy_extensions import i64

_MORE: Final = 0x80
"""The bit of a byte after which more bytes of a number come."""
_LAST_SHIFT: Final = 63
_GREATEST: Final = 0x7FFF_FFFF_FFFF_FFFF
_MAX_LENGTH: Final = 0x7FFF_FFFF
_SIGN_32: Final = 0x8000_0000
_BITS_32: Final = 0xFFFF_FFFF


class NotPlainError(Exception):
    """What protobuf has to judge."""


def read_varint(data: bytes, at: "i64", end: "i64") -> "tuple[i64, i64]":
    """Return a number, and where it ends. Raises NotPlainError."""
    if at >= end:
        raise NotPlainError
    byte: i64 = data[at]
    at += 1
    if byte < _MORE:
        return byte, at
    value: i64 = byte - _MORE
    shift: i64 = 7
    while shift < _LAST_SHIFT:
        if at >= end:
            raise NotPlainError
        byte = data[at]
        at += 1
        if byte < _MORE:
            return value | byte << shift, at
        value |= (byte - _MORE) << shift
        shift += 7
    return _with_sign(value, data, at, end)


def _with_sign(value: "i64", data: bytes, at: "i64", end: "i64") -> "tuple[i64, i64]":
    """Add the 64th bit, which is a byte of its own."""
    if at >= end or data[at] > 1:
        raise NotPlainError
    return (value - _GREATEST - 1 if data[at] else value), at + 1


def read_length(data: bytes, at: "i64", end: "i64") -> "tuple[i64, i64]":
    """Return the length of a field that lies within `end`, and where its content begins."""
    length, at = read_varint(data, at, end)
    if not 0 <= length <= _MAX_LENGTH or at + length > end:
        raise NotPlainError
    return length, at


def uint64(value: "i64") -> int:
    """Return a number as one without a sign."""
    number: int = value
    return number if number >= 0 else number + 2**64


def int32(value: "i64") -> "i64":
    """Return the number that its last 32 bits are."""
    value &= _BITS_32
    return value - _BITS_32 - 1 if value >= _SIGN_32 else value


def sint32(value: "i64") -> "i64":
    """Return the number that its last 32 bits are in zigzag."""
    value &= _BITS_32
    return (value >> 1) ^ -(value & 1)
