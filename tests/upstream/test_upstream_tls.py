"""TLS to the tier: which certificates are trusted and shown, and files that change."""

import asyncio
import contextlib
import logging
import os
import shutil
import ssl
import subprocess

import grpc
import pytest
from upstream_tier import NOBODY, NOT_SERVING, QUERY, SERVING, read

from bridge.core.address import ReplicaAddress
from bridge.core.errors import Failed, Kind
from bridge.tls.contexts import TlsFiles, load_client, load_server
from bridge.tls.pem import TlsError
from bridge.upstream.endpoints import Endpoints
from bridge.upstream.health import SERVICE
from patience import patiently
from scripted_tier import reset
from waiting import until

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="NO TLS TEST HAS RUN: openssl is not installed"
)


def openssl(*words, cwd):
    subprocess.run(["openssl", *words], cwd=cwd, check=True, capture_output=True)


def issue(folder, ca, name, subject, san):
    """Make `name`.pem and `name`.key, signed by `ca`."""
    openssl(
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={subject}", cwd=folder,
    )  # fmt: skip
    (folder / f"{name}.ext").write_text(f"subjectAltName={san}\n")
    openssl(
        "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key",
        "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem",
        cwd=folder,
    )  # fmt: skip


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    for ca in ("ca", "stranger"):
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-subj", f"/CN={ca}", "-days", "2",
            cwd=folder,
        )  # fmt: skip
    issue(folder, "ca", "tier", "tier", "DNS:tier.svc,IP:127.0.0.1")
    issue(folder, "ca", "named", "tier", "DNS:tier.svc")
    issue(folder, "ca", "one", "one", "DNS:one")
    issue(folder, "ca", "two", "two", "DNS:two")
    openssl(
        "pkey", "-in", "one.key", "-aes128", "-passout", "pass:x", "-out", "locked.key", cwd=folder
    )
    return folder


@pytest.fixture
def pki(issued, tmp_path):
    """The files, a copy for one test to spoil; `cert.pem` and `cert.key` are `one`'s."""
    shutil.copytree(issued, tmp_path, dirs_exist_ok=True)
    put(tmp_path, "one")
    return tmp_path


def put(folder, name):
    """Put a certificate and its key in use, as a mounted secret is: by renaming."""
    for end in ("pem", "key"):
        shutil.copy(folder / f"{name}.{end}", folder / f"new.{end}")
        os.replace(folder / f"new.{end}", folder / f"cert.{end}")


def serve_as(folder, name="tier", *, ask=False):
    return grpc.ssl_server_credentials(
        [((folder / f"{name}.key").read_bytes(), (folder / f"{name}.pem").read_bytes())],
        root_certificates=(folder / "ca.pem").read_bytes() if ask else None,
        require_client_auth=ask,
    )


def files(folder, **more):
    return TlsFiles(**{"ca": str(folder / "ca.pem"), **more})


def mutual(folder):
    return files(folder, cert=str(folder / "cert.pem"), key=str(folder / "cert.key"))


async def refused(backend):
    with pytest.raises(Failed) as failed:
        await backend.subscribe(QUERY, NOBODY)
    return failed.value.kind is Kind.UNAVAILABLE


async def test_a_tier_of_our_ca_is_served_over_tls(replica, bridge_to, opened, pki):
    tier = await replica(credentials=serve_as(pki))
    endpoints, backend = bridge_to(tier, tls=files(pki))
    opened.append(await backend.subscribe(QUERY, NOBODY))
    assert await endpoints.reachable()


async def test_another_ca_a_wrong_name_and_clear_text_are_unavailable(replica, bridge_to, pki):
    tier = await replica(credentials=serve_as(pki))
    for options in (
        {"tls": files(pki, ca=str(pki / "stranger.pem"))},
        {"tls": files(pki), "server_name": "other.svc"},
        {"tls": TlsFiles()},
        {"tls": None},
    ):
        endpoints, backend = bridge_to(tier, **options)
        assert await refused(backend)
        await endpoints.close()


