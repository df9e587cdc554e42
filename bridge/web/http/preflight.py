"""CORS preflights: what a listed page may send (Fetch standard, "CORS-preflight request").

Tracing libraries add headers of their own to every request of a page. They do no harm, so they are
allowed, whether they are forwarded or not.
"""

from typing import Final

from multidict import CIMultiDictProxy

from bridge.core.metadata import TRACE_HEADER, TRACING_HEADERS

METHODS: Final = "GET, HEAD, POST, QUERY"
_HARMLESS: Final = (
    "authorization",
    "cache-control",
    "content-type",
    "if-none-match",
    "last-event-id",
    "pragma",
    "x-requested-with",
)
_TRACING: Final = tuple(
    name for names in TRACING_HEADERS.values() for name in names if not name.endswith("*")
)
MAX_REQUESTED: Final = 64
"""Names of one preflight that are looked at."""


def is_preflight(method: str, headers: CIMultiDictProxy[str]) -> bool:
    """Return whether a browser asks what a page may send."""
    return method == "OPTIONS" and "Access-Control-Request-Method" in headers


def preflight_fields(headers: CIMultiDictProxy[str], forward: tuple[str, ...]) -> dict[str, str]:
    """Return the fields of the answer. `forward`: headers that the tier gets, in lower case."""
    asked = ",".join(headers.getall("Access-Control-Request-Headers", ())).lower().split(",")
    # A `*` in the answer would not count beside credentials: names of a family are repeated.
    families = [
        name for name in map(str.strip, asked[:MAX_REQUESTED]) if TRACE_HEADER.fullmatch(name)
    ]
    return {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": ", ".join(
            dict.fromkeys((*_HARMLESS, *forward, *_TRACING, *families))
        ),
        "Access-Control-Max-Age": "600",
    }
