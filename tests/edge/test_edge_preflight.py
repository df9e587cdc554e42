"""Preflights: what a listed page may send (Fetch standard)."""

import json
import re
from pathlib import Path

import pytest

from bridge.core.metadata import TRACING_HEADERS
from clients import QUERY

PAGE = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
OPERATIONS = Path(__file__).parents[2] / "docs/operations.md"


def names(response, field):
    return [name.strip() for name in response.headers[field].split(",")]


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "baggage",
        "cache-control",
        "content-type",
        "elastic-apm-traceparent",
        "if-none-match",
        "last-event-id",
        "newrelic",
        "sentry-trace",
        "traceparent",
        "tracestate",
        "x-b3-traceid",
        "x-datadog-origin",
        "x-datadog-parent-id",
        "x-datadog-sampling-priority",
        "x-datadog-trace-id",
        "x-request-id",
        "x-requested-with",
        "x-tenant",
    ],
)
async def test_a_listed_page_may_send_what_its_libraries_add(start_bridge, http, name):
    bridge = await start_bridge(
        allowed_origins="https://page.example", forward_metadata="authorization,x-tenant"
    )
    asked = {**PAGE, "Access-Control-Request-Headers": f"content-type,{name}"}
    response = await http.options(bridge.base, headers=asked)
    assert response.status == 204
    assert name in names(response, "Access-Control-Allow-Headers")
    assert response.headers["Access-Control-Allow-Origin"] == "https://page.example"


async def test_a_page_may_not_send_what_nobody_named(start_bridge, http):
    bridge = await start_bridge(allowed_origins="https://page.example")
    odd = "x-tenant,x-user,x-datadog- evil,x-forwarded-for,x-datadog-\xe4"
    asked = {**PAGE, "Access-Control-Request-Headers": odd}
    response = await http.options(bridge.base, headers=asked)
    assert response.status == 400, "not ASCII"
    asked["Access-Control-Request-Headers"] = odd[:-1] + "trace-id"
    response = await http.options(bridge.base, headers=asked)
    allowed = names(response, "Access-Control-Allow-Headers")
    assert "x-datadog-trace-id" in allowed
    assert not {"x-tenant", "x-user", "x-datadog- evil", "x-forwarded-for", "*"} & set(allowed)


@pytest.mark.parametrize("path", ["", "/window", "/ticket", "/schema"])
async def test_every_path_of_streams_and_windows_has_its_preflight(start_bridge, http, path):
    bridge = await start_bridge(allowed_origins="https://page.example")
    for method in ("GET", "POST", "QUERY"):
        asked = {**PAGE, "Access-Control-Request-Method": method}
        response = await http.options(bridge.base + path, headers=asked)
        assert response.status == 204
        assert method in names(response, "Access-Control-Allow-Methods")
    foreign = {**PAGE, "Origin": "https://evil.example"}
    assert (await http.options(bridge.base + path, headers=foreign)).status == 403


async def test_a_listed_page_may_read_id_etag_and_retry_after(start_bridge, tier, http):
    tier.rows = "a"
    bridge = await start_bridge(allowed_origins="https://page.example")
    for query in (QUERY, {}):
        response = await http.post(
            bridge.base, data=json.dumps(query), headers={"Origin": "https://page.example"}
        )
        exposed = names(response, "Access-Control-Expose-Headers")
        assert set(exposed) == {"ETag", "Retry-After", "X-Request-Id"}
        assert response.headers["X-Request-Id"]
        response.close()


def test_the_table_of_tracing_headers_is_the_documented_one():
    text = OPERATIONS.read_text()
    table = text[text.index("### Tracing headers") :].split("\n\n")
    rows = re.findall(r"^\| ([^|]+) \| (`[^|]+) \|$", "\n\n".join(table[:3]), re.MULTILINE)
    documented = {who: tuple(re.findall(r"`([^`]+)`", cells)) for who, cells in rows}
    assert documented == TRACING_HEADERS


async def test_tracing_headers_never_split_a_subscription_forwarded_or_not(
    start_bridge, tier, http
):
    every = [name.replace("*", "trace-id") for names in TRACING_HEADERS.values() for name in names]
    bridge = await start_bridge(
        forward_metadata=",".join(["authorization", *every]), max_connections_per_ip="0"
    )
    tier.rows = "a"
    clients = [
        await http.post(
            bridge.base,
            data=json.dumps(QUERY),
            headers={"Authorization": "Bearer x", **{name: f"{name}-{n}" for name in every}},
        )
        for n in range(5)
    ]
    assert [client.status for client in clients] == [200] * 5
    assert tier.opened == 1
    [call] = tier.open.values()
    assert [name for name in every if call.metadata.get(name) != f"{name}-0"] == []
    for client in clients:
        client.close()