def certify(folder, name, extensions, *signer):
    """Make the certificate of a CA, self-signed unless a signer is named."""
    (folder / "ca.cnf").write_text(
        f"[req]\ndistinguished_name=name\nx509_extensions=ext\n[name]\n[ext]\n{extensions}\n"
    )
    openssl(
        "req", "-new", *(() if signer else ("-x509",)), "-newkey", "ec",
        "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-config", "ca.cnf", "-days", "2",
        "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", cwd=folder,
    )  # fmt: skip
    if signer:
        openssl(
            "x509", "-req", "-in", f"{name}.pem", "-CA", f"{signer[0]}.pem",
            "-CAkey", f"{signer[0]}.key", "-CAcreateserial", "-days", "2",
            "-extfile", "ca.cnf", "-extensions", "ext", "-out", f"{name}.pem", cwd=folder,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("extensions", "signer"),
    [
        ("basicConstraints=CA:TRUE", ()),  # not critical, and no keyUsage
        ("basicConstraints=critical,CA:TRUE", ("ca",)),  # an intermediate, without its root
    ],
)
async def test_a_ca_is_trusted_by_both_stacks_on_every_python(
    replica, bridge_to, opened, pki, extensions, signer
):
    certify(pki, "plain", extensions, *signer)
    issue(pki, "plain", "leaf", "tier", "IP:127.0.0.1")
    tier = await replica(credentials=serve_as(pki, "leaf"))
    endpoints, backend = bridge_to(tier, tls=files(pki, ca=str(pki / "plain.pem")))
    opened.append(await backend.subscribe(QUERY, NOBODY))
    await until(lambda: endpoints.snapshot()[0].state == "ready")


def test_verify_flags_do_not_depend_on_the_python_version(pki):
    flags = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
    assert load_client(files(pki)).context.verify_flags == flags
    assert load_client(TlsFiles()).context.verify_flags == flags
    assert load_server(mutual(pki)).context.verify_flags == ssl.VERIFY_X509_TRUSTED_FIRST


async def test_a_server_that_does_not_negotiate_http2_is_unavailable(bridge_to, pki):
    handlers = []

    async def serve(reader, writer):
        handlers.append(asyncio.current_task())
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pki / "tier.pem", pki / "tier.key")
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        endpoints, backend = bridge_to(f"127.0.0.1:{port}", tls=files(pki))
        assert await refused(backend)
        await endpoints.close()
        async with patiently(5):
            await asyncio.gather(*handlers)


async def test_the_server_name_replaces_the_address_in_certificate_checks(
    replica, bridge_to, opened, pki
):
    tier = await replica(credentials=serve_as(pki, "named"))
    _, backend = bridge_to(tier, tls=files(pki))
    assert await refused(backend)
    _, backend = bridge_to(tier, tls=files(pki), server_name="tier.svc")
    opened.append(await backend.subscribe(QUERY, NOBODY))


@pytest.mark.parametrize("server_name", ["", "tier.svc"])
async def test_every_call_to_a_service_name_carries_the_name_of_the_certificate(
    replica, bridge_to, opened, pki, server_name
):
    """Reanchor, Subscribe and health: `dns:///NAME` with --upstream-server-name."""

    async def lookup(*_):
        return ("127.0.0.1",)

    tier = await replica(credentials=serve_as(pki, "named"), healthy={SERVICE: SERVING})
    name = "other.svc" if server_name else "tier.svc"
    endpoints, backend = bridge_to(
        f"dns:///{name}:{tier.port}", tls=files(pki), lookup=lookup, server_name=server_name
    )
    opened.append(await backend.subscribe(QUERY, NOBODY))
    tier.reanchored = lambda *_: None
    assert await opened[0].reanchor(QUERY, QUERY, "r") is None
    await until(lambda: endpoints.snapshot()[0].state == "ready")
    await tier.say(NOT_SERVING)
    await until(lambda: endpoints.snapshot()[0].state == "not serving")


async def test_a_name_found_by_dns_is_what_the_certificate_must_hold(
    replica, bridge_to, opened, pki
):
    async def lookup(*_):
        return ("127.0.0.1",)

    tier = await replica(credentials=serve_as(pki, "named"))
    _, backend = bridge_to(f"dns:///tier.svc:{tier.port}", tls=files(pki), lookup=lookup)
    opened.append(await backend.subscribe(QUERY, NOBODY))
    _, backend = bridge_to(f"dns:///other.svc:{tier.port}", tls=files(pki), lookup=lookup)
    assert await refused(backend)


async def test_the_tier_gets_our_client_certificate(replica, bridge_to, opened, pki):
    tier = await replica(credentials=serve_as(pki, ask=True))
    _, backend = bridge_to(tier, tls=files(pki))
    assert await refused(backend)
    _, backend = bridge_to(tier, tls=mutual(pki))
    sub = await backend.subscribe(QUERY, NOBODY)
    opened.append(sub)
    assert tier.names == ["one"]
    tier.reanchored = lambda *_: None
    assert await sub.reanchor(QUERY, QUERY, "r") is None


