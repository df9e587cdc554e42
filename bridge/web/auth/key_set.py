"""KeySet: the keys of an issuer, as a file or its URL has them.

Two forms are read: PEM (public keys and certificates), and JSON Web Keys (RFC 7517), one or a set.
A secret is taken only where it is said to be one: a JWK of kind `oct` in a file, or a file named
with `secret:`. So no public key is ever used as one.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from bridge.core.algorithms import DEFAULT_ALGORITHMS

from .verification_key import BadKey, VerificationKey

MAX_KEYS: Final = 100
_PEM_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s.+?\s-----END \1-----", re.DOTALL)
_PEM_MARK: Final = b"-----BEGIN"
_KINDS: Final = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA", "oct": "HS256"}
"""Kinds of JWKs, each with an algorithm whose loader reads it."""


class KeySet:
    """Keys, to be found by what a token says about its own. `source`: what they were read from."""

    def __init__(self, keys: Sequence[VerificationKey], source: bytes) -> None:
        """Keep those that may verify something. Raises BadKey if there is none."""
        self.source = source
        self._keys = tuple(key for key in keys if key.algorithms)
        if not self._keys:
            raise BadKey("no key in it fits the allowed algorithms")

    def has(self, kid: str | None) -> bool:
        """Whether a token's key is surely in it, by its name.

        A key without a name may have been replaced by another one, and so may the only key be that
        a token without `kid` means.
        """
        return kid is not None and any(key.kid == kid for key in self._keys)

    def candidates(self, kid: str | None) -> Sequence[VerificationKey]:
        """Return the keys that a token may be signed with; none: the set does not know it.

        `kid` may be absent where there is one key, or none has a name.
        """
        if kid is None:
            single = len(self._keys) == 1 or all(key.kid is None for key in self._keys)
            return self._keys if single else ()
        return [key for key in self._keys if key.kid in (kid, None)]


def parse_keys(data: bytes, allowed: Iterable[str], *, remote: bool = False) -> KeySet:
    """Read PEM or JWKS. `remote`: it came over a network, so it holds no secrets. Raises BadKey."""
    allowed = frozenset(allowed) or DEFAULT_ALGORITHMS
    if _PEM_MARK in data:
        keys = [VerificationKey(key, kid=None, allowed=allowed) for key in _read_pem(data)]
        return KeySet(keys, data)
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        raise BadKey("neither PEM nor JSON") from None
    if not isinstance(tree, dict):
        raise BadKey("a JWK or a set of JWKs is needed")
    entries = tree.get("keys", [tree])
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise BadKey(f"a set has a list of at most {MAX_KEYS} keys")
    # A set may have keys for other purposes and of kinds to come: they are passed over.
    found = [_read_jwk(entry, allowed, remote=remote) for entry in entries]
    return KeySet([key for key in found if key is not None], data)


def parse_secret(data: bytes, allowed: Iterable[str]) -> KeySet:
    """Read a file that is a secret, white space around it left out. Raises BadKey."""
    allowed = frozenset(allowed) or DEFAULT_ALGORITHMS
    return KeySet([VerificationKey(data.strip(), kid=None, allowed=allowed)], data)


def _read_pem(data: bytes) -> list[Any]:
    # A tenth of a second of CPU that only tokens need.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    keys: list[Any] = []
    for block in _PEM_BLOCK.finditer(data):
        label, text = block[1].decode(), block[0] + b"\n"
        if label.endswith("PRIVATE KEY"):
            raise BadKey("it holds a private key: the public one is enough")
        try:
            if label == "CERTIFICATE":
                keys.append(x509.load_pem_x509_certificate(text).public_key())
            else:
                keys.append(load_pem_public_key(text))
        except (ValueError, UnsupportedAlgorithm):
            raise BadKey(f"the {label} in it can't be read") from None
    return keys


def _read_jwk(entry: Any, allowed: frozenset[str], *, remote: bool) -> VerificationKey | None:
    """Read a JWK; None for one that is not for verifying, or that this program can't use."""
    import jwt  # noqa: PLC0415 - as in `_read_pem`
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

    if not isinstance(entry, dict):
        return None
    kind, kid, operations = entry.get("kty"), entry.get("kid"), entry.get("key_ops")
    algorithm = _KINDS.get(kind) if isinstance(kind, str) else None
    if algorithm is None or entry.get("use", "sig") != "sig" or (remote and kind == "oct"):
        return None
    if isinstance(operations, list) and "verify" not in operations:
        return None
    # The private half of a key is none of ours.
    public = {name: entry[name] for name in entry if name not in ("d", "p", "q", "dp", "dq", "qi")}
    try:
        key = jwt.get_algorithm_by_name(algorithm).from_jwk(public)
        named = entry.get("alg")
        return VerificationKey(
            key,
            kid=kid if isinstance(kid, str) else None,
            allowed=allowed,
            named=named if isinstance(named, str) else None,
        )
    except (jwt.PyJWTError, ValueError, TypeError, LookupError, UnsupportedAlgorithm):
        return None
