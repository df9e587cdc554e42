"""Failures: the table of docs/wire.md §6 as data, and the exception that carries one.

Every kind of failure is one row of `FAILURES`. Foreign errors (gRPC statuses, aiohttp exceptions)
are translated into `Failed` where they enter, and nowhere else. A client gets a `Failed` as an HTTP
status, a close code or a v1 `error`.
"""

import enum
from dataclasses import dataclass
from typing import Self


class Kind(enum.Enum):
    """A kind of failure: the key of `FAILURES`, the failure table."""

    MALFORMED = enum.auto()
    BAD_QUERY = enum.auto()
    UNAUTHENTICATED = enum.auto()
    DENIED = enum.auto()
    NOT_FOUND = enum.auto()
    CONFLICT = enum.auto()
    TOO_LARGE = enum.auto()
    MESSAGE_TOO_LARGE = enum.auto()
    QUOTA = enum.auto()
    UNIMPLEMENTED = enum.auto()
    UNAVAILABLE = enum.auto()
    DEADLINE = enum.auto()
    BROKEN = enum.auto()
    TOO_SLOW = enum.auto()
    EXPIRED = enum.auto()
    NO_PONG = enum.auto()
    NO_FIRST_MESSAGE = enum.auto()
    DRAINING = enum.auto()


@dataclass(frozen=True, slots=True)
class FailureRow:
    """How one kind of failure is reported to clients.

    `status` is the HTTP status, `close_code` the WebSocket close code, `code` the gRPC name of v1
    errors. `retryable`: the same request may succeed later. `title` is the problem's.
    """

    status: int
    close_code: int
    code: str
    retryable: bool
    title: str


FAILURES: dict[Kind, FailureRow] = {
    Kind.MALFORMED: FailureRow(400, 4500, "INVALID_ARGUMENT", False, "Malformed request"),
    Kind.BAD_QUERY: FailureRow(400, 4500, "INVALID_ARGUMENT", False, "Bad query"),
    Kind.UNAUTHENTICATED: FailureRow(401, 4501, "UNAUTHENTICATED", False, "No valid credential"),
    Kind.DENIED: FailureRow(403, 4503, "PERMISSION_DENIED", False, "Not allowed"),
    Kind.NOT_FOUND: FailureRow(404, 4504, "NOT_FOUND", False, "Not found"),
    Kind.CONFLICT: FailureRow(409, 4509, "FAILED_PRECONDITION", False, "Wrong state"),
    Kind.TOO_LARGE: FailureRow(413, 4513, "RESOURCE_EXHAUSTED", False, "Too large"),
    Kind.MESSAGE_TOO_LARGE: FailureRow(413, 1009, "RESOURCE_EXHAUSTED", False, "Message too large"),
    Kind.QUOTA: FailureRow(429, 4003, "RESOURCE_EXHAUSTED", True, "Over a limit"),
    Kind.UNIMPLEMENTED: FailureRow(
        501, 4512, "UNIMPLEMENTED", False, "Not implemented by the tier"
    ),
    Kind.UNAVAILABLE: FailureRow(503, 1013, "UNAVAILABLE", True, "Unavailable"),
    Kind.DEADLINE: FailureRow(504, 1013, "DEADLINE_EXCEEDED", True, "No answer in time"),
    Kind.BROKEN: FailureRow(502, 1011, "INTERNAL", True, "Unreadable answer from the tier"),
    Kind.TOO_SLOW: FailureRow(503, 4000, "UNAVAILABLE", True, "Client too slow"),
    Kind.EXPIRED: FailureRow(401, 4001, "UNAUTHENTICATED", True, "Credential expired"),
    Kind.NO_PONG: FailureRow(503, 4002, "UNAVAILABLE", True, "No pong in time"),
    Kind.NO_FIRST_MESSAGE: FailureRow(
        408, 4005, "DEADLINE_EXCEEDED", True, "No first message in time"
    ),
    Kind.DRAINING: FailureRow(503, 1001, "UNAVAILABLE", True, "Bridge draining"),
}

# RESOURCE_EXHAUSTED is QUOTA or TOO_LARGE by its details: `upstream.status_translation` decides.
FROM_GRPC: dict[str, Kind] = {
    "INVALID_ARGUMENT": Kind.BAD_QUERY,
    "UNAUTHENTICATED": Kind.UNAUTHENTICATED,
    "PERMISSION_DENIED": Kind.DENIED,
    "NOT_FOUND": Kind.NOT_FOUND,
    "FAILED_PRECONDITION": Kind.CONFLICT,
    "OUT_OF_RANGE": Kind.CONFLICT,
    "ALREADY_EXISTS": Kind.CONFLICT,
    "RESOURCE_EXHAUSTED": Kind.QUOTA,
    "UNIMPLEMENTED": Kind.UNIMPLEMENTED,
    "UNAVAILABLE": Kind.UNAVAILABLE,
    "ABORTED": Kind.UNAVAILABLE,
    "CANCELLED": Kind.UNAVAILABLE,
    "DEADLINE_EXCEEDED": Kind.DEADLINE,
    "INTERNAL": Kind.BROKEN,
    "UNKNOWN": Kind.BROKEN,
    "DATA_LOSS": Kind.BROKEN,
}


class StatusSource(enum.Enum):
    """Who said the status of an upstream call."""

    TIER = enum.auto()  # the tier; or our side, about a limit or message of its own
    RESPONSE = enum.auto()  # derived from a response that is not gRPC, as a proxy's page
    STREAM = enum.auto()  # derived from a reset, or from an end without a status
    CONNECTION = enum.auto()  # derived from a connection that was lost or could not be made

    @property
    def derived(self) -> bool:
        """Whether no tier said it: it shows the way to the tier, and is always passing."""
        return self is not StatusSource.TIER


class Failed(Exception):  # noqa: N818 - reads as what happened: `except Failed`
    """A failure that is reported to a client.

    `message` is for the client: it names no host and quotes no internal text. `field` is the path
    of the offending member (`where[1].or[0].op`). `retry_after` is in seconds. `code` is the gRPC
    name of the tier's status, where several share a row. `source` is who said that status. `limit`
    names the limit that was reached, as metrics do.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        field: str | None = None,
        retry_after: float | None = None,
        code: str | None = None,
        source: StatusSource = StatusSource.TIER,
        cause: str = "",
        limit: str | None = None,
    ) -> None:
        super().__init__(message)
        self.cause = cause
        """Why it failed, for our log: no client sees it, and it has no words of the tier."""
        self.replica = ""
        """Where it failed, for our log; empty where no replica was asked."""
        self.kind = kind
        self.message = message
        self.field = field
        self.retry_after = retry_after
        self.source = source
        self.limit = limit
        self._code = code

    @property
    def row(self) -> FailureRow:
        """The row of the failure table."""
        return FAILURES[self.kind]

    @property
    def code(self) -> str:
        """The gRPC name: the tier's own if there is one, else the row's."""
        return self._code or self.row.code

    @property
    def final(self) -> bool:
        """Whether the same request fails again: the close codes from 4500 on."""
        return 4500 <= self.row.close_code <= 4999  # noqa: PLR2004 - the range of docs/wire.md §6

    def without_frames(self) -> Self:
        """Return this, to be kept by what it was raised in: its frames refer to that."""
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)

    def text(self) -> str:
        """Return field and message in one line, for close reasons and logs."""
        return f"{self.field}: {self.message}" if self.field else self.message