async def test_files_are_reloaded_while_streams_go_on(replica, bridge_to, opened, pki, caplog):
    caplog.set_level(logging.INFO, "bridge")
    tier = await replica(credentials=serve_as(pki, ask=True))
    endpoints, backend = bridge_to(tier, tls=mutual(pki))
    old = [await backend.subscribe(QUERY, NOBODY) for _ in range(10)]
    opened.extend(old)
    calls = list(tier.open.values())
    assert not await endpoints.reload()
    put(pki, "two")
    reading = [asyncio.create_task(read(sub)) for sub in old]
    assert await endpoints.reload()
    opened.append(await backend.subscribe(QUERY, NOBODY))
    assert tier.names == ["one"] * 10 + ["two"]
    for call in calls:
        call.send(reset(), complete=True)
    assert all(batch.snapshot_complete for batch in await asyncio.gather(*reading))
    # Reanchor, too, goes with the new one, and the health watch has not taken it for a loss.
    tier.reanchored = lambda *_: None
    assert await old[0].reanchor(QUERY, QUERY, "r") is None
    assert [info.state for info in endpoints.snapshot()] == ["ready"]
    told = [r.message for r in caplog.records]
    assert len([text for text in told if "read again" in text]) == 1
    assert not [text for text in told if "connecting" in text]
    # Once the old streams have ended, their channels are closed.
    (endpoint,) = endpoints._endpoints.values()
    assert len(endpoint.pool) == 2
    for sub in old:
        sub.close()
    await until(lambda: len(endpoint.pool) == 1)


async def test_files_are_checked_periodically(replica, bridge_to, opened, pki, monkeypatch):
    monkeypatch.setattr("bridge.upstream.endpoints.UPKEEP_INTERVAL", 0.02)
    tier = await replica(credentials=serve_as(pki, ask=True))
    endpoints, backend = bridge_to(tier, tls=mutual(pki))
    await until(lambda: endpoints.snapshot()[0].state == "ready")
    (endpoint,) = endpoints._endpoints.values()
    before = endpoint._watch
    put(pki, "two")
    await until(lambda: endpoint._watch is not before)
    opened.append(await backend.subscribe(QUERY, NOBODY))
    assert tier.names == ["two"]


async def test_files_are_checked_however_busy_the_bridge_is(replica, bridge_to, pki, monkeypatch):
    monkeypatch.setattr("bridge.upstream.endpoints.UPKEEP_INTERVAL", 0.05)
    tier = await replica(credentials=serve_as(pki, ask=True))
    endpoints, backend = bridge_to(tier, tls=mutual(pki))
    put(pki, "two")

    async def busy():
        while "two" not in tier.names:
            sub = await backend.subscribe(QUERY, NOBODY)
            endpoints._on_change()
            sub.close()

    async with patiently(5):
        await busy()


async def test_bad_files_on_reload_change_nothing_and_are_logged_once(
    replica, bridge_to, opened, pki, caplog
):
    tier = await replica(credentials=serve_as(pki, ask=True))
    endpoints, backend = bridge_to(tier, tls=mutual(pki))
    shutil.copy(pki / "two.pem", pki / "cert.pem")  # its key is not there yet
    assert not await endpoints.reload()
    assert not await endpoints.reload()
    (line,) = [r.message for r in caplog.records if "TLS" in r.message]
    assert str(pki / "cert.key") in line
    opened.append(await backend.subscribe(QUERY, NOBODY))
    shutil.copy(pki / "two.key", pki / "cert.key")
    assert await endpoints.reload()
    opened.append(await backend.subscribe(QUERY, NOBODY))
    assert tier.names == ["one", "two"]
    (pki / "cert.pem").unlink()
    assert not await endpoints.reload()
    opened.append(await backend.subscribe(QUERY, NOBODY))
    assert tier.names[-1] == "two"


BAD = [
    ({"ca": "gone.pem"}, "gone.pem: No such file"),
    ({"ca": "ca.key"}, "ca.key: not a certificate"),
    ({"ca": "tier.ext"}, "tier.ext: not a certificate"),
    ({"cert": "one.pem"}, "one.pem: a certificate and its key go together"),
    ({"key": "one.key"}, "one.key: a certificate and its key go together"),
    ({"cert": "one.key", "key": "one.key"}, "one.key: not a certificate"),
    ({"cert": "one.pem", "key": "two.key"}, "two.key: not the private key"),
    ({"cert": "one.pem", "key": "one.pem"}, "one.pem: not the private key"),
    ({"cert": "one.pem", "key": "gone.key"}, "gone.key: No such file"),
    ({"cert": "one.pem", "key": "locked.key"}, "locked.key: the key is encrypted"),
]


@pytest.mark.parametrize(("named", "message"), BAD)
async def test_bad_files_are_refused_at_the_start_by_name(pki, named, message):
    paths = {key: str(pki / name) for key, name in named.items()}
    with pytest.raises(TlsError) as told:
        Endpoints([ReplicaAddress("127.0.0.1:1")], tls=TlsFiles(**paths))
    assert str(told.value).startswith(str(pki / message.split(":", 1)[0]))
    assert message in str(told.value)
