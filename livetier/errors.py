"""Failures a caller can see, and their form on the wire.

::

    TierError                 a gRPC code, a reason and, when one is to blame, the query's field
      refused(...)            INVALID_ARGUMENT: the query cannot be meant
      missing(...)            NOT_FOUND: no such entity or subscription
      unavailable(...)        UNAVAILABLE: stopping, or the database is busy

On the wire: the call's status with google.rpc.ErrorInfo (for programs) and
google.rpc.LocalizedMessage (for end users) in its details.
"""

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "livequery.v1"
DETAILS_KEY = "grpc-status-details-bin"


class TierError(Exception):
    """A refusal fit for the caller: ``message`` is short, true and free of internals."""

    def __init__(self, code: grpc.StatusCode, reason: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.field = field

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        """Return the google.rpc.Status trailer that goes with the code and message."""
        metadata = {"field": self.field} if self.field else {}
        info = error_details_pb2.ErrorInfo(domain=DOMAIN, reason=self.reason, metadata=metadata)
        text = error_details_pb2.LocalizedMessage(locale="en", message=self.message)
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in (info, text):
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        return ((DETAILS_KEY, status.SerializeToString()),)


def refused(reason: str, field: str, message: str) -> TierError:
    """Return the error for a query that names ``field`` wrongly."""
    return TierError(grpc.StatusCode.INVALID_ARGUMENT, reason, message, field)


def missing(reason: str, field: str, message: str) -> TierError:
    """Return the error for something that is not here (any more)."""
    return TierError(grpc.StatusCode.NOT_FOUND, reason, message, field)


def unavailable(reason: str, message: str) -> TierError:
    """Return the error that asks the caller to try again."""
    return TierError(grpc.StatusCode.UNAVAILABLE, reason, message)
