"""Entity tags: `ETag` and `If-None-Match` (RFC 9110 §8.8.3, §13.1.2)."""

import re
from collections.abc import Iterable

_TAG = re.compile(r'(?:W/)?"([!#-~\x80-\U0010ffff]*)"')


def format_tag(text: str) -> str:
    """Print a strong entity tag."""
    return f'"{text}"'


def parse_if_none_match(lines: Iterable[str]) -> frozenset[str]:
    """Parse the lines of the field into the texts of its tags; `*` stands for any.

    Comparison is weak, so `W/` makes no difference. What is no tag is passed over.
    """
    value = ",".join(lines)
    return frozenset(["*"]) if value.strip() == "*" else frozenset(_TAG.findall(value))
