"""base64url without padding (RFC 7515 §2), in its one canonical form."""

import base64
import binascii
from typing import Final

# What only base64 has is odd here; `strict_mode` refuses what no alphabet has.
_TO_BASE64: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING: Final = (b"", b"===", b"==", b"=")
_LAST: Final = (None, b"", b"AQgw", b"AEIMQUYcgkosw048")
"""By what is left of a division by four: last characters that set no unused bit."""


def encode_base64url(data: bytes) -> str:
    """Encode."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    """Decode.

    Raises:
        binascii.Error: another text of the same bytes, or of none: odd characters, padding, or
            unused bits that are set.
        ValueError: odd characters that are not ASCII.

    """
    coded = text.encode("ascii")
    left = len(coded) % 4
    last = _LAST[left]
    if last is not None and coded[-1] not in last:
        raise binascii.Error("not canonical")
    return binascii.a2b_base64(coded.translate(_TO_BASE64) + _PADDING[left], strict_mode=True)
