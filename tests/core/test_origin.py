import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Failed, Kind
from bridge.core.origin import check_loopback_host, check_origin, is_loopback, normalize_origin
from bridge.core.origin_list import OriginList
from core_makers import failure_of, thorough

ALLOWED = OriginList(frozenset(["https://app.example:443", "http://localhost:3000"]))


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("https://App.Example", "https://app.example:443"),
        ("HTTPS://app.example:443", "https://app.example:443"),
        ("http://app.example", "http://app.example:80"),
        ("http://app.example:8080", "http://app.example:8080"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
        ("https://app.example:", "https://app.example:443"),
        ("https://app.example:0", "https://app.example:0"),
    ],
)
def test_an_origin_is_named_in_lower_case_with_its_port(origin, name):
    assert normalize_origin(origin) == name
    assert normalize_origin(name) == name


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "app.example",
        "//app.example",
        "file://",
        "ftp://app.example",
        "https://",
        "https://app.example/",
        "https://app.example/x",
        "https://u@app.example",
        "https://:@app.example",
        "https://app.example:x",
        "https://app.example:99999",
        "https://app.example?x",
        "https://app.example#x",
        "http://[::1",
        "javascript:alert(1)",
        "http://app\t.example",
        "http://app.example\t",
        "http://app.example ",
        "http://\u0430pp.example",
    ],
)
def test_what_is_no_origin_is_refused(origin):
    with pytest.raises(ValueError, match=r".*"):
        normalize_origin(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.example",
        "http://app.example",
        "https://app.example:444",
        "https://app.example.evil.example",
        "https://evilapp.example",
        "https://app.example@evil.example",
        "https://evil.example/app.example",
        "https://app.example/",
        "https://xapp.example",
        "https://sub.app.example",
        "",
        "https://app.example.",
        "https://app.example\\.evil.example",
        "https://app.example evil",
        "https://bridge.example.evil:8080",
    ],
)
def test_a_foreign_origin_is_denied(origin):
    with pytest.raises(Failed) as caught:
        check_origin([origin], "bridge.example:8080", ALLOWED)
    assert caught.value.kind is Kind.DENIED


def test_a_request_without_an_origin_is_no_browsers():
    assert check_origin([], "bridge.example", ALLOWED) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://bridge.example:8080", "bridge.example:8080"),
        ("http://bridge.example", "BRIDGE.example"),
        ("https://bridge.example", "bridge.example"),
        ("https://bridge.example:443", "bridge.example"),
        ("http://bridge.example:80", "bridge.example"),
        ("http://[::1]:80", "[::1]"),
    ],
)
def test_the_listeners_own_origin_is_served_as_its_own(origin, host):
    assert check_origin([origin], host, ALLOWED) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://bridge.example", "bridge.example:8080"),
        ("http://bridge.example:8080", "bridge.example"),
        ("https://bridge.example", "bridge.example:80"),
        ("http://bridge.example", ""),
        ("http://bridge.example", "x@bridge.example"),
        ("http://bridge.example", "bridge.example/x"),
    ],
)
def test_another_port_or_a_bent_host_is_not_the_listeners_own(origin, host):
    with pytest.raises(Failed):
        check_origin([origin], host, OriginList())


def test_a_listed_origin_is_returned_as_it_was_sent():
    assert check_origin(["https://App.example"], "bridge.example", ALLOWED) == "https://App.example"
    assert check_origin(["http://localhost:3000"], "localhost:3000", ALLOWED) is None


def test_two_origins_are_none():
    with pytest.raises(Failed):
        check_origin(["https://app.example"] * 2, "bridge.example", ALLOWED)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1",
        "127.8.9.1:80",
        "[::1]",
        "[::1]:8080",
        "app.localhost",
        "localhost.",
        "app.localhost.:80",
        "app.example",
        "app.example:9",
    ],
)
def test_a_loopback_listener_serves_loopback_names_and_listed_hosts(host):
    check_loopback_host(host, ALLOWED)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "evillocalhost",
        "localhost..",
        "local\thost",
        "localhost\t",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "0.0.0.0",  # noqa: S104 - a Host, nothing is bound
        "[::2]",
        "[::1",
        "localhost@evil.example",
        "app.example.evil",
        ":8080",
        "evil@localhost",
        "localhost/evil",
        "localhost?",
        "localhost#",
        "localhost\\evil",
        "localhost:abc",
        "localhost:99999",
        "localhost:-1",
        "[::1]evil",
    ],
)
def test_a_loopback_listener_refuses_a_rebound_name(host):
    with pytest.raises(Failed) as caught:
        check_loopback_host(host, ALLOWED)
    assert caught.value.kind is Kind.DENIED


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("10.0.0.1", False), ("localhost", False), ("", False)],
)
def test_only_addresses_are_loopback(host, loopback):
    assert is_loopback(host) == loopback


@thorough
@given(
    st.text(st.sampled_from("htps:/.@[]#?\\%&\t\x00\u212a:0189aelmpx\u3002"), max_size=24),
    st.booleans(),
)
def test_any_header_is_served_or_denied_and_nothing_else(text, prefixed):
    origin = f"https://app.example{text}" if prefixed else text
    for check in (
        lambda: check_origin([origin], text, ALLOWED),
        lambda: check_loopback_host(text, ALLOWED),
    ):
        failure = failure_of(check)
        assert failure is None or failure.kind is Kind.DENIED


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("https://bridge.example", True),
        ("https://bridge.example:443", True),
        ("http://bridge.example", False),
        ("http://bridge.example:443", False),
    ],
)
def test_behind_its_own_tls_a_listeners_own_origin_is_https(origin, own):
    if own:
        assert check_origin([origin], "bridge.example", OriginList(), tls=True) is None
    else:
        with pytest.raises(Failed):
            check_origin([origin], "bridge.example", OriginList(), tls=True)
    assert check_origin(
        ["http://x.example"], "x.example", OriginList(frozenset(["http://x.example:80"])), tls=True
    )
