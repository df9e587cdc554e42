"""Clients behind proxies: the list is read from the right, and only trusted proxies are believed."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.forwarded import MAX_HOPS, TrustedProxies

PROXIES = TrustedProxies(tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "2001:db8::/32"))))
CLIENT, FORGED = "203.0.113.7", "198.51.100.66"


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        (CLIENT, [FORGED], CLIENT),  # not by a proxy: it may say what it likes
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [CLIENT], CLIENT),
        ("10.0.0.1", [f"{FORGED}, {CLIENT}"], CLIENT),
        ("10.0.0.1", [FORGED, CLIENT], CLIENT),  # lines of one field are one list
        ("10.0.0.1", [f"{FORGED}, {CLIENT}, 10.0.0.9,10.1.1.1"], CLIENT),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [f"{CLIENT}:4711"], CLIENT),
        ("10.0.0.1", ["2001:4860::8"], "2001:4860::8"),
        ("10.0.0.1", ["[2001:4860::8]:4711"], "2001:4860::8"),
        ("2001:db8::1", ["2001:4860:0:0::8"], "2001:4860::8"),
        ("::ffff:10.0.0.1", [CLIENT], CLIENT),
        ("10.0.0.1", [f"{CLIENT}, unknown"], "10.0.0.1"),
        ("10.0.0.1", [f"{CLIENT}, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [f"{CLIENT},"], "10.0.0.1"),
        ("10.0.0.1", ["evil.example"], "10.0.0.1"),
        ("", [CLIENT], ""),
    ],
)
def test_x_forwarded_for(peer, lines, client):
    assert PROXIES.client(peer, lines, []) == client


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        ([f"for={CLIENT}"], CLIENT),
        ([f"For={CLIENT};proto=https;by=10.0.0.1"], CLIENT),
        ([f'by=10.0.0.1; for="{CLIENT}:80"'], CLIENT),
        (['for="[2001:4860::8]:4711"'], "2001:4860::8"),
        ([f"for={FORGED}, for={CLIENT}, for=10.0.0.2"], CLIENT),
        ([f"for={FORGED}", f"for={CLIENT}"], CLIENT),
        ([f'for={CLIENT};ext="a, for={FORGED}"'], "10.0.0.1"),
        ([f'for={FORGED};a="', 'for="[2001:4860::8]"'], "2001:4860::8"),
        ([f'for={FORGED};a=", for="[2001:4860::8]"'], "2001:4860::8"),
        ([f"for={CLIENT}, for=_hidden"], "10.0.0.1"),
        ([f"for={CLIENT}, for=unknown, for=10.0.0.2"], "10.0.0.2"),
        ([f"for={CLIENT}, proto=https"], "10.0.0.1"),
        ([f"for={CLIENT};for={FORGED}"], "10.0.0.1"),
        (['for="'], "10.0.0.1"),
        ([""], "10.0.0.1"),
    ],
)
def test_forwarded(lines, client):
    assert PROXIES.client("10.0.0.1", [], lines) == client


def test_of_two_fields_that_differ_one_is_forged_and_neither_is_believed():
    assert PROXIES.client("10.0.0.1", [CLIENT], [f"for={FORGED}"]) == "10.0.0.1"
    assert PROXIES.client("10.0.0.1", [CLIENT], [f"for={CLIENT}"]) == CLIENT


def test_without_proxies_nothing_is_believed():
    assert not TrustedProxies()
    assert TrustedProxies().client("127.0.0.1", [FORGED], [f"for={FORGED}"]) == "127.0.0.1"


def test_a_chain_longer_than_any_is_read_to_a_limit():
    chain = ", ".join(["10.0.0.2"] * 10_000)
    assert PROXIES.client("10.0.0.1", [f"{CLIENT}, {chain}"], []) == "10.0.0.2"
    assert PROXIES.client("10.0.0.1", [", ".join([CLIENT] + ["10.0.0.2"] * MAX_HOPS)], []) != CLIENT


@given(st.lists(st.text(max_size=40), max_size=4), st.lists(st.text(max_size=40), max_size=4))
def test_whatever_a_client_writes_left_of_the_proxys_word_changes_nothing(xff, forwarded):
    assert PROXIES.client("10.0.0.1", [*xff, CLIENT], []) == CLIENT
    assert PROXIES.client("10.0.0.1", [], [*forwarded, f'for="{CLIENT}"']) == CLIENT
