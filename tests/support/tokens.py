"""Keys of a made-up issuer, and tokens right and wrong. Signed by hand, so that any nonsense can be."""

import base64
import functools
import hashlib
import hmac
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

ISSUER = "https://issuer.example/"
AUDIENCE = "livequery"


def b64(data):
    if not isinstance(data, bytes):
        data = (data if isinstance(data, str) else json.dumps(data)).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size=None):
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Key:
    """A key pair (or a secret) that signs, and its public half as PEM and as JWK."""

    def __init__(self, algorithm, private, kid=None):
        self.algorithm, self.private, self.kid = algorithm, private, kid

    def sign(self, data):
        if self.algorithm.startswith("HS"):
            return hmac.digest(self.private, data, hashlib.sha256)
        if self.algorithm == "EdDSA":
            return self.private.sign(data)
        if self.algorithm.startswith("ES"):
            r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())

    @property
    def pem(self):
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, form)

    @property
    def jwk(self):
        known = {"kid": self.kid} if self.kid else {}
        if self.algorithm.startswith("HS"):
            return {"kty": "oct", "k": b64(self.private), **known}
        public = self.private.public_key()
        if self.algorithm == "EdDSA":
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw), **known}
        numbers = public.public_numbers()
        if self.algorithm.startswith("ES"):
            x, y = number(numbers.x, 32), number(numbers.y, 32)
            return {"kty": "EC", "crv": "P-256", "x": x, "y": y, **known}
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **known}


@functools.cache
def rsa_key(kid=None):
    return Key("RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048), kid)


@functools.cache
def ec_key(kid=None):
    return Key("ES256", ec.generate_private_key(ec.SECP256R1()), kid)


@functools.cache
def ed_key(kid=None):
    return Key("EdDSA", ed25519.Ed25519PrivateKey.generate(), kid)


def secret_key(text=b"a secret of more than thirty-two bytes", kid=None):
    return Key("HS256", text, kid)


def jwks(*keys):
    return json.dumps({"keys": [key.jwk for key in keys]}).encode()


def claims(**changed):
    """Claims that are in order, for an hour; None leaves one out."""
    now = int(time.time())
    all_of_them = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 3600,
    }  # fmt: skip
    all_of_them.update(changed)
    return {name: value for name, value in all_of_them.items() if value is not None}


def token(key=None, header=None, raw=None, **changed):
    """Sign a token; `raw` is a payload as text, `header` changes the header."""
    key = key or rsa_key()
    names = {"alg": key.algorithm, "typ": "JWT", **({"kid": key.kid} if key.kid else {})}
    names.update(header or {})
    names = {name: value for name, value in names.items() if value is not None}
    signed = f"{b64(names)}.{b64(raw if raw is not None else claims(**changed))}"
    return f"{signed}.{b64(key.sign(signed.encode()))}"


def bearer(text):
    return {"Authorization": f"Bearer {text}"}
