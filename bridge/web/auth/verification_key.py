"""VerificationKey: one key of an issuer, bound to the algorithms that it may verify with.

The algorithm is the key's, never the token's choice: a token that names another one is refused
before anything is computed (RFC 8725 §3.1).
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from bridge.core.algorithms import ASYMMETRIC, SYMMETRIC

MIN_RSA_BITS: Final = 2048
MIN_SECRET: Final = 32
"""Bytes (RFC 7518 §3.2: as long as the hash)."""
_PUBLIC_FORMS: Final = re.compile(
    rb"-----BEGIN |\A\s*(?:ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+ AAAA|\A\s*\{[^\0]*\"kty\""
)
"""PEM, a line of OpenSSH, JWK."""
_BY_CURVE: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class BadKey(ValueError):  # noqa: N818 - KeyError is another thing
    """A key, or a set of keys, can't be used; the message says why."""


class VerificationKey:
    """A public key, or a secret (bytes). `kid`: its name in tokens, None where it has none."""

    __slots__ = ("_key", "algorithms", "kid")

    def __init__(
        self, key: Any, *, kid: str | None, allowed: Iterable[str], named: str | None = None
    ) -> None:
        """Bind a key. `allowed`: algorithms of the issuer; `named`: the only one, if a JWK says so.

        Raises:
            BadKey: the key is weak, or of a kind that nothing is verified with.

        """
        self._key = key
        self.kid = kid
        fitting = frozenset(_fitting(key)).intersection(allowed)
        self.algorithms = fitting if named is None else fitting & {named}

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether this key made the signature. `algorithm` must be one of `algorithms`."""
        import jwt  # noqa: PLC0415 - a tenth of a second of CPU that only tokens need

        return jwt.get_algorithm_by_name(algorithm).verify(signed, self._key, signature)


def _is_public_form(secret: bytes) -> bool:
    """Whether a secret is what others may know: a key or a certificate in one of its forms."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - as below
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415

    if _PUBLIC_FORMS.search(secret):
        return True
    try:
        load_der_public_key(secret)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _fitting(key: Any) -> tuple[str, ...]:
    """Return the algorithms of a kind of key. Raises BadKey."""
    if isinstance(key, bytes):
        if len(key) < MIN_SECRET:
            raise BadKey(f"a secret has {MIN_SECRET} bytes at least")
        if _is_public_form(key):
            raise BadKey("this is no secret: it is a public key, or has the form of one")
        return SYMMETRIC
    # Only tokens need these.
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa  # noqa: PLC0415

    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise BadKey(f"an RSA key has {MIN_RSA_BITS} bits at least")
        return tuple(name for name in ASYMMETRIC if name[:2] in ("RS", "PS"))
    if isinstance(key, ec.EllipticCurvePublicKey):
        algorithm = _BY_CURVE.get(key.curve.name)
        return (algorithm,) if algorithm else ()
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return ("EdDSA",)
    raise BadKey("an RSA, EC or Ed25519 public key is needed")
