"""TLS of the listener: served, checked at the start, reloaded without a lost connection."""

import asyncio
import json
import os
import signal
import ssl
from pathlib import Path

import aiohttp
import pytest

from bridge import app, factories
from bridge.config.loader import ConfigError, resolve
from bridge.tls.pem import TlsError
from clients import QUERY, SseClient
from patience import patient
from waiting import until


def trust(authority, cert=None):
    context = ssl.create_default_context(cafile=authority.ca)
    if cert:
        context.load_cert_chain(*cert)
    return context


async def serial(url, context):
    """Return the serial of the certificate that a new connection gets; check that it is served."""
    host, port = url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b" 200 " in await reader.readline()
        return int(writer.get_extra_info("peercert")["serialNumber"], 16)
    finally:
        writer.transport.abort()


@pytest.fixture
async def secure(serve, authority):
    """Start `serve` with a certificate of serial 1."""

    async def start(*arguments):
        cert, key = authority.issue("server", 1)
        program = await serve("--tls-cert", cert, "--tls-key", key, *arguments)
        return program, await program.listening()

    return start


async def test_browsers_are_served_over_https_on_both_transports(secure, authority, http):
    _, url = await secure()
    assert url.startswith("https://127.0.0.1:")
    context = trust(authority)
    headers = {"Origin": url}
    response = await http.post(
        url + "/api/v1/live", data=json.dumps(QUERY), ssl=context, headers=headers
    )
    client = SseClient(response)
    assert [frame["op"] for frame in await client.frames(3)] == ["reset", "enter", "enter"]
    client.close()
    async with http.ws_connect(url + "/api/v1/live/ws", ssl=context, headers=headers) as ws:
        await ws.send_json({"action": "subscribe", "query": QUERY})
        assert json.loads((await ws.receive(timeout=patient(5))).data)["op"] == "reset"
    foreign = {"Origin": "https://evil.example"}
    async with http.post(url + "/api/v1/live", ssl=context, headers=foreign) as response:
        assert response.status == 403
    with pytest.raises(aiohttp.ClientError):
        await http.get(url.replace("https", "http") + "/healthz")


async def test_old_protocols_are_refused(secure, authority, http):
    _, url = await secure()
    context = trust(authority)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.get(url + "/healthz", ssl=context)


async def test_a_changed_certificate_is_used_and_no_stream_is_lost(secure, authority, http):
    program, url = await secure()
    context = trust(authority)
    assert await serial(url, context) == 1
    client = SseClient(await http.post(url + "/api/v1/live", data=json.dumps(QUERY), ssl=context))
    await client.frames(3)
    authority.issue("server", 2)
    program.send(signal.SIGHUP)
    await until(lambda: _is(serial(url, context), 2))
    program.send()
    assert await client.event() is None, "the old stream lived on, and ended properly"
    assert (await program.ended())[0] == 0


async def test_a_changed_certificate_is_reloaded_without_a_signal(
    start_bridge, authority, monkeypatch
):
    monkeypatch.setattr(app, "CERTIFICATE_CHECK_INTERVAL", 0.1)
    cert, key = authority.issue("server", 1)
    bridge = await start_bridge(tls_cert=cert, tls_key=key)
    context = trust(authority)
    assert await serial(bridge.url, context) == 1
    authority.issue("server", 2)
    await until(lambda: _is(serial(bridge.url, context), 2))


async def _is(work, value):
    return await work == value


async def test_a_bad_certificate_at_a_reload_is_logged_once_and_the_old_one_stays(
    secure, authority, http
):
    program, url = await secure()
    (authority.directory / "server.pem").write_text("rubbish")
    program.send(signal.SIGHUP)
    assert "server.pem" in await program.says("the old one stays")
    context = trust(authority)
    assert await serial(url, context) == 1
    authority.issue("server", 3)
    program.send(signal.SIGHUP)
    await until(lambda: _is(serial(url, context), 3))
    assert sum("the old one stays" in line for line in program.err) == 1


async def test_client_certificates_signed_by_the_ca_are_required(secure, authority, http):
    _, url = await secure("--tls-client-ca", authority.ca)
    with pytest.raises((aiohttp.ClientError, OSError)):
        await http.get(url + "/healthz", ssl=trust(authority))
    stranger = type(authority)(authority.directory / "other")
    stranger.directory.mkdir()
    stranger.found()
    with pytest.raises((aiohttp.ClientError, OSError)):
        await http.get(url + "/healthz", ssl=trust(authority, stranger.issue("client", 8)))
    known = trust(authority, authority.issue("client", 9))
    assert (await http.get(url + "/healthz", ssl=known)).status == 200


async def test_a_ca_removed_from_the_file_is_no_longer_trusted(serve, authority, http):
    cert, key = authority.issue("server", 1)
    known = trust(authority, authority.issue("client", 9))
    ca = authority.directory / "clients.pem"
    ca.write_bytes(Path(authority.ca).read_bytes())
    program = await serve("--tls-cert", cert, "--tls-key", key, "--tls-client-ca", str(ca))
    url = await program.listening()
    assert await serial(url, known) == 1
    stranger = type(authority)(authority.directory / "other")
    stranger.directory.mkdir()
    os.replace(stranger.found().ca, ca)
    program.send(signal.SIGHUP)
    await program.says("certificate read again")

    async def turned_away():
        # In TLS 1.3 a client learns that it is refused when it reads (RFC 8446 §4.4.2.4).
        try:
            response = await http.get(url + "/healthz", ssl=known, headers={"Connection": "close"})
        except (aiohttp.ClientError, OSError):
            return True
        response.close()
        return False

    await until(turned_away)


WRONG = [
    (["--tls-cert", "{cert}"], "--tls-cert needs --tls-key"),
    (["--tls-key", "{key}"], "--tls-key needs --tls-cert"),
    (["--tls-client-ca", "{ca}"], "--tls-client-ca needs --tls-cert"),
    (["--tls-cert", "/nope.pem", "--tls-key", "{key}"], "/nope.pem: No such file"),
    (["--tls-cert", "{cert}", "--tls-key", "/nope.key"], "/nope.key: No such file"),
    (["--tls-cert", "{key}", "--tls-key", "{key}"], "{key}: not a certificate"),
    (["--tls-cert", "{cert}", "--tls-key", "{other}"], "{other}: not the private key"),
    (
        ["--tls-cert", "{cert}", "--tls-key", "{key}", "--tls-client-ca", "{key}"],
        "{key}: not a certificate",
    ),
]


async def test_files_that_can_not_be_used_are_refused_by_name(authority):
    cert, key = authority.issue("server", 1)
    _, other = authority.issue("other", 2)
    names = {"cert": cert, "key": key, "ca": authority.ca, "other": other}
    for arguments, says in WRONG:
        words = iter(argument.format(**names) for argument in arguments)
        flags = {option[2:].replace("-", "_"): next(words) for option in words}
        with pytest.raises((ConfigError, TlsError)) as refused:
            factories.listener_certificate(resolve(flags, environ={})[0])
        assert says.format(**names) in str(refused.value)


@pytest.mark.parametrize("more", [[], ["--workers", "2"]])
async def test_a_file_that_can_not_be_used_exits_2_and_is_named(serve, authority, more):
    cert, _ = authority.issue("server", 1)
    _, other = authority.issue("other", 2)
    program = await serve("--tls-cert", cert, "--tls-key", other, *more)
    code, out = await program.ended()
    assert (code, out) == (2, "")
    assert f"{other}: not the private key" in "\n".join(program.err)
