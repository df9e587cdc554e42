"""Metadata: which request headers may be forwarded to the tier, and which sharing ignores."""

import re

METADATA_VALUE = re.compile(r"[ -~]*")
"""Visible ASCII and spaces (gRPC over HTTP/2, "Custom-Metadata")."""
TRACE_HEADER = re.compile(
    r"traceparent|tracestate|baggage|b3|x-b3-.*|x-request-id|x-correlation-id|"
    r"x-trace-id|x-cloud-trace-context|x-amzn-trace-id|uber-trace-id"
)
"""Headers that differ from request to request: they are no part of a subscription's scope."""

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
