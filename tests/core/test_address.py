"""Addresses of the tier: one grammar for every kind of call."""

import pytest

from bridge.core.address import ReplicaAddress, ServiceName, parse_address


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.3:50051",
        "tier:1",
        "my_tier-2.live.svc.:65535",
        "[::1]:50051",
        "unix:/run/t.sock",
        "unix:///run/t.sock",
        "xn--bcher-kva.example:1",
    ],
)
def test_one_replica(text):
    assert parse_address(text) == ReplicaAddress(text)


def test_a_service_name_is_many_replicas_which_keep_its_name():
    name = parse_address("dns:///tier.live.svc:50051")
    assert name == ServiceName("tier.live.svc", 50051)
    assert name.address == "dns:///tier.live.svc:50051"
    assert name.at("10.0.0.3") == ReplicaAddress("10.0.0.3:50051", "tier.live.svc", 50051)
    assert name.at("fd00::3").address == "[fd00::3]:50051"


@pytest.mark.parametrize(
    ("address", "target", "tls_name", "authority"),
    [
        (parse_address("tier:1"), ("tier", 1), "tier", "tier:1"),
        (parse_address("10.0.0.3:1"), ("10.0.0.3", 1), "10.0.0.3", "10.0.0.3:1"),
        (parse_address("[::1]:1"), ("::1", 1), "::1", "[::1]:1"),
        (parse_address("[fe80::1%eth0]:1"), ("fe80::1%eth0", 1), "fe80::1%eth0", "[fe80::1]:1"),
        (ServiceName("tier", 1).at("fd00::3"), ("fd00::3", 1), "tier", "tier:1"),
        (parse_address("dns:///[::1]:1").at("::1"), ("::1", 1), "::1", "[::1]:1"),
    ],
)
def test_target_certificate_name_and_authority_of_a_replica(address, target, tls_name, authority):
    assert (address.target, address.tls_name, address.authority) == (target, tls_name, authority)


@pytest.mark.parametrize("text", ["unix:/run/t.sock", "unix:///run/t.sock"])
def test_a_unix_socket_is_asked_as_localhost(text):
    address = parse_address(text)
    assert address.unix_path == "/run/t.sock"
    assert (address.tls_name, address.authority) == ("localhost", "localhost")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "HOST:PORT, dns:///NAME:PORT or unix:/PATH"),
        ("tier", "HOST:PORT, dns:///NAME:PORT or unix:/PATH"),
        ("tier:", "HOST:PORT, dns:///NAME:PORT or unix:/PATH"),
        (":1", "HOST:PORT, dns:///NAME:PORT or unix:/PATH"),
        ("tier/a:1", "HOST:PORT, dns:///NAME:PORT or unix:/PATH"),
        ("dns:///tier", "HOST:PORT, dns:///NAME:PORT or unix:/PATH"),
        ("tier:x", "'x' is no port"),
        ("tier:0", "'0' is no port"),
        ("host:99999", "'99999' is no port; it is a number from 1 to 65535"),
        ("host:٣", "'٣' is no port"),
        ("dns:localhost:5", "write dns:///localhost:5"),
        ("dns://8.8.8.8/tier:1", "the system's resolver is asked"),
        ("ipv4:127.0.0.1:5", "write it without 'ipv4:': 127.0.0.1:5"),
        ("ipv6:[::1]:5", "write it without 'ipv6:': [::1]:5"),
        ("http://a:1", "as in 'a:1'"),
        ("grpc://a:1/x", "as in 'a:1'"),
        ("127.1:5", "'127.1' is no IPv4 address; it has four numbers"),
        ("0:5", "'0' is no IPv4 address"),
        ("0x7f000001:5", "is no IPv4 address"),
        ("127.0.0.256:5", "is no IPv4 address"),
        ("tier.1:5", "is no IPv4 address"),
        ("::1:5", "an IPv6 address is in brackets: [::1]:5"),
        ("dns:///::1:5", "an IPv6 address is in brackets: dns:///[::1]:5"),
        ("a:b:5", "an IPv6 address is in brackets"),
        ("[::1:5", "is no IPv6 address"),
        ("[tier]:5", "is no IPv6 address"),
        ("a:1 b:1", "several are separated by commas"),
        ("bücher.example:1", "write xn--bcher-kva.example"),
        ("a..b:1", "is no host name"),
        ("-a:1", "is no host name"),
        ("a@b:1", "is no host name"),
        ("unix:", "needs a path"),
        ("unix://", "needs a path"),
        ("unix://run/t.sock", "as in unix:/run/t.sock"),
    ],
)
def test_an_invalid_address_is_refused_quoted_and_spelt_right(text, reason):
    with pytest.raises(ValueError, match=r".") as refused:
        parse_address(text)
    assert repr(text) in str(refused.value)
    assert reason in str(refused.value)
