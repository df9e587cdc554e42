"""OriginList: wildcards hold subdomains of a name at any depth, and nothing that only looks so."""

import pytest

from bridge.core.origin import check_origin
from bridge.core.origin_list import OriginList

LISTED = OriginList(
    frozenset(["https://*.example.com:443", "http://*.localhost:3000", "capacitor://localhost"])
)


@pytest.mark.parametrize(
    "origin",
    ["https://a.example.com:443", "https://a.b.example.com:443", "http://x.localhost:3000"],
)
def test_every_subdomain_is_listed(origin):
    assert origin in LISTED
    assert LISTED.has_host(origin.partition("://")[2].partition(":")[0])


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.com:443",
        "https://.example.com:443",
        "https://*.example.com:443",
        "https://a.*.example.com:443",
        "https://badexample.com:443",
        "http://a.example.com:443",
        "https://a.example.com:444",
        "https://a.example.com.evil.com:443",
        "https://example.com:443.evil.com:443",
    ],
)
def test_no_other_origin_is_listed(origin):
    assert origin not in LISTED


def test_the_page_of_an_app_is_allowed_and_names_no_host_of_the_listener():
    assert check_origin(["capacitor://localhost"], "app.example", LISTED) == "capacitor://localhost"
    assert not OriginList(frozenset(["capacitor://app.example"])).has_host("app.example")


def test_an_empty_list_is_false():
    assert not OriginList()
    assert LISTED
