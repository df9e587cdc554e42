"""Scalars and rows as the contract spells them.

A store may use another spelling for its rows: the engine only passes ``Row.json`` on. Binary data
is the JSON object ``{"base64": "..."}`` in a cursor and base64 text in a row. Infinity is the JSON
number 9e999, which every parser reads as infinity.
"""

import base64
import json
import math
from collections.abc import Mapping

from livequery.v1 import livequery_pb2 as pb

Scalar = None | bool | int | float | str | bytes


def encode_scalar(value: Scalar) -> pb.Value:
    """Return ``value`` as a member of a cursor."""
    match value:
        case None:
            return pb.Value(null_value="NULL_VALUE")
        case bool():
            return pb.Value(bool_value=value)
        case int():
            return pb.Value(int_value=value)
        case float():
            if math.isinf(value):
                return pb.Value(json_value=b"9e999" if value > 0 else b"-9e999")
            return pb.Value(double_value=value)
        case str():
            return pb.Value(string_value=value)
        case _:
            encoded = base64.b64encode(value).decode()
            return pb.Value(json_value=json.dumps({"base64": encoded}).encode())


def encode_key(key: Scalar) -> str:
    """Return a row's key as the row id on the wire."""
    if isinstance(key, bytes):
        return base64.b64encode(key).decode()
    return key if isinstance(key, str) else repr(key)


def encode_row(names: tuple[str, ...], values: tuple[Scalar, ...]) -> bytes:
    """Return one row as a compact JSON object."""
    plain = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in zip(names, values, strict=True)
    }
    if any(isinstance(value, float) and math.isinf(value) for value in values):
        return _encode_infinite(plain)
    encoded = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return encoded.encode("utf-8", "replace")


def _encode_infinite(row: Mapping[str, Scalar]) -> bytes:
    """Return a row that contains infinity: ``json.dumps`` spells that as no JSON number."""
    members = []
    for name, value in row.items():
        encoded = json.dumps(value, ensure_ascii=False)
        if isinstance(value, float):
            encoded = encoded.replace("Infinity", "9e999")
        members.append(f"{json.dumps(name, ensure_ascii=False)}:{encoded}")
    return ("{" + ",".join(members) + "}").encode("utf-8", "replace")
