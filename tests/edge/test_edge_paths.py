"""Paths are judged once, after decoding once, by both ways of serving."""

import pytest

from raw_client import HEALTH_REQUEST, exchange

BOTH_WAYS = pytest.mark.parametrize("cut", [0, 10], ids=["plain", "in parts"])
QUERY = b"?query=%7B%22entity%22:%22f%22,%22limit%22:1%7D"
SAME = {
    "a stream": (b"/api/v1/live", (b"/api/v1/%6Cive", b"/%61pi/v1/live", b"/api/v1/liv%65")),
    "health": (b"/healthz", (b"/%68ealthz", b"/health%7A", b"/healthz?", b"/healthz?x=/metrics")),
    "metrics": (b"/metrics", (b"/%6Detrics", b"/metric%73", b"/%6d%65%74%72%69%63%73")),
}
NOTHING = [
    b"//api/v1/live",
    b"/api//v1/live",
    b"/api/v1//live",
    b"/api/v1/live/",
    b"/api/v1/live//",
    b"/api/v1/live%2F",
    b"/api%2Fv1%2Flive",
    b"/api/v1/live%2fws",
    b"/api/v1/live/%2e%2e/live",
    b"/api/v1/live/../live",
    b"/api/v1/./live",
    b"/api/v1/live;x",
    b"/api/v1/live%00",
    b"/api/v1/live%20",
    b"/api/v1/%256Cive",
    b"/API/v1/live",
    b"/api/v1/live%3Fquery=x",
    b"/api/v1/live%23",
    b"//metrics",
    b"/metrics/",
    b"/%2Fmetrics",
    b"/%256Detrics",
    b"/x/../metrics",
    b"/x/%2e%2e/metrics",
    b"/./metrics",
    b"/metrics%00",
    b"/api/v1/live/metrics",
    b"/api/v1/live/../../../metrics",
    b"/explorer/../metrics",
    b"/explorer/..%2f..%2fapp.py",
    b"/explorer/%2e%2e%2f%2e%2e%2fhandlers.py",
    b"/explorer/..",
    b"/explorer/handlers.py",
    b"/client/../explorer/index.html",
]


def asking(path):
    return HEALTH_REQUEST.replace(b"/healthz", path)


async def answered(bridge, path, cut):
    head, _ = await exchange(bridge, asking(path), cut)
    return int(head[9:12])


@BOTH_WAYS
@pytest.mark.parametrize("what", SAME)
async def test_a_path_in_another_spelling_is_the_same_path(start_bridge, tier, cut, what):
    tier.rows = "a"
    bridge = await start_bridge(explorer="on")
    path, spellings = SAME[what]
    query = QUERY if what == "a stream" else b""
    assert await answered(bridge, path + query, cut) == 200
    for spelling in spellings:
        assert await answered(bridge, spelling + query, cut) == 200, spelling


@BOTH_WAYS
async def test_a_slash_a_dot_or_a_second_coding_more_reaches_nothing(start_bridge, tier, cut):
    tier.rows = "a"
    bridge = await start_bridge(explorer="on")
    reached = [path for path in NOTHING if await answered(bridge, path + QUERY, cut) != 404]
    assert reached == []
    assert tier.opened == 0


@BOTH_WAYS
async def test_what_the_operators_port_has_is_on_no_spelling_of_a_public_path(start_bridge, cut):
    bridge = await start_bridge(admin_listen="127.0.0.1:0")
    for path in (b"/metrics", *SAME["metrics"][1], b"/admin/revoke", b"/%61dmin/revoke", b"/admin"):
        assert await answered(bridge, path, cut) == 404, path
    assert await answered(bridge, b"/explorer/", cut) == 404, "nor the explorer without its option"


PAGES = ["/explorer/", "/explorer/index.html", "/client/livequery.js", "/"]


@pytest.mark.parametrize("path", PAGES)
async def test_pages_carry_the_headers_that_keep_them_to_themselves(start_bridge, http, path):
    bridge = await start_bridge(explorer="on")
    response = await http.get(bridge.url + path, allow_redirects=False)
    assert response.status == (302 if path == "/" else 200)
    policy = response.headers["Content-Security-Policy"]
    for rule in (
        "default-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "object-src 'none'",
    ):
        assert rule in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response.headers["Permissions-Policy"]
    assert "Server" not in response.headers


async def test_everything_that_is_no_page_can_not_pass_for_one(start_bridge, tier, http):
    tier.rows = "a"
    bridge = await start_bridge()
    for path in (
        "/healthz",
        "/readyz",
        "/metrics",
        "/nope",
        "/api/v1/live?query=x",
        "/api/v1/live" + QUERY.decode(),
    ):
        response = await http.get(bridge.url + path)
        assert response.headers["X-Content-Type-Options"] == "nosniff", path
        assert not response.content_type.startswith("text/html")
        response.close()
