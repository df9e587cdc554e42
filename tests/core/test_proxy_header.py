"""PROXY protocol: the header of a proxy, in both versions, and nothing that only looks like one."""

import ipaddress

import pytest

from bridge.core.proxy_header import (
    MAX_V2_BODY,
    V2_SIGNATURE,
    ProxyHeaderError,
    parse_v1,
    parse_v2,
    v2_body_size,
)


@pytest.mark.parametrize(
    ("line", "client"),
    [
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n", "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ff::1 ff::2 1 2\r\n", None),
    ],
)
def test_a_line_names_the_client_or_nobody(line, client):
    assert parse_v1(line) == client


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\n",
        b"PROXY TCP4 2001:db8::7 ::1 4711 443\r\n",
        b"PROXY TCP6 203.0.113.7 10.0.0.1 4711 443\r\n",
        b"PROXY TCP4 300.0.113.7 10.0.0.1 4711 443\r\n",
        b"PROXY TCP4 203.0.113.7\r\n",
        b"proxy TCP4 203.0.113.7 10.0.0.1 4711 443\r\n",
        b"PROXY UNKNOWN\r\nX",
    ],
)
def test_another_line_is_refused(line):
    with pytest.raises(ProxyHeaderError):
        parse_v1(line)


def fixed(command, family, size):
    return V2_SIGNATURE + bytes([command, family]) + size.to_bytes(2)


def addresses(client):
    packed = ipaddress.ip_address(client).packed
    return packed + packed + b"\x12\x34\x01\xbb"


@pytest.mark.parametrize(
    ("command", "family", "body", "client"),
    [
        (0x21, 0x11, addresses("203.0.113.7"), "203.0.113.7"),
        (0x21, 0x21, addresses("2001:db8::7") + b"\x04\x00\x01x", "2001:db8::7"),
        (0x20, 0x00, b"", None),
        (0x20, 0x11, addresses("203.0.113.7"), None),
        (0x21, 0x31, b"x" * 216, None),
        (0x21, 0x00, b"", None),
    ],
)
def test_a_binary_header_names_the_client_or_nobody(command, family, body, client):
    head = fixed(command, family, len(body))
    assert v2_body_size(head) == len(body)
    assert parse_v2(head, body) == client


def test_a_binary_header_of_another_version_size_or_length_is_refused():
    for head in (fixed(0x11, 0x11, 12), fixed(0x22, 0x11, 12), fixed(0x21, 0x11, MAX_V2_BODY + 1)):
        with pytest.raises(ProxyHeaderError):
            v2_body_size(head)
    with pytest.raises(ProxyHeaderError):
        parse_v2(fixed(0x21, 0x21, 12), addresses("203.0.113.7"))
