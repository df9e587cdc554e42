"""Oracles: the rules implemented a second time, from the specifications and not from the code."""

import json
from decimal import Decimal
from itertools import combinations

# ---------------------------------------------------------------- clients, as docs/semantics.md


class Client:
    """What both kinds of client have in common: `frames` are those of the rows that they show."""

    def __init__(self):
        self.frames = []

    def read(self, group):
        for frame in group.frames:
            self.apply(json.loads(frame.data, object_pairs_hook=dict))

    @property
    def rows(self):
        """The rows as (id, version), which a returning client may set."""
        return [(frame["agg_id"], frame.get("version", 0)) for frame in self.frames]

    @rows.setter
    def rows(self, rows):
        self.frames = [{"agg_id": agg_id, "version": version} for agg_id, version in rows]

    @property
    def ids(self):
        return [frame["agg_id"] for frame in self.frames]

    def shown(self):
        return [f"{agg_id}@{version}" for agg_id, version in self.rows]

    def contents(self):
        keys = ("agg_id", "version", "row", "cursor")
        return [{key: frame.get(key) for key in keys} for frame in self.frames]


class IdClient(Client):
    """Applies frames by id: the reducer, less the cut, which only the mirror needs."""

    def apply(self, frame):
        op, agg_id = frame["op"], frame.get("agg_id", "")
        frame = {**frame, "agg_id": agg_id}
        frames = self.frames
        at = next((i for i, shown in enumerate(frames) if shown["agg_id"] == agg_id), None)
        if op == "reset":
            self.frames = []
        elif op in ("leave", "unmatch") and at is not None:
            del frames[at]
        elif op == "update" and at is not None:
            frames[at] = frame
        elif op in ("enter", "move"):
            if at is not None:
                del frames[at]
            frames.insert(max(0, min(frame["new_index"], len(frames))), frame)
        elif op == "match":
            if at is None:
                frames.append(frame)
            else:
                frames[at] = frame


class SpliceClient(Client):
    """Splices literally by index and knows no ids; any index off the window is an error."""

    def apply(self, frame):
        op, old, new = frame["op"], frame["old_index"], frame["new_index"]
        frame = {"agg_id": "", **frame}
        if op == "reset":
            self.frames = []
        elif op == "leave":
            self._pop(old)
        elif op == "enter":
            self._insert(new, frame)
        elif op == "move":
            self._pop(old)
            self._insert(new, frame)
        elif op == "update":
            assert 0 <= new < len(self.frames), frame
            self.frames[new] = frame

    def _pop(self, at):
        assert 0 <= at < len(self.frames), (at, self.shown())
        del self.frames[at]

    def _insert(self, at, frame):
        assert 0 <= at <= len(self.frames), (at, self.shown())
        self.frames.insert(at, frame)


# ---------------------------------------------------------------- JSON


def refuse(name):
    raise ValueError(name)


def json_accepts(data):
    """Whether bytes are JSON (RFC 8259) in UTF-8, as the standard library decides."""
    try:
        json.loads(data.decode(), parse_constant=refuse)
    except ValueError:
        return False
    return True


def pairs(data):
    """Parse JSON without losing anything: repeated keys, their order, and the digits."""
    return json.loads(
        data, object_pairs_hook=lambda p: ("object", p), parse_int=str, parse_float=str
    )


_ESCAPED = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def go_compact(text):
    """Compact JSON text as encoding/json's `compact(…, escape)` does."""
    return "".join(_ESCAPED.get(character, character) for character in bare(text))


def bare(text):
    """Drop the white space outside the strings of JSON text, a character at a time."""
    encoded, inside, escaped = [], False, False
    for character in text:
        if not inside and character in " \t\r\n":
            continue
        encoded.append(character)
        if inside and escaped:
            escaped = False
        elif inside and character == "\\":
            escaped = True
        elif character == '"':
            inside = not inside
    return "".join(encoded)


def go_quote(text):
    """Encode a string a character at a time, as encoding/json does with HTML escaping."""
    short = {
        '"': '\\"',
        "\\": "\\\\",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
    }
    encoded = ""
    for character in text:
        if character in short:
            encoded += short[character]
        elif character in _ESCAPED:
            encoded += _ESCAPED[character]
        elif character < " ":
            encoded += f"\\u{ord(character):04x}"
        elif "\ud800" <= character <= "\udfff":
            encoded += "\\ufffd"
        else:
            encoded += character
    return f'"{encoded}"'


def go_number(double):
    """Encode a double from its shortest decimal: fixed from 1e-6 up to 1e21, else scientific."""
    shortest = Decimal(repr(double))
    if shortest == 0:
        return "-0" if shortest.is_signed() else "0"
    form = "f" if Decimal("1e-6") <= abs(shortest) < Decimal("1e21") else "e"
    return format(shortest.normalize(), form)


# ---------------------------------------------------------------- protocols


def parse_sse(data):
    """Parse an event stream (WHATWG HTML §9.2.6): (type, data, last event id) of each event."""
    text = data.decode()
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    events, kind, lines, last_id = [], "", [], ""
    for line in text.split("\n")[:-1]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if lines:
                events.append((kind or "message", "\n".join(lines), last_id))
            kind, lines = "", []
        elif field == "event":
            kind = value
        elif field == "data":
            lines.append(value)
        elif field == "id" and "\0" not in value:
            last_id = value
    return events


def parse_ws(data):
    """Parse a server's messages (RFC 6455 §5.2): (opcode, payload) of each."""
    messages = []
    while data:
        first, second = data[0], data[1]
        assert first & 0x80, "one frame per message"
        assert not first & 0x70, "no extension bits"
        assert not second & 0x80, "a server masks nothing"
        size, at = second & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
            assert size > 125, "the shortest form is a must"
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
            assert 65535 < size < 2**63, "the shortest form is a must"
        assert len(data) >= at + size
        messages.append((first & 0x0F, data[at : at + size]))
        data = data[at + size :]
    return messages


def dechunk(data):
    """Parse the chunks of a chunked body (RFC 9112 §7.1), the last chunk not among them."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        assert length, "an empty chunk would end the body"
        assert data[length : length + 2] == b"\r\n"
        body += data[:length]
        data = data[length + 2 :]
    return body


# ---------------------------------------------------------------- sequences


def fewest_moves(a, b):
    """Count the moves that the common members of `a` and `b` need, by trying what may stay."""
    common = [x for x in b if x in a]
    places = [a.index(x) for x in common]
    for stay in range(len(places), 0, -1):
        if any(list(kept) == sorted(kept) for kept in combinations(places, stay)):
            return len(places) - stay
    return 0
