import zlib

import pytest

from bridge.core.digest import digest
from core_makers import row


@pytest.mark.parametrize(
    ("version", "counted"),
    [
        (7, 7),
        (-7, -7),
        (2**53 - 1, 2**53 - 1),
        (2**53, 0),
        (1 - 2**53, 1 - 2**53),
        (-(2**53), 0),
        (0, 0),
    ],
)
def test_a_digest_is_the_crc_of_ids_and_versions_that_javascript_can_hold(version, counted):
    rows = [row("a\u00e9", version), row("b", 1)]
    text = f"a\u00e9\n{counted}\nb\n1\n".encode()
    assert digest(rows) == f"{zlib.crc32(text):08x}"


def test_the_digest_of_nothing_is_eight_zeros():
    assert digest(()) == "00000000"
