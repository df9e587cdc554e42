"""Metadata: which request headers may travel to the tier, and which sharing passes over."""

import re

# Metadata values are visible ASCII and spaces (gRPC over HTTP/2, "Custom-Metadata").
METADATA_VALUE = re.compile(r"[ -~]*")
TRACE_HEADER = re.compile(
    r"traceparent|tracestate|baggage|b3|x-b3-.*|x-request-id|x-correlation-id|"
    r"x-trace-id|x-cloud-trace-context|x-amzn-trace-id|uber-trace-id"
)

_FORBIDDEN = re.compile(
    r":.*|grpc-.*|content-.*|host|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|"
    r"upgrade|livequery-route|.*-bin"
)
_NAME = re.compile(r"[a-z0-9_.-]+")


def check_name(name: str) -> None:
    """Refuse a header that can't be metadata or is not the client's to set; raises ValueError."""
    if not _NAME.fullmatch(name) or _FORBIDDEN.fullmatch(name):
        raise ValueError(f"{name!r} can't be forwarded as metadata")
