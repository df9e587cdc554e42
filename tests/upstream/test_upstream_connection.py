"""What connections do to calls: age limits, dead peers, peers that accept and send nothing."""

import asyncio
import contextlib
import logging
import signal
import socket
import time

import pytest
from upstream_tier import NOBODY, QUERY, SERVING, read

from bridge.core.errors import Failed, Kind
from bridge.upstream.health import SERVICE
from patience import patiently, promised
from scripted_tier import scripted_process
from waiting import until


async def test_a_call_lost_to_a_connections_age_limit_can_be_opened_again(
    replica, bridge_to, opened, caplog
):
    caplog.set_level(logging.INFO, "bridge.upstream")
    tier = await replica(
        healthy={SERVICE: SERVING},
        options=(("grpc.max_connection_age_ms", 2000), ("grpc.max_connection_age_grace_ms", 300)),
    )
    endpoints, backend = bridge_to(tier)
    sub = await backend.subscribe(QUERY, NOBODY)
    opened.append(sub)
    with pytest.raises(Failed) as failed:
        async with patiently(5):
            await read(sub)
    assert failed.value.kind is Kind.UNAVAILABLE
    again = await backend.subscribe(QUERY, NOBODY, again=True)
    opened.append(again)
    assert len(set(tier.peers)) == 2
    # Age limits are normal: no lost replica is logged.
    await until(lambda: endpoints.snapshot()[0].state == "ready")
    assert [r.message for r in caplog.records] == [f"tier {tier.address}: ready"]


async def test_streams_open_at_any_moment_of_connections_with_an_age_limit(
    replica, bridge_to, opened
):
    tier = await replica(
        options=(("grpc.max_connection_age_ms", 200), ("grpc.max_connection_age_grace_ms", 50))
    )
    _, backend = bridge_to(tier)
    failures = 0
    async with patiently(5):
        while len(set(tier.peers)) < 5:
            try:
                opened.append(await backend.subscribe(QUERY, NOBODY))
            except Failed:
                failures += 1
            await asyncio.sleep(0.002)
    assert failures <= len(set(tier.peers))


@contextlib.contextmanager
def silent_port():
    """A port that accepts connections and never sends a byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


async def test_a_peer_that_accepts_and_sends_nothing_fails_the_open_in_a_few_seconds(
    replica, bridge_to, opened
):
    with silent_port() as address:
        _, backend = bridge_to(address)
        with pytest.raises(Failed) as failed:
            async with patiently(3.5):
                await backend.subscribe(QUERY, NOBODY)
        assert failed.value.kind is Kind.UNAVAILABLE


async def test_a_peer_that_sends_nothing_gets_no_more_opens(replica, bridge_to, opened):
    tier = await replica()
    with silent_port() as address:
        endpoints, backend = bridge_to(address, tier)
        async with patiently(4.5):
            opened += await asyncio.gather(*(backend.subscribe(QUERY, NOBODY) for _ in range(10)))
        assert len(tier.open) == 10
        async with patiently(0.5):
            opened += await asyncio.gather(*(backend.subscribe(QUERY, NOBODY) for _ in range(10)))
        assert next(r.state for r in endpoints.snapshot() if r.address == address) != "ready"


SERVER = """
import asyncio, sys
from upstream_tier import SERVICE, SERVING, Replica

async def main():
    # A server that agrees to pings every 10 s.
    options = [("grpc.http2.min_ping_interval_without_data_ms", 5000),
               ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000)]
    tier = await Replica(healthy={SERVICE: SERVING}).start(options=options)
    print(tier.address, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@promised
async def test_a_replica_that_is_killed_is_noticed_at_once(bridge_to, opened, at_most):
    async with scripted_process(SERVER) as (child, address):
        endpoints, backend = bridge_to(address)
        sub = await backend.subscribe(QUERY, NOBODY)
        opened.append(sub)
        await until(lambda: endpoints.snapshot()[0].state == "ready")
        reading = asyncio.create_task(read(sub))
        began = time.monotonic()
        child.kill()
        with pytest.raises(Failed) as failed:
            await reading
        assert failed.value.kind is Kind.UNAVAILABLE
        assert time.monotonic() - began < at_most(0.5)
        await until(lambda: endpoints.snapshot()[0].state == "connecting")


@pytest.mark.soak
@pytest.mark.parametrize("quiet", [0, 45])
@pytest.mark.timeout(90)
async def test_a_replica_that_hangs_is_noticed_in_15_s_in_fast_mode(bridge_to, opened, quiet):
    """Streams by a client of our own, health by grpc's, which takes 2 s more to say so."""
    async with scripted_process(SERVER) as (child, address):
        endpoints, backend = bridge_to(address, keepalive="fast")
        sub = await backend.subscribe(QUERY, NOBODY)
        opened.append(sub)
        await until(lambda: endpoints.snapshot()[0].state == "ready")
        await asyncio.sleep(quiet)
        child.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(Failed) as failed:
            async with patiently(16):
                await read(sub)
        took = time.monotonic() - began
        print(f"noticed after {took:.1f} s")
        assert failed.value.kind is Kind.UNAVAILABLE
        assert took <= 14.5
        await until(lambda: endpoints.snapshot()[0].state == "connecting")
        took = time.monotonic() - began
        print(f"health says so after {took:.1f} s")
        assert took <= 17
        child.send_signal(signal.SIGCONT)
        assert await endpoints.reachable(5)
