"""Logs: the format of log lines, on stderr, as text or JSON.

Invariants: a record is one line. Foreign text can't start a line: control characters are escaped;
the lines of a traceback are indented (text) or part of the object (JSON). Credentials and tickets
are redacted. The `fields` of a record (`extra={"fields": {…}}`) are printed as `key=value` in text
and as members in JSON. Libraries log warnings and errors only: hpack's debug lines hold every
header that is sent to the tier, in clear and encoded.
"""

import json
import logging
import re
import sys
import time
from typing import Any, Final

from .limited_handler import LimitedHandler

# Any traceback may quote a URL or a header. The value after the name of a credential is redacted.
_SECRETS = (
    (re.compile(r"(?i)\b(access_token|ticket|token)(=|%3D)[^&\s\"'#;,)]*"), r"\1\2***"),
    (re.compile(r"(?i)(\\?\"(?:access_token|ticket|token)\\?\"\s*:\s*\\?\")[^\"\\]*"), r"\1***"),
    # Wherever they stand: tickets, and JSON Web Tokens, whose header begins with `{"`.
    (re.compile(r"\blqt_[A-Za-z0-9_-]+"), "***"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), "***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{4,}"), r"\1 ***"),
    (
        re.compile(
            r"(?i)(\b(?:proxy-)?authorization\b['\"]?\s*[:=,]\s*['\"]?)(?!bearer|basic)[^\s'\",)]+"
        ),
        r"\1***",
    ),
)
_PLAIN = re.compile(r"[!#-~]+")
MAX_MESSAGE: Final = 2_000
MAX_VALUE: Final = 200
"""Characters of a message, and of a value beside it; a client's text may be long."""
_ENDS: Final = ("SSL connection is closed", "socket.send() raised exception.")
"""What event loops warn of when a client is gone whose end could not be read yet."""
_OWN_LOGGERS = ("bridge", "livetier")


def redact(text: str) -> str:
    """Replace the values of credentials and tickets in a text by `***`."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def clip(text: str, limit: int) -> str:
    """Return a text, its end replaced by its length where it is longer than `limit`."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def one_line(text: str) -> str:
    """Escape control characters and line separators."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class TextFormatter(logging.Formatter):
    """Formats `time level logger: message key=value …`; `worker` is printed before the logger."""

    default_msec_format = "%s.%03d"

    def __init__(self, worker: str = "") -> None:
        name = f"[{worker}] %(name)s" if worker else "%(name)s"
        super().__init__(f"%(asctime)s %(levelname)-7s {name}: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        record.message = clip(record.message, MAX_MESSAGE)
        line = redact(one_line(self.formatMessage(record)))
        line += "".join(f" {key}={_value(value)}" for key, value in _fields(record).items())
        if not record.exc_info:
            return line
        trace = self.formatException(record.exc_info).split("\n")
        return "\n".join([line, *(f"    {redact(one_line(part))}" for part in trace)])


class JsonFormatter(logging.Formatter):
    """Formats one object: time (UTC), level, logger, message, the record's fields, exception."""

    def __init__(self, worker: str = "") -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        entry: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(clip(record.getMessage(), MAX_MESSAGE)),
        }
        if self._worker:
            entry["worker"] = self._worker
        for key, value in _fields(record).items():
            if isinstance(value, str):
                value = redact(clip(value, MAX_VALUE))  # noqa: PLW2901 - the same, as printed
            entry.setdefault(key, value)
        if record.exc_info:
            entry["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(entry)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _value(value: Any) -> str:
    """Return a field's value as text; as a JSON string unless it is visible ASCII without =."""
    text = redact(clip(str(value), MAX_VALUE))
    return text if _PLAIN.fullmatch(text) and "=" not in text else json.dumps(text)


def _says_more_than_an_end(record: logging.LogRecord) -> bool:
    """Return False for what event loops say of writes behind the end of a connection."""
    return record.name != "asyncio" or record.msg not in _ENDS


def set_up_logging(*, log_format: str, level: str, worker: str = "") -> None:
    """Log to stderr, as `text` or `json`; called once, by a command. `worker`: its name.

    `level` is the lowest level of our own loggers. For all others it is WARNING at least.
    """
    handler = LimitedHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(worker) if log_format == "json" else TextFormatter(worker))
    handler.addFilter(_says_more_than_an_end)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.getLevelNamesMapping()[level.upper()], logging.WARNING))
    for name in _OWN_LOGGERS:
        logging.getLogger(name).setLevel(level.upper())
