"""StreamParameters: the parameters in the URL of an event stream."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from yarl import URL

from .parse_cache import parse_cached


@dataclass(frozen=True, slots=True)
class StreamParameters:
    """The parameters of docs/wire.md §3 and §5; None where one is missing."""

    query: bytes | None
    """As bytes: text that is not UTF-8 is refused, not repaired."""
    last_event_id: str | None
    v1: bool
    soft: bool
    """Whether a failure that passes is a stream that ends, so that EventSource comes back."""
    tickets: tuple[str, ...] = ()
    token: str | None = None
    """The name of a parameter by which somebody sent a token in a URL, where logs would keep it."""

    @property
    def secret(self) -> bool:
        """Whether a credential is in them, so that nothing of the request may be kept."""
        return bool(self.tickets) or self.token is not None


NO_PARAMETERS = StreamParameters(query=None, last_event_id=None, v1=False, soft=False)


_TOKENS: Final = ("access_token", "token", "id_token", "jwt", "bearer")
_SECRETS: Final = ("ticket", "token", "jwt", "bearer")
"""What names of parameters that hold a credential have in them."""


def parse_parameters(query_string: str) -> StreamParameters:
    """Parse the part of a URL after its question mark."""
    # A ticket comes once only, and a credential is kept nowhere.
    for name in _SECRETS:
        if name in query_string:
            return _parse(query_string)
    return _parse_cached(query_string)


def _parse(query_string: str) -> StreamParameters:
    parameters = URL.build(query_string=query_string, encoded=True).query
    return StreamParameters(
        query=read_parameter(query_string, b"query"),
        last_event_id=parameters.get("last_event_id"),
        v1=parameters.get("v") == "1",
        soft=parameters.get("soft") == "1",
        tickets=tuple(parameters.getall("ticket", ())),
        token=next((name for name in _TOKENS if name in parameters), None),
    )


_parse_cached: Final = parse_cached(_parse)


def read_parameter(query_string: str, name: bytes) -> bytes | None:
    """Return the first value of a parameter, as bytes; None where it is missing."""
    for pair in query_string.split("&"):
        key, _, value = pair.partition("=")
        if unquote_to_bytes(key.replace("+", " ")) == name:
            return unquote_to_bytes(value.replace("+", " "))
    return None
