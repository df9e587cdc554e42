"""What a token costs to verify: when it is new, and when it is recalled. Microseconds, best run.

The yardstick is the signature check alone, by the library that does it: the rest is ours.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from bridge.web.auth.key_set import parse_keys, parse_secret
from bridge.web.auth.key_store import KeyStore
from bridge.web.auth.settings import AuthMode, AuthSettings, IssuerSettings
from bridge.web.auth.token_verifier import Issuer, TokenVerifier

_ISSUER: Final = IssuerSettings("https://issuer.example/", frozenset({"livequery"}), "keys")
_SECRET: Final = b"a secret of more than thirty-two bytes"
_RUNS: Final = 40
_AT_ONCE: Final = 100


class TokenCost(NamedTuple):
    """Microseconds for one algorithm."""

    algorithm: str
    signature: float
    """The signature check alone."""
    first: float
    """A token that was not seen before, all included."""
    recalled: float
    """The same token again."""


def measure() -> list[TokenCost]:
    """Measure every kind of key."""
    private = {
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        "HS256": _SECRET,
    }
    return [_measure(algorithm, key) for algorithm, key in private.items()]


def _measure(algorithm: str, key: object) -> TokenCost:
    now = int(time.time())
    claims = {"iss": _ISSUER.issuer, "aud": "livequery", "sub": "alice", "iat": now}
    text = jwt.encode({**claims, "exp": now + 3600, "tenant": "acme"}, key, algorithm)  # type: ignore[arg-type]
    if isinstance(key, bytes):
        public, keys = key, parse_secret(key, ())
    else:
        public = key.public_key()  # type: ignore[attr-defined]
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        keys = parse_keys(public.public_bytes(serialization.Encoding.PEM, form), ())  # type: ignore[union-attr]
    settings = AuthSettings(mode=AuthMode.JWT, issuers=(_ISSUER,))
    store = KeyStore(_NoSource(), first=keys)
    verifier = TokenVerifier(settings, [Issuer(_ISSUER, store)], clock=time.time)
    signed, _, signature = text.rpartition(".")
    raw = jwt.utils.base64url_decode(signature)
    check = jwt.get_algorithm_by_name(algorithm).verify

    def first() -> None:
        for forget in store.on_changed:  # what was accepted before
            forget()
        verifier.verify(text)

    return TokenCost(
        algorithm,
        _best(lambda: check(signed.encode(), public, raw)),
        _best(first),
        _best(lambda: verifier.verify(text)),
    )


class _NoSource:
    interval = 0.0

    async def read(self) -> None:
        """Never called."""


def _best(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(_RUNS):
        began = time.perf_counter()
        for _ in range(_AT_ONCE):
            work()
        best = min(best, (time.perf_counter() - began) / _AT_ONCE)
    return best * 1e6
