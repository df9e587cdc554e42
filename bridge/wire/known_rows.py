"""`known`: the window that a returning client says it has (docs/wire.md §5, §8)."""

from typing import Any

from bridge.core.diff import rows_from_versions
from bridge.core.errors import Failed, Kind
from bridge.core.json_tree import JsonNumber, JsonObject
from bridge.core.window import Rows

MAX_KNOWN = 1000
_JS_SAFE = 2**53 - 1


def read_known(tree: Any) -> Rows | None:
    """Read `known`: pairs of agg_id and version in window order, or an object. None where absent.

    Raises:
        Failed: MALFORMED for anything else, and for more than `MAX_KNOWN` rows.

    """
    if tree is None:
        return None
    pairs = tree.pairs if isinstance(tree, JsonObject) else tree
    if not isinstance(pairs, list):
        raise _malformed("known", "a list of [agg_id, version] is needed")
    if len(pairs) > MAX_KNOWN:
        raise _malformed("known", f"at most {MAX_KNOWN} rows")
    return rows_from_versions(_id_and_version(pair, at) for at, pair in enumerate(pairs))


def _id_and_version(pair: Any, at: int) -> tuple[str, int]:
    """Read one row of `known`. A version that is no integer, or beyond ±(2^53 - 1), counts as 0."""
    if not isinstance(pair, list | tuple) or not pair or not isinstance(pair[0], str):
        raise _malformed(f"known[{at}]", "[agg_id, version] is needed")
    number = pair[1] if len(pair) > 1 else None
    if (
        isinstance(number, JsonNumber)
        and number.text.lstrip("-").isdecimal()
        and len(number.text) < 20  # noqa: PLR2004 - no int64 has more digits
    ):
        version = int(number.text)
        # JavaScript can't have kept the digits of a larger one.
        return pair[0], version if -_JS_SAFE <= version <= _JS_SAFE else 0
    return pair[0], 0


def _malformed(field: str, message: str) -> Failed:
    return Failed(Kind.MALFORMED, message, field=field)
