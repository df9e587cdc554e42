"""Tickets: a credential for one use in a URL, where a browser can set no header.

A ticket is sealed with AES-256-GCM, which encrypts and signs: whoever holds one can neither read
nor change it. It carries the credential itself, so that any replica with the same key can take it.

Invariants: a ticket is taken once in a process, within TICKET_LIFE seconds, and for the origin that
asked for it.
"""

import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from bridge.core.errors import Failed, Kind

from .base64url import decode_base64url, encode_base64url

PREFIX: Final = "lqt_"
"""How tickets begin, so that logs can strike them out wherever they stand."""
TICKET_LIFE: Final = 50.0
"""Seconds: less than the 60 that are promised, since clocks differ."""
_PURPOSE: Final = b"livequery-bridge ticket 1"
_NONCE: Final = 12
_OWN: Final = ""
"""The listener's own origin, as a ticket names it; a request without Origin counts as of it."""


class TicketContent(msgspec.Struct, frozen=True, array_like=True):
    """What a ticket carries."""

    expires_at: float
    origin: str
    token: str | None
    """The token of `jwt` mode."""
    headers: list[tuple[str, str]]
    """The header fields that would be forwarded."""


class Tickets:
    """Seals and redeems. `key`: shared by replicas. `clock`: seconds since the epoch."""

    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        # Where there are no tickets, none of this is needed.
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

        self._unreadable = (ValueError, InvalidTag, msgspec.DecodeError)
        kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE)
        self._cipher = AESGCM(kdf.derive(key))
        self._clock = clock
        self._used: dict[bytes, float] = {}
        """Nonces of the tickets that were taken, with their ends, oldest first."""

    def issue(
        self, token: str | None, headers: list[tuple[str, str]], foreign_origin: str | None
    ) -> tuple[str, float]:
        """Seal a credential; return the ticket and when it ends."""
        expires_at = self._clock() + TICKET_LIFE
        content = TicketContent(expires_at, foreign_origin or _OWN, token, headers)
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, msgspec.msgpack.encode(content), _PURPOSE)
        return PREFIX + encode_base64url(sealed), expires_at

    def redeem(self, ticket: str, foreign_origin: str | None) -> TicketContent:
        """Take a ticket, which is used up. Raises Failed (UNAUTHENTICATED)."""
        nonce, content = self._open(ticket)
        now = self._clock()
        if now >= content.expires_at:
            raise _refused("the ticket is too old")
        if content.origin != (foreign_origin or _OWN):
            raise _refused("the ticket is of another origin")
        self._forget_old(now)
        if nonce in self._used:
            raise _refused("the ticket was used before")
        self._used[nonce] = content.expires_at
        return content

    def _open(self, ticket: str) -> tuple[bytes, TicketContent]:
        prefix, text = ticket[: len(PREFIX)], ticket[len(PREFIX) :]
        try:
            sealed = decode_base64url(text if prefix == PREFIX else "")
            nonce = sealed[:_NONCE]
            plain = self._cipher.decrypt(nonce, sealed[_NONCE:], _PURPOSE)
            return nonce, msgspec.msgpack.decode(plain, type=TicketContent)
        except self._unreadable:
            raise _refused("this is no ticket") from None

    def _forget_old(self, now: float) -> None:
        while self._used and self._used[oldest := next(iter(self._used))] <= now:
            del self._used[oldest]


def _refused(message: str) -> Failed:
    return Failed(Kind.UNAUTHENTICATED, message, field="ticket")
