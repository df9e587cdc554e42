"""base64url without padding (RFC 7515 §2), in its one canonical form."""

import base64
import binascii


def encode_base64url(data: bytes) -> str:
    """Encode."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    """Decode.

    Raises:
        binascii.Error: another text of the same bytes, or of none: odd characters, padding, or
            unused bits that are set.

    """
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_")
    if encode_base64url(data) != text:
        raise binascii.Error("not canonical")
    return data
