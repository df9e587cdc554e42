import pytest

from bridge.core.metadata import METADATA_VALUE, TRACE_HEADER, check_name


@pytest.mark.parametrize("name", ["authorization", "cookie", "x-tenant", "traceparent", "x_y.z-1"])
def test_a_header_that_is_the_clients_to_set_may_be_forwarded(name):
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        ":authority",
        "grpc-timeout",
        "grpc-",
        "host",
        "connection",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-type",
        "content-length",
        "livequery-route",
        "x-bin",
        "",
        "X-Tenant",
        "x tenant",
        "x\ny",
        "x\n",
        "x:y",
        "\u00e9",
        "\u212a",
    ],
)
def test_a_header_that_is_the_protocols_or_no_name_is_refused(name):
    with pytest.raises(ValueError, match="can't be forwarded"):
        check_name(name)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("", True),
        ("Bearer x ~", True),
        ("a\n", False),
        ("a\r\nb: c", False),
        ("\t", False),
        ("\x7f", False),
        ("\u00e9", False),
    ],
)
def test_a_value_is_visible_ascii_and_spaces(value, fits):
    assert bool(METADATA_VALUE.fullmatch(value)) == fits


@pytest.mark.parametrize(
    ("name", "trace"),
    [
        ("traceparent", True),
        ("x-b3-traceid", True),
        ("baggage", True),
        ("x-tenant", False),
        ("xtraceparent", False),
        ("authorization", False),
    ],
)
def test_trace_headers_are_distinguished_from_the_rest(name, trace):
    assert bool(TRACE_HEADER.fullmatch(name)) == trace
