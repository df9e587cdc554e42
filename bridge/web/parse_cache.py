"""Parse cache: a text that many clients send is parsed once.

Clients of one page send the same query. The parsed value depends only on the text and on the
largest window, and nobody changes it. Failures and long texts are not cached, so that the cache
stays small whatever clients send.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar, TypeVarTuple

MAX_ENTRIES = 256
MAX_LENGTH = 2048

Text = TypeVar("Text", str, bytes)
Rules = TypeVarTuple("Rules")
T = TypeVar("T")


def parse_cached(parse: Callable[[Text, *Rules], T]) -> Callable[[Text, *Rules], T]:
    """Wrap a parser, so that it parses the same text only once under the same rules."""
    cached = lru_cache(MAX_ENTRIES)(parse)

    def parse_or_recall(text: Text, /, *rules: *Rules) -> T:
        return (cached if len(text) <= MAX_LENGTH else parse)(text, *rules)

    return parse_or_recall
