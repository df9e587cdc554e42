"""--listen: several addresses, both kinds of IP, in one process and with workers."""

import asyncio
import re
import socket
import ssl

import pytest
from yarl import URL

from ops_support import free_port, ready
from patience import patiently

pytestmark = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="NO IPV6: not tested")


async def urls(program):
    async with patiently(30):
        line = (await program.process.stdout.readline()).decode()
    match = re.fullmatch(r"listening on (\S+( \S+)*)\n", line)
    assert match, (line, program.err)
    return match[1].split()


def port_of(url):
    return url.rpartition(":")[2]


def serial(port, authority):
    """Return the serial number of the certificate at a port."""
    context = ssl.create_default_context(cafile=authority.ca)
    with (
        socket.create_connection(("127.0.0.1", port)) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secure,
    ):
        return secure.getpeercert()["serialNumber"]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_every_address_of_listen_serves_and_the_ready_line_names_all(
    run, tier, http, workers
):
    program = await run(
        *("serve", "--upstream", tier.address, "--workers", workers),
        *("--listen", "127.0.0.1:0,[::1]:0", "--listen", "127.0.0.2:0"),
    )
    first, second, third = await urls(program)
    assert [url.rpartition(":")[0] for url in (first, second, third)] == [
        "http://127.0.0.1",
        "http://[::1]",
        "http://127.0.0.2",
    ]
    for url in (first, second, third):
        await ready(http, url)
        async with http.get(f"{url}/healthz", headers={"Host": "evil.example"}) as refused:
            assert refused.status == 403, "all are loopback addresses"
    assert (await program.stop())[0] == 0


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("listen", [":0", "[::]:0"])
async def test_all_interfaces_are_ipv6_and_ipv4_and_the_log_says_so(
    run, tier, http, listen, workers
):
    program = await run(
        "serve",
        "--upstream",
        tier.address,
        "--listen",
        listen,
        "--workers",
        workers,
        "--auth",
        "none",
    )
    [url] = await urls(program)
    assert url.startswith("http://[::]:")
    for host in ("127.0.0.1", "[::1]", "[::]"):
        await ready(http, f"http://{host}:{port_of(url)}")
    await program.says("all interfaces, IPv6 and IPv4")
    assert (await program.stop())[0] == 0


async def test_ipv4_clients_of_all_interfaces_have_ipv4_addresses(start_bridge, tier, http):
    tier.rows = ["a"]
    bridge = await start_bridge(listen=":0", auth="none", max_connections_per_ip="1")
    port = port_of(bridge.url)
    query = {"query": '{"entity":"f","limit":2}'}
    four = await http.get(f"http://127.0.0.1:{port}/api/v1/live", params=query)
    six = await http.get(f"http://[::1]:{port}/api/v1/live", params=query)
    assert (four.status, six.status) == (200, 200)
    assert set(bridge.context.admission._by_address) == {"127.0.0.1", "::/64"}
    four.close()
    six.close()


async def test_only_loopback_addresses_check_the_host(run, tier, http):
    program = await run(
        "serve",
        "--upstream",
        tier.address,
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "0.0.0.0:0",
        "--auth",
        "none",
    )
    loopback, public = await urls(program)
    foreign = {"Host": "app.example"}
    async with http.get(f"{loopback}/healthz", headers=foreign) as refused:
        assert refused.status == 403
    async with http.get(f"http://127.0.0.1:{port_of(public)}/healthz", headers=foreign) as served:
        assert served.status == 200
    assert (await program.stop())[0] == 0


async def test_an_address_in_use_ends_the_start_and_is_named(run, tier):
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        program = await run(
            "serve", "--upstream", tier.address, "--listen", f"127.0.0.1:0,127.0.0.1:{port}"
        )
        assert (await program.ended())[0] == 1
    assert any(f"can't listen on 127.0.0.1:{port}" in line for line in program.err)


async def test_metrics_are_on_loopback_addresses_and_on_no_other_unless_asked_for(
    start_bridge, tier, http
):
    bridge = await start_bridge(listen="127.0.0.1:0,0.0.0.0:0", auth="none")
    loopback, public = bridge.url.split()
    for url, path, status in (
        (loopback, "/metrics", 200),
        (f"http://127.0.0.1:{port_of(public)}", "/metrics", 404),
        (f"http://127.0.0.1:{port_of(public)}", "/%6Detrics", 404),
        (f"http://127.0.0.1:{port_of(public)}", "/healthz", 200),
    ):
        async with http.get(URL(url + path, encoded=True)) as answer:
            assert answer.status == status


async def test_the_limit_of_sockets_is_for_all_addresses_together(start_bridge, tier, http):
    bridge = await start_bridge(listen="127.0.0.1:0,0.0.0.0:0", auth="none")
    first, second = bridge.url.split()
    for url in (first, f"http://127.0.0.1:{port_of(second)}"):
        await http.get(f"{url}/healthz")
    assert bridge._listeners.connections == 2
    assert len(bridge._listeners.all) == 2
    assert bridge._listeners.all[0]._limiter is bridge._listeners.all[1]._limiter


async def test_a_new_certificate_is_used_at_every_address(start_bridge, tier, authority):
    cert, key = authority.issue("server", 1)
    bridge = await start_bridge(
        listen="127.0.0.1:0,0.0.0.0:0", auth="none", tls_cert=cert, tls_key=key
    )
    ports = [int(port_of(url)) for url in bridge.url.split()]
    assert {await asyncio.to_thread(serial, port, authority) for port in ports} == {"01"}
    authority.issue("server", 2)
    await bridge.reload()
    assert {await asyncio.to_thread(serial, port, authority) for port in ports} == {"02"}
