"""Metadata: which request headers may be forwarded to the tier, and which sharing ignores."""

import re
from collections.abc import Iterable
from typing import Final

METADATA_VALUE = re.compile(r"[ -~]*")
"""Visible ASCII and spaces (gRPC over HTTP/2, "Custom-Metadata")."""
TRACING_HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "W3C Trace Context, Baggage": ("traceparent", "tracestate", "baggage"),
    "B3 (Zipkin, Istio)": ("b3", "x-b3-*"),
    "Jaeger": ("uber-trace-id", "uberctx-*", "jaeger-debug-id", "jaeger-baggage"),
    "OpenTracing, LightStep": ("ot-tracer-*", "x-ot-span-context"),
    "Sentry": ("sentry-trace",),
    "Datadog": ("x-datadog-*",),
    "New Relic": ("newrelic", "x-newrelic-*"),
    "Elastic": ("elastic-apm-traceparent",),
    "Dynatrace": ("x-dynatrace", "x-ruxit-*"),
    "Google": ("x-cloud-trace-context",),
    "Amazon": ("x-amzn-trace-id", "x-amzn-requestid", "x-amz-cf-id"),
    "Azure": ("request-context", "x-ms-client-request-id", "x-ms-request-id"),
    "Request and correlation ids": (
        "x-request-id",
        "request-id",
        "x-correlation-id",
        "correlation-id",
        "x-trace-id",
        "x-span-id",
        "x-client-trace-id",
        "x-envoy-attempt-count",
    ),
}
"""Headers that differ from request to request, by who sends them; `*` stands for any ending.

They are no part of a subscription's scope, forwarded or not, and pages may send them.
"""
TRACE_HEADER: Final = re.compile(
    "|".join(
        re.escape(name).replace(r"\*", "[a-z0-9_.-]*")
        for names in TRACING_HEADERS.values()
        for name in names
    )
)
"""Matches the names of `TRACING_HEADERS`, in lower case."""

_FORBIDDEN = re.compile(
    r":.*|grpc-.*|content-.*|host|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|"
    r"upgrade|livequery-route|.*-bin"
)
_NAME = re.compile(r"[a-z0-9_.-]+")


def check_name(name: str) -> None:
    """Check that a header may be forwarded as metadata.

    Raises:
        ValueError: it can't be metadata, or a client must not set it.

    """
    if not _NAME.fullmatch(name) or _FORBIDDEN.fullmatch(name):
        raise ValueError(f"{name!r} can't be forwarded as metadata")


SHORTEST_SECRET: Final = 4
"""Values shorter than this are no secret: masking them would spoil every word."""


def secret_values(metadata: Iterable[tuple[str, str | bytes]]) -> list[str]:
    """Return the values of metadata and their parts behind a space, the longest first."""
    texts = [value for _, value in metadata if isinstance(value, str)]
    values = {part for text in texts for part in (text, text.rpartition(" ")[2])}
    return sorted((v for v in values if len(v) >= SHORTEST_SECRET), key=len, reverse=True)


def without_values(text: str, values: Iterable[str]) -> str:
    """Return a text that may quote some values with `***` in their place."""
    for value in values:
        text = text.replace(value, "***")
    return text
