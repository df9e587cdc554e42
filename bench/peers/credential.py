"""Credential: a token that all clients of a bridge show, and the options under which it is good."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.paths import OUT

_ISSUER: Final = "https://issuer.example/"
_AUDIENCE: Final = "livequery"
_LIFE: Final = 3600


@dataclass(frozen=True, slots=True)
class Credential:
    """A token, and what a bridge is started with to verify it."""

    token: str
    options: tuple[str, ...]

    @classmethod
    def make(cls, stack: ExitStack) -> "Credential":
        """Make a key and a token; the key's file lasts as long as `stack`."""
        folder = stack.enter_context(TemporaryDirectory(dir=OUT))
        key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        file = Path(folder, "key.pem")
        file.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
        now = int(time.time())
        claims = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": "alice", "iat": now, "exp": now + _LIFE}
        named = {"jwt-keys": str(file), "jwt-issuer": _ISSUER, "jwt-audience": _AUDIENCE}
        options = [word for name, value in named.items() for word in (f"--{name}", value)]
        return cls(jwt.encode(claims, key, "ES256"), ("--auth", "jwt", *options))

    def added_to(self, request: bytes) -> bytes:
        """Put the token into the head of a request."""
        line = f"Authorization: Bearer {self.token}\r\n\r\n".encode()
        head, end, body = request.partition(b"\r\n\r\n")
        return head + end[:2] + line + body
