"""Recall: texts that many clients send alike are read once.

Clients of one page ask the same. What is read of a text depends on the text and on the largest
window alone, and nobody changes it; a failure is not remembered. Long texts are not either, so
that what is kept stays small whatever clients send.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar, TypeVarTuple

MAX_ENTRIES = 256
MAX_LENGTH = 2048

Text = TypeVar("Text", str, bytes)
Rules = TypeVarTuple("Rules")
T = TypeVar("T")


def parse_cached(read: Callable[[Text, *Rules], T]) -> Callable[[Text, *Rules], T]:
    """Wrap a reader of a text, so that it reads the same one only once under the same rules."""
    recalled = lru_cache(MAX_ENTRIES)(read)

    def look(text: Text, /, *rules: *Rules) -> T:
        return (recalled if len(text) <= MAX_LENGTH else read)(text, *rules)

    return look
