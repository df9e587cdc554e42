"""Addresses of the tier."""

import pytest

from bridge.core.address import ReplicaAddress, ServiceName, parse_address


@pytest.mark.parametrize("text", ["10.0.0.3:50051", "tier:1", "[::1]:50051", "unix:/run/t.sock"])
def test_one_replica(text):
    assert parse_address(text) == ReplicaAddress(text)


def test_a_service_name_is_many_replicas_which_keep_its_name():
    name = parse_address("dns:///tier.live.svc:50051")
    assert name == ServiceName("tier.live.svc", 50051)
    assert name.address == "dns:///tier.live.svc:50051"
    assert name.at("10.0.0.3") == ReplicaAddress("10.0.0.3:50051", "tier.live.svc", 50051)
    assert name.at("fd00::3").address == "[fd00::3]:50051"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tier",
        "tier:",
        ":1",
        "tier:x",
        "dns:///tier",
        "dns://8.8.8.8/tier:1",
        "http://a:1",
        "unix:",
    ],
)
def test_an_invalid_address_is_refused_and_quoted(text):
    with pytest.raises(ValueError, match=r".") as refused:
        parse_address(text)
    assert repr(text) in str(refused.value)
