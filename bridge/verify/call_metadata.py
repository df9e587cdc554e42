"""Call metadata from the command line, and its values kept out of the output."""

from collections.abc import Iterable

from bridge.core.metadata import METADATA_VALUE, check_name, secret_values, without_values

from .calls import Metadata


def parse_metadata(texts: Iterable[str]) -> Metadata:
    """Read NAME=VALUE pairs.

    Raises ValueError for another form; its message quotes nothing that may be a secret.
    """
    pairs = []
    for number, text in enumerate(texts, 1):
        name, equals, value = text.partition("=")
        name = name.strip().lower()
        if not equals:  # the whole text may be a value
            raise ValueError(f"number {number}: NAME=VALUE is needed")
        try:
            check_name(name)
        except ValueError:
            raise ValueError(f"number {number}: its name can't be metadata") from None
        if not METADATA_VALUE.fullmatch(value):
            raise ValueError(f"{name}: a value of visible ASCII is needed")
        pairs.append((name, value))
    return tuple(pairs)


class Mask:
    """Replaces metadata values, and their parts behind a space, by `***`."""

    def __init__(self, metadata: Metadata = ()) -> None:
        self._values = secret_values(metadata)

    def __call__(self, text: str) -> str:
        """Return text without the values."""
        return without_values(text, self._values)
