"""Client addresses: what limits count one client under."""

import pytest

from bridge.core.client_address import counted_address


@pytest.mark.parametrize("address", ["127.0.0.1", "203.0.113.7", "", "unix", "fe80::1%eth0x/"])
def test_an_ipv4_address_and_what_is_no_address_are_counted_as_they_are(address):
    assert counted_address(address) == address


def test_ipv6_addresses_of_one_64_network_are_one_client():
    first = counted_address("2001:db8:1:2::1")
    assert counted_address("2001:db8:1:2:ffff:ffff:ffff:ffff") == first == "2001:db8:1:2::/64"
    assert counted_address("2001:db8:1:3::1") != first


def test_an_ipv4_address_mapped_into_ipv6_is_the_ipv4_address():
    assert counted_address("::ffff:203.0.113.7") == "203.0.113.7"
