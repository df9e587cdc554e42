"""Key sources: a file, or one https URL, from which an issuer's keys are read.

The URL is the operator's. Nothing in a token names a place that is asked (RFC 8725 §3.10).
"""

import asyncio
import ssl
from pathlib import Path
from typing import Final, Protocol

import aiohttp

from .key_set import KeySet, parse_keys, parse_secret
from .settings import IssuerSettings
from .verification_key import BadKey

FETCH_TIMEOUT: Final = 5.0
"""Seconds for one answer of a key server."""
MAX_SIZE: Final = 1024 * 1024
"""Bytes of a key set."""
FILE_INTERVAL: Final = 5.0
URL_INTERVAL: Final = 300.0
"""Seconds between two reads of a set that nobody misses."""
_SECRET: Final = "secret:"  # noqa: S105 - how an option says that a file is one
_SUCCESS: Final = 200


class KeySource(Protocol):
    """Where keys are read."""

    interval: float
    """Seconds between two reads."""

    async def read(self) -> KeySet:
        """Read the keys as they are now. Raises BadKey, whose message is for the operator."""


class FileKeySource:
    """A file: PEM, JWKS, or a secret where the path is named so."""

    interval = FILE_INTERVAL

    def __init__(self, settings: IssuerSettings) -> None:
        self._secret = settings.keys.startswith(_SECRET)
        self._path = Path(settings.keys.removeprefix(_SECRET))
        self._allowed = settings.algorithms

    def load(self) -> KeySet:
        """Read it now. Raises BadKey."""
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_SIZE + 1)
        except OSError as error:
            # A secret that is given instead of its file must not be in the log.
            where = "secret:FILE" if self._secret else self._path
            raise BadKey(f"{where}: {error.strerror}") from None
        try:
            if len(data) > MAX_SIZE:
                raise BadKey(f"a key set has {MAX_SIZE} bytes at most")  # noqa: TRY301
            return (parse_secret if self._secret else parse_keys)(data, self._allowed)
        except BadKey as error:
            raise BadKey(f"{self._path}: {error}") from None

    async def read(self) -> KeySet:
        """Read it now, in a thread. Raises BadKey."""
        return await asyncio.to_thread(self.load)


class UrlKeySource:
    """An https URL. Redirects are not followed, proxies of the environment not used."""

    interval = URL_INTERVAL

    def __init__(self, settings: IssuerSettings) -> None:
        """Load the CAs. Raises BadKey if the CA file can't be used."""
        self._url = settings.keys
        self._name = settings.keys.partition("?")[0]
        """What errors say: a query may hold a secret."""
        self._allowed = settings.algorithms
        try:
            self._tls = ssl.create_default_context(cafile=settings.ca)
        except (OSError, ssl.SSLError) as error:
            raise BadKey(f"{settings.ca}: {error.strerror or 'not PEM'}") from None

    async def read(self) -> KeySet:
        """Fetch it, within FETCH_TIMEOUT. Raises BadKey."""
        try:
            async with (
                asyncio.timeout(FETCH_TIMEOUT),
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._tls)) as http,
                http.get(self._url, allow_redirects=False) as answer,
            ):
                if answer.status != _SUCCESS:
                    raise BadKey(f"{self._name}: status {answer.status}")
                data = await answer.content.read(MAX_SIZE + 1)
                while len(data) <= MAX_SIZE and not answer.content.at_eof():
                    data += await answer.content.read(MAX_SIZE + 1 - len(data))
        except TimeoutError:
            raise BadKey(f"{self._name}: no answer in {FETCH_TIMEOUT:.0f} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, BadKey):
                raise
            raise BadKey(f"{self._name}: {type(error).__name__}") from None
        if len(data) > MAX_SIZE:
            raise BadKey(f"{self._name}: a key set has {MAX_SIZE} bytes at most")
        try:
            return parse_keys(data, self._allowed, remote=True)
        except BadKey as error:
            raise BadKey(f"{self._name}: {error}") from None
