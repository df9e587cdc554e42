"""Errors that a caller sees, and their form on the wire.

::

    TierError                 a gRPC code, a reason and, where one is wrong, the query's field
      invalid_argument(...)   INVALID_ARGUMENT: the query makes no sense
      not_found(...)          NOT_FOUND: no such entity or subscription
      unavailable(...)        UNAVAILABLE: the tier is stopping, or the store cannot answer
      unimplemented(...)      UNIMPLEMENTED: this tier does not serve the call

On the wire: the call's status with google.rpc.ErrorInfo (for programs) and
google.rpc.LocalizedMessage (for end users) in its details.
"""

import difflib
from collections.abc import Iterable

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "livequery.v1"
DETAILS_KEY = "grpc-status-details-bin"


class TierError(Exception):
    """An error for the caller: ``message`` is short and names nothing internal."""

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


def invalid_argument(reason: str, field: str, message: str) -> TierError:
    """Return the error for a query whose ``field`` is wrong."""
    return TierError(grpc.StatusCode.INVALID_ARGUMENT, reason, message, field)


def not_found(reason: str, field: str, message: str) -> TierError:
    """Return the error for an entity or a subscription that does not exist."""
    return TierError(grpc.StatusCode.NOT_FOUND, reason, message, field)


def unavailable(reason: str, message: str) -> TierError:
    """Return the error after which the caller may try again."""
    return TierError(grpc.StatusCode.UNAVAILABLE, reason, message)


def unimplemented(reason: str, message: str) -> TierError:
    """Return the error for a call that this tier does not serve."""
    return TierError(grpc.StatusCode.UNIMPLEMENTED, reason, message)


def query_failed() -> TierError:
    """Return the error for a query that the store could not run now."""
    return unavailable("DATABASE_FAILED", "the query could not be run")


def quoted(name: str) -> str:
    """Return ``name`` as messages show it."""
    return '"' + name.replace('"', '""') + '"'


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the end of a message that suggests the most similar name; empty if none is similar."""
    folded = {known.lower(): known for known in sorted(names)}
    similar = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.7)
    return f"; did you mean {quoted(folded[similar[0]])}?" if similar else ""
