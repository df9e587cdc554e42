"""Makers: vectors, frames, windows and JSON texts for the tests of core and wire."""

import base64
import json
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st

from bridge.core.batch import Batch
from bridge.core.bundle import Bundle
from bridge.core.errors import Failed
from bridge.core.frame import UnreadableFrame
from bridge.core.frame_encoding import encode
from bridge.core.group import Group
from bridge.core.op import Op
from bridge.core.snapshot_cache import SnapshotCache
from bridge.core.struct_batch import StructBatch
from bridge.core.value import JsonText

VECTORS = Path(__file__).parent.parent / "vectors"

quick = settings(deadline=None, max_examples=100)
thorough = settings(deadline=None, max_examples=250)


def snapshot_group(rows):
    """The snapshot that the first newcomer to a window is sent."""
    return SnapshotCache().group(rows)


# ---------------------------------------------------------------- golden vectors


def vectors(name):
    """Read a file of golden vectors; its lines end in \\n only, whatever Unicode calls a line."""
    text = (VECTORS / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def named(name):
    return {vector["name"]: vector for vector in vectors(name)}


def vector_input(vector):
    if "input_b64" in vector:
        return base64.b64decode(vector["input_b64"])
    return vector["input"].encode()


_FROM_TYPED = {
    "null": lambda _: None,
    "string": str,
    "bool": bool,
    "int": int,
    "uint": int,
    "double": float.fromhex,
    "number_text": JsonText,
}


def vector_delta(recorded):
    """Build the delta that a line of frames.jsonl was recorded from."""
    cursor = recorded["cursor_values"]
    return encode(
        op=recorded["op"] + 1,
        agg_id=_text(recorded["agg_id_b64"]) if recorded.get("agg_id_b64") else "",
        version=int(recorded["version"]),
        row=base64.b64decode(recorded["row_b64"] or ""),
        old_index=recorded["old_index"],
        new_index=recorded["new_index"],
        cursor=None
        if cursor is None
        else tuple(_FROM_TYPED[typed["t"]](typed.get("v")) for typed in cursor),
        stream_id=_text(recorded["stream_id_b64"]),
    )


def _text(coded):
    return base64.b64decode(coded).decode(errors="surrogateescape")


def trace_delta(recorded):
    """Build the delta that a line of engine_traces.jsonl shows in frame form."""
    values = recorded["cursor"]["values"]
    return encode(
        op=Op[recorded["op"].upper()],
        agg_id=recorded.get("agg_id", ""),
        version=recorded.get("version", 0),
        row=json.dumps(recorded["row"]).encode() if "row" in recorded else b"",
        old_index=recorded["old_index"],
        new_index=recorded["new_index"],
        cursor=None if values is None else tuple(values),
        stream_id=recorded.get("stream_id", ""),
    )


def failure_of(read, *args):
    """Call `read`; return the Failed that it raises, None for none. Other exceptions pass."""
    try:
        read(*args)
    except Failed as failure:
        return failure
    return None


# ---------------------------------------------------------------- frames and groups


def frame(op, agg_id="", old=-1, new=-1, version=0, row=b"", stream_id="", cursor=None):
    return encode(op, agg_id, version, row, old, new, cursor, stream_id)


def row(agg_id, version=1, text=b""):
    """A row of a window: an enter with a row text."""
    shown = text or b'{"v":%d}' % version
    return encode(Op.ENTER, agg_id, version, shown, -1, 0, (agg_id,))


def window_of(ids, version=1):
    return tuple(row(agg_id, version) for agg_id in ids)


def group(*frames, stream_id="1-0"):
    return Group(tuple(frames), stream_id)


def shown(rows):
    """What a client sees of rows, in order."""
    return [(r.agg_id, r.version, r.row, r.cursor) for r in rows]


def enter(agg_id, at, stream_id="", version=1):
    return encode(Op.ENTER, agg_id, version, b'{"v":%d}' % version, -1, at, (agg_id,), stream_id)


IDS = "abcdefg"


@st.composite
def windows(draw):
    """Windows over a few ids, each row in one of a few versions."""
    ids = draw(st.lists(st.sampled_from(IDS), unique=True))
    return tuple(row(agg_id, draw(st.integers(0, 2))) for agg_id in ids)


@st.composite
def wild_frames(draw):
    """Frames of any op, index and version: most groups of them are broken."""
    op = draw(st.sampled_from([Op.ENTER, Op.LEAVE, Op.MOVE, Op.UPDATE] * 4 + [*Op, 9, -3]))
    version = draw(st.integers(-1, 4))
    return frame(
        op,
        "" if op == Op.RESET else draw(st.sampled_from(IDS)),
        draw(st.integers(-2, 7)),
        draw(st.integers(-2, 7)),
        version,
        b'{"v":%d}' % version if op not in (Op.LEAVE, Op.UNMATCH, Op.RESET) else b"",
        "7-0",
    )


@st.composite
def bundles(draw):
    """One to three groups of one to three frames, each group at a position."""
    groups = []
    for number in range(draw(st.integers(1, 3))):
        stream_id = draw(st.sampled_from(["", f"{number}-0"]))
        deltas = [enter(f"r{number}{i}", i, stream_id) for i in range(draw(st.integers(1, 3)))]
        groups.append(group(*deltas, stream_id=stream_id))
    return Bundle(groups, "token", len(groups))


# ---------------------------------------------------------------- JSON text

surrogate_free = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
number_texts = st.from_regex(
    r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
)
white = st.sampled_from(["", "", "", " ", "\n", "\t\r\n  "])
_piece = st.one_of(
    st.sampled_from(
        ['\\"', "\\\\", "\\/", "\\n", "\\u003c", "\\ud800", "\\uD83D\\ude00", "\\u2028"]
    ),
    st.sampled_from(
        ["<", ">", "&", "\u2028", "\u2029", "\x7f", "\u00e9", "\U0001f600", " ", "{", ","]
    ),
    st.sampled_from(["a", "b"]),
)
string_texts = st.lists(_piece, max_size=5).map(lambda pieces: '"' + "".join(pieces) + '"')


@st.composite
def json_texts(draw, depth=3):
    """JSON spelled in any valid way: white space, repeated keys, odd numbers and escapes."""
    kinds = ["scalar", "string", "number"] + (["array", "object"] * 2 if depth else [])
    kind = draw(st.sampled_from(kinds))
    if kind == "scalar":
        text = draw(st.sampled_from(["null", "true", "false"]))
    elif kind == "string":
        text = draw(string_texts)
    elif kind == "number":
        text = draw(number_texts)
    else:
        members = [draw(json_texts(depth=depth - 1)) for _ in range(draw(st.integers(0, 3)))]
        if kind == "object":
            members = [draw(white) + draw(string_texts) + draw(white) + ":" + m for m in members]
        inner = ",".join(members) or draw(white)
        text = "{" + inner + "}" if kind == "object" else "[" + inner + "]"
    return draw(white) + text + draw(white)


@st.composite
def mutations(draw, text):
    """Bytes a few edits away from `text`."""
    data = bytearray(text)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        edit = draw(st.sampled_from(["insert", "delete", "replace", "repeat"]))
        piece = draw(
            st.one_of(
                st.binary(min_size=1, max_size=3),
                st.sampled_from(
                    [
                        b'"',
                        b"\\",
                        b"[",
                        b"]",
                        b"{",
                        b"}",
                        b",",
                        b":",
                        b"null",
                        b"1e400",
                        b"-",
                        b"0",
                        b"\\ud800",
                        b"\xed\xa0\x80",
                        b"\xff",
                        b"\x00",
                        b"NaN",
                        b"\xef\xbb\xbf",
                        b"\x0b",
                    ]
                ),
            )
        )
        end = min(len(data), at + draw(st.integers(1, 6)))
        if edit == "insert":
            data[at:at] = piece
        elif edit == "delete":
            del data[at:end]
        elif edit == "replace":
            data[at:end] = piece
        else:
            data[at:at] = data[at:end]
    return bytes(data)


def members_of(frame):
    """Return all members of a frame, whichever build made it."""
    names = [
        "op",
        "agg_id",
        "version",
        "cursor",
        "old_index",
        "new_index",
        "stream_id",
        "data",
        "at",
    ]
    if isinstance(frame, UnreadableFrame):
        names += ["reason", "excerpt"]
    return tuple(getattr(frame, name) for name in names)


def batch_members(batch):
    """Return all members of a batch by name, whichever build made it."""
    return {name: getattr(batch, name) for name in StructBatch.__struct_fields__}


def batch_with(batch, **changes):
    """Return a batch that differs in some members."""
    return Batch(**(batch_members(batch) | changes))
