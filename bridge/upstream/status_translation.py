"""gRPC status → Failed: the only place where the tier's errors are translated.

A client gets the status code, the field (ErrorInfo.metadata["field"]), the reason (ErrorInfo) and
LocalizedMessage, which is written for people. The status text is the tier's debug text: it may name
hosts or internals, and goes only to the log. A tier may quote the credential that it refuses: the
values of the call's metadata are masked in all its words.

A derived status, which no tier said, is UNAVAILABLE or BROKEN: never a verdict on query or
credential.
"""

import logging
import re
from typing import Any

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from bridge.core.errors import FROM_GRPC, Failed, Kind
from bridge.core.metadata import secret_values, without_values
from bridge.upstream.http2.request import Metadata
from bridge.upstream.http2.status import CallStatus

logger = logging.getLogger(__name__)

DOMAIN = "livequery.v1"
_REASON = re.compile(r"[A-Z][A-Z0-9_]{0,62}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_MAX_TEXT = 300
_PASSING = (Kind.UNAVAILABLE, Kind.DEADLINE, Kind.QUOTA)
# Statuses that may also come from a connection or a proxy.
_AMBIGUOUS = ("UNAVAILABLE", "CANCELLED", "INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED")
_MESSAGES = {
    Kind.BAD_QUERY: "the tier refused the query",
    Kind.UNAUTHENTICATED: "the tier wants a valid credential",
    Kind.DENIED: "the tier does not allow this",
    Kind.NOT_FOUND: "the tier does not know this entity",
    Kind.CONFLICT: "the tier can't serve this now",
    Kind.TOO_LARGE: "a row or message of the tier is too large",
    Kind.QUOTA: "over a limit of the tier",
    Kind.UNIMPLEMENTED: "the tier does not implement this",
    Kind.UNAVAILABLE: "the tier is out of reach",
    Kind.DEADLINE: "the tier did not answer in time",
    Kind.BROKEN: "the tier failed",
}
_CUT = "the call to the tier was cut or refused on its way"


def failure_of_status(status: CallStatus, metadata: Metadata = ()) -> Failed:
    """Translate a status. Never raises, whatever its details hold. `metadata`: the call's."""
    code, secrets = status.code, secret_values(metadata)
    info, retry, localized = _details(status)
    text = clean(without_values(status.text, secrets))
    kind = FROM_GRPC.get(code, Kind.BROKEN)
    if status.source.derived:
        kind = Kind.UNAVAILABLE if kind in _PASSING else Kind.BROKEN
    elif code == "RESOURCE_EXHAUSTED" and (info.reason == "TOO_LARGE" or _own_limit(status)):
        kind = Kind.TOO_LARGE
    logger.debug("call to the tier ended with %s: %s", code, text)
    cut = status.source.derived and kind is Kind.BROKEN
    message = clean(without_values(localized, secrets)) or (_CUT if cut else _MESSAGES[kind])
    if not localized and _REASON.fullmatch(info.reason):
        message = f"{message}: {info.reason.lower().replace('_', ' ')}"
    return Failed(
        kind,
        message,
        field=clean(without_values(info.metadata["field"], secrets)) or None
        if "field" in info.metadata
        else None,
        retry_after=retry,
        code=code if FROM_GRPC.get(code) is kind else None,
        source=status.source,
        cause=text if status.source.derived else code,
    )


def is_from_tier(status: CallStatus) -> bool:
    """Return whether the tier itself sent a status, and not a connection or a proxy."""
    if status.source.derived:
        return False
    return status.code not in _AMBIGUOUS or _details(status)[0].domain == DOMAIN


def _own_limit(status: CallStatus) -> bool:
    """Return whether our side refused a message for its size: only the text of grpc says so."""
    return "larger than max" in status.text


def _details(status: CallStatus) -> tuple[error_details_pb2.ErrorInfo, float | None, str]:
    info = error_details_pb2.ErrorInfo()
    retry: float | None = None
    localized = ""
    for packed in _packed(status):
        try:
            if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                candidate = error_details_pb2.ErrorInfo()
                packed.Unpack(candidate)
                if candidate.domain == DOMAIN:
                    info = candidate
            elif packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                retry_info = error_details_pb2.RetryInfo()
                packed.Unpack(retry_info)
                delay = retry_info.retry_delay
                retry = max(delay.seconds + delay.nanos / 1e9, 0.0)
            elif packed.Is(error_details_pb2.LocalizedMessage.DESCRIPTOR):
                text = error_details_pb2.LocalizedMessage()
                packed.Unpack(text)
                localized = text.message
        except DecodeError:
            continue
    return info, retry, localized


def _packed(status: CallStatus) -> list[Any]:
    try:
        return list(status_pb2.Status.FromString(status.details).details)
    except DecodeError:
        return []


def clean(text: str) -> str:
    """Return a tier's text as one short line without control characters."""
    return _CONTROLS.sub(" ", text)[:_MAX_TEXT].strip()
