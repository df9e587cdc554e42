"""Digest: a checksum of a window, with which a client verifies its own (docs/wire.md §5)."""

import zlib
from collections.abc import Callable, Iterable
from typing import TypeAlias

from .frame import Frame

_JS_SAFE = 2**53 - 1

DigestFunction: TypeAlias = Callable[[], str | None]
"""Returns the digest of the current window; None where the window has no order (streamed)."""


def digest(rows: Iterable[Frame]) -> str:
    """Return the CRC-32 over id and version of the rows, in order, as 8 hex digits.

    A version beyond ±(2^53 - 1) counts as 0: JavaScript loses its digits.
    """
    text = "".join(
        [
            f"{row.agg_id}\n{row.version if -_JS_SAFE <= row.version <= _JS_SAFE else 0}\n"
            for row in rows
        ]
    )
    return f"{zlib.crc32(text.encode()):08x}"
