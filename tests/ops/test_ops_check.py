"""`check` goes the way of the streams, and says what is wrong with it."""

import asyncio
import contextlib
import json
import socket

import grpc
import pytest
from click.testing import CliRunner

from bridge.check import check_tier
from bridge.cli import cli
from bridge.config.loader import resolve
from bridge.core.query_parser import parse_query
from bridge.upstream.http2.connection import CONNECT_TIMEOUT
from ops_support import free_port
from patience import patient
from queries import query_members
from scripted_tier import ScriptedTier

QUERY = parse_query(json.dumps(query_members("flights", 3)))


async def found(upstream, query=None, **options):
    config, _ = resolve({"upstream": upstream, **options}, {}, None)
    return [finding async for finding in check_tier(config, query)]


async def said(*arguments, **more):
    [finding] = await found(*arguments, **more)
    return finding.ok, finding.text


@pytest.fixture
async def scripted():
    """Start a tier that refuses every query, or starts it."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*answers, credentials=None):
            tier = await ScriptedTier().start(credentials=credentials)
            stack.push_async_callback(tier.stop)

            async def answer():
                for code in answers:
                    call = await tier.next_call()
                    call.start() if code is None else call.fail(code, "secret")

            task = asyncio.create_task(answer())
            stack.callback(task.cancel)
            return tier.address

        yield start


@pytest.mark.parametrize("code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT])
async def test_a_refusal_of_what_can_not_exist_proves_the_service(scripted, code):
    assert await said(await scripted(code)) == (True, "reachable")


async def test_a_query_of_the_operators_must_be_served(scripted):
    assert await said(await scripted(None), QUERY) == (True, "reachable")
    ok, text = await said(await scripted(grpc.StatusCode.NOT_FOUND), QUERY)
    assert not ok
    assert text.startswith("reachable, but the tier refuses the query: ")
    assert "secret" not in text


async def test_a_credential_that_is_wanted_is_named(scripted):
    ok, text = await said(await scripted(grpc.StatusCode.UNAUTHENTICATED))
    assert ok
    assert "wants a credential" in text
    assert "UNAUTHENTICATED" in text


async def test_a_grpc_server_without_the_service_is_no_tier():
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ok, text = await said(f"127.0.0.1:{port}")
    await server.stop(None)
    assert not ok
    assert text.startswith("not reachable: no service: ")


async def test_a_refused_port_and_a_wrong_name_are_told_apart():
    ok, text = await said(f"127.0.0.1:{free_port()}")
    assert (ok, text) == (
        False,
        "not reachable: connection refused: nothing listens on that port",
    )
    for upstream in ("no-such-tier.invalid:1", "dns:///no-such-tier.invalid:1"):
        ok, text = await said(upstream)
        assert not ok
        assert text.startswith("not reachable: the name can't be resolved: ")


async def test_a_plain_http_server_is_named():
    async def serve(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        ok, text = await said(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert not ok
    assert text == (
        "not reachable: an HTTP/1 server answers there, and no gRPC: 'HTTP/1.1 400 Bad Request'"
    )


async def test_tls_on_one_side_only_is_named(scripted, authority):
    cert, key = authority.issue("tier", 1)
    plain = await scripted(grpc.StatusCode.NOT_FOUND)
    ok, text = await said(plain, upstream_ca=authority.ca)
    assert not ok
    assert "TLS" in text or "closes the connection" in text
    tls = await scripted(grpc.StatusCode.NOT_FOUND, credentials=credentials(cert, key))
    ok, text = await said(tls)
    assert not ok
    assert "TLS" in text


async def test_a_certificate_is_untrusted_or_for_another_name(scripted, authority, tmp_path):
    cert, key = authority.issue("tier", 1)
    tls = await scripted(grpc.StatusCode.NOT_FOUND, credentials=credentials(cert, key))
    ok, text = await said(tls, upstream_tls="on")
    assert not ok
    assert text.startswith("not reachable: the certificate is not trusted: ")
    ok, text = await said(tls, upstream_ca=authority.ca, upstream_server_name="other.example")
    assert not ok
    assert text.startswith("not reachable: the certificate is for another name: ")
    assert "other.example" in text
    assert await said(tls, upstream_ca=authority.ca) == (True, "reachable")


def credentials(cert, key):
    with open(key, "rb") as private, open(cert, "rb") as public:
        return grpc.ssl_server_credentials([(private.read(), public.read())])


async def test_a_time_out_says_what_was_awaited(scripted, monkeypatch):
    monkeypatch.setattr("bridge.check.ANSWER_TIMEOUT", 0.5)
    assert await said(await scripted()) == (
        False,
        "not reachable: time-out: accepted, no `started`",
    )
    # Longer than a connection may take, which the compiled build does not let be set.
    monkeypatch.setattr("bridge.check.ANSWER_TIMEOUT", CONNECT_TIMEOUT + patient(5))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ok, text = await said(f"127.0.0.1:{silent.getsockname()[1]}")
    assert (ok, text) == (False, "not reachable: no connection in time")


async def test_each_address_has_its_line(scripted):
    tier = await scripted(grpc.StatusCode.NOT_FOUND)
    dead = f"127.0.0.1:{free_port()}"
    findings = await found(f"{dead},{tier}")
    assert [(finding.address, finding.ok) for finding in findings] == [(dead, False), (tier, True)]


@pytest.mark.parametrize(
    ("upstream", "spelling"),
    [
        ("dns:localhost:5", "dns:///localhost:5"),
        ("ipv4:127.0.0.1:5", "127.0.0.1:5"),
        ("127.1:5", "four numbers"),
        ("0:5", "four numbers"),
        ("::1:5", "[::1]:5"),
        ("a:1 b:1", "commas"),
        ("host:99999", "65535"),
    ],
)
@pytest.mark.parametrize("command", ["check", "serve"])
def test_an_address_that_is_none_ends_with_2_and_the_right_spelling(command, upstream, spelling):
    done = CliRunner().invoke(cli, [command, "--upstream", upstream])
    assert done.exit_code == 2
    assert spelling in done.output


def test_a_query_that_is_none_ends_with_2():
    done = CliRunner().invoke(cli, ["check", "--upstream", "a:1", "--query", "{"])
    assert done.exit_code == 2
    assert "--query" in done.output
