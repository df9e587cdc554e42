"""Recall: texts that many clients send alike are read once.

Clients of one page ask the same. What is read of a text depends on the text and on the largest
window alone, and nobody changes it; a failure is not remembered. Long texts are not either, so
that what is kept stays small whatever clients send.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

KEPT = 256
LONGEST = 2048

Text = TypeVar("Text", str, bytes)
T = TypeVar("T")


def recalling(read: Callable[[Text, int], T]) -> Callable[[Text, int], T]:
    """Wrap a reader of `(text, max_rows)`, so that it reads the same text only once."""
    recalled = lru_cache(KEPT)(read)

    def look(text: Text, max_rows: int) -> T:
        return recalled(text, max_rows) if len(text) <= LONGEST else read(text, max_rows)

    return look
