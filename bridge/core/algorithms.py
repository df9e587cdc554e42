"""Algorithms: the names of signature algorithms that tokens may have (RFC 7518 §3.1, RFC 8037)."""

from typing import Final

ASYMMETRIC: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
SYMMETRIC: Final = ("HS256", "HS384", "HS512")
"""Those whose key is a secret."""
ALGORITHMS: Final = (*ASYMMETRIC, *SYMMETRIC)
DEFAULT_ALGORITHMS: Final = frozenset({"RS256", "ES256", "EdDSA", "HS256"})
"""The usual one of each kind of key."""
