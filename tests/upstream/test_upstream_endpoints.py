"""Many replicas: which one gets a stream, and when it gets none any more."""

import asyncio
import logging
import time

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2
from upstream_tier import NOBODY, NOT_SERVING, QUERY, SERVING, FakeTime, read

from bridge.core.errors import Failed, Kind
from bridge.upstream.breaker import FAILURE_THRESHOLD
from bridge.upstream.health import SERVICE
from patience import patient, patiently
from scripted_tier import Refusal
from waiting import until

DEAD = "127.0.0.1:1"
SERVES = {SERVICE: SERVING}


async def open_many(backend, opened, count):
    subs = await asyncio.gather(*(backend.subscribe(QUERY, NOBODY) for _ in range(count)))
    opened.extend(subs)
    return subs


def states(endpoints):
    return {info.address: info.state for info in endpoints.snapshot()}


async def all_ready(endpoints):
    await until(lambda: all(info.state == "ready" for info in endpoints.snapshot()))


# ------------------------------------------------------------------ placement


async def test_60_streams_spread_over_3_replicas(replica, bridge_to, opened):
    tiers = [await replica() for _ in range(3)]
    endpoints, backend = bridge_to(*tiers)
    await open_many(backend, opened, 60)
    assert all(19 <= len(tier.open) <= 21 for tier in tiers)
    assert sorted(info.streams for info in endpoints.snapshot()) == [20, 20, 20]


async def test_200_streams_to_one_replica_use_3_connections_and_none_queues(
    replica, bridge_to, opened
):
    tier = await replica(options=(("grpc.max_concurrent_streams", 100),))
    endpoints, backend = bridge_to(tier)
    async with patiently(5):
        await open_many(backend, opened, 200)
    assert len(tier.open) == 200
    assert len(set(tier.peers)) >= 3
    # A Reanchor is not held up by them either.
    tier.reanchored = lambda *_: None
    async with patiently(1):
        await opened[0].reanchor(QUERY, QUERY, "r")
    assert endpoints.snapshot()[0].streams == 200


async def test_fewer_streams_on_a_connection_can_be_asked_for(replica, bridge_to, opened):
    tier = await replica(options=(("grpc.max_concurrent_streams", 5),))
    _, backend = bridge_to(tier, max_streams=5)
    async with patiently(5):
        await open_many(backend, opened, 20)
    assert len(set(tier.peers)) == 4


async def test_idle_connections_are_closed_after_their_timeout(replica, bridge_to, opened):
    clock = FakeTime()
    tier = await replica()
    endpoints, backend = bridge_to(tier, clock=clock, max_streams=2)
    subs = await open_many(backend, opened, 6)
    (endpoint,) = endpoints._endpoints.values()
    assert len(endpoint.pool) == 3
    for sub in subs[2:]:
        sub.close()
    clock.advance(59)
    await endpoint.close_unused(60)
    assert len(endpoint.pool) == 3
    clock.advance(2)
    await endpoint.close_unused(60)
    assert len(endpoint.pool) == 1
    assert endpoint.streams == 2


# ------------------------------------------------------------------ health


async def test_a_replica_that_turns_not_serving_gets_no_new_streams_and_keeps_its_own(
    replica, bridge_to, opened, caplog
):
    caplog.set_level(logging.INFO, "bridge.upstream")
    one, two = await replica(healthy=SERVES), await replica(healthy=SERVES)
    endpoints, backend = bridge_to(one, two)
    await open_many(backend, opened, 10)
    await all_ready(endpoints)
    await one.say(NOT_SERVING)
    await until(lambda: states(endpoints)[one.address] == "not serving")
    await open_many(backend, opened, 10)
    assert (len(one.open), len(two.open)) == (5, 15)
    assert states(endpoints)[two.address] == "ready"
    await one.say(SERVING)
    await all_ready(endpoints)
    await open_many(backend, opened, 10)
    assert len(one.open) == len(two.open) == 15
    told = [r.message for r in caplog.records if one.address in r.message]
    assert told == [f"tier {one.address}: {state}" for state in ("ready", "not serving", "ready")]


async def test_a_replica_not_serving_gets_streams_if_there_is_no_other(replica, bridge_to, opened):
    tier = await replica(healthy={SERVICE: NOT_SERVING})
    endpoints, backend = bridge_to(tier)
    await until(lambda: states(endpoints)[tier.address] == "not serving")
    assert not await endpoints.reachable(0.05)
    await open_many(backend, opened, 1)


async def test_if_the_service_is_unknown_the_whole_server_is_asked(replica, bridge_to):
    tier = await replica(healthy={"": NOT_SERVING})
    endpoints, _ = bridge_to(tier)
    await until(lambda: states(endpoints)[tier.address] == "not serving")
    await tier.say(SERVING, "")
    await all_ready(endpoints)


@pytest.mark.parametrize("healthy", [None, {}], ids=["no health service", "knows neither name"])
async def test_a_replica_without_health_counts_as_serving(replica, bridge_to, opened, healthy):
    tier = await replica(healthy=healthy)
    if healthy == {}:
        await tier.health.set("", health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
    endpoints, backend = bridge_to(tier)
    await all_ready(endpoints)
    assert await endpoints.reachable()
    await open_many(backend, opened, 1)


async def test_a_lost_replica_is_noticed_without_a_call_and_so_is_its_return(
    replica, bridge_to, opened
):
    tier = await replica(healthy=SERVES)
    endpoints, backend = bridge_to(tier)
    await all_ready(endpoints)
    await tier.stop()
    await until(lambda: states(endpoints)[tier.address] == "connecting")
    assert not await endpoints.reachable(0.05)
    await tier.start(tier.port)
    assert await endpoints.reachable(5)
    await open_many(backend, opened, 1)


# ------------------------------------------------------------------ failure


async def test_an_open_at_a_dead_replica_moves_to_another_at_once(replica, bridge_to, opened):
    tier = await replica()
    _, backend = bridge_to(DEAD, tier)
    async with patiently(1):
        await open_many(backend, opened, 20)
    assert len(tier.open) == 20


async def test_after_a_replica_stops_its_streams_open_at_the_others(replica, bridge_to, opened):
    one, two = await replica(), await replica()
    endpoints, backend = bridge_to(one, two)
    first = await open_many(backend, opened, 10)
    reading = [asyncio.create_task(read(sub)) for sub in first]
    await one.stop()
    await until(lambda: sum(task.done() for task in reading) == 5)
    for task, sub in zip(reading, first, strict=True):
        if task.done():
            with pytest.raises(Failed) as failed:
                task.result()
            assert failed.value.kind is Kind.UNAVAILABLE
            sub.close()
    async with patiently(1):
        await open_many(backend, opened, 5)
    assert len(two.open) == 10
    await until(lambda: states(endpoints)[one.address] in ("connecting", "circuit open"))
    for task in reading:
        task.cancel()
    await asyncio.wait(reading)


async def test_with_all_circuits_open_an_open_fails_at_once_with_the_retry_time(bridge_to, caplog):
    caplog.set_level(logging.INFO, "bridge.upstream")
    clock = FakeTime()
    endpoints, backend = bridge_to(DEAD, clock=clock)
    for _ in range(FAILURE_THRESHOLD):
        with pytest.raises(Failed):
            await backend.subscribe(QUERY, NOBODY)
    (endpoint,) = endpoints._endpoints.values()
    assert states(endpoints) == {DEAD: "circuit open"}
    made = len(endpoint.pool)
    with pytest.raises(Failed) as failed:
        await backend.subscribe(QUERY, NOBODY)
    assert failed.value.kind is Kind.UNAVAILABLE
    assert 1 <= failed.value.retry_after <= 2
    assert len(endpoint.pool) == made
    told = [r for r in caplog.records if r.name.startswith("bridge.upstream")]
    assert [r.message for r in told] == [
        f"tier {DEAD}: {state}: connection refused: nothing listens on that port"
        for state in ("connecting", "circuit open")
    ]
    assert not [r for r in told if r.exc_info]
    # Half-open after its time, and open again, longer, when the probe fails.
    clock.advance(2)
    with pytest.raises(Failed):
        await backend.subscribe(QUERY, NOBODY)
    assert endpoint.breaker.retry_after >= 2


async def test_an_open_circuit_makes_no_call_and_a_half_open_one_makes_one(
    replica, bridge_to, opened
):
    clock = FakeTime()
    tier = await replica(started=False)
    tier.refusal = Refusal(grpc.StatusCode.UNAVAILABLE)
    endpoints, backend = bridge_to(tier, clock=clock)
    await all_ready(endpoints)
    (endpoint,) = endpoints._endpoints.values()
    for _ in range(FAILURE_THRESHOLD):
        with pytest.raises(Failed):
            await backend.subscribe(QUERY, NOBODY)
    calls = len(tier.peers)
    with pytest.raises(Failed):
        await backend.subscribe(QUERY, NOBODY)
    assert len(tier.peers) == calls
    clock.advance(endpoint.breaker.retry_after)
    tier.refusal = None
    probe = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
    call = await tier.next_call()
    with pytest.raises(Failed):
        await backend.subscribe(QUERY, NOBODY)
    call.start()
    opened.append(await probe)
    assert states(endpoints)[tier.address] == "ready"
    assert len(tier.peers) == calls + 1


async def test_a_replica_that_is_back_has_its_circuit_closed_at_once(replica, bridge_to, opened):
    clock = FakeTime()  # stands: only the sign of life can end the wait
    tier = await replica()
    endpoints, backend = bridge_to(tier, clock=clock)
    await all_ready(endpoints)
    await tier.stop()
    for _ in range(FAILURE_THRESHOLD):
        with pytest.raises(Failed):
            await backend.subscribe(QUERY, NOBODY)
    assert states(endpoints)[tier.address] == "circuit open"
    await tier.start(tier.port)
    assert await endpoints.reachable(5)
    assert states(endpoints)[tier.address] == "ready"
    await open_many(backend, opened, 1)


async def test_the_wait_between_attempts_ends_when_a_lost_tier_is_back(replica, bridge_to):
    tier = await replica()
    endpoints, backend = bridge_to(tier)
    await all_ready(endpoints)
    began = time.monotonic()
    await backend.pause(0.1)  # nothing is lost: a pause is a pause
    assert time.monotonic() - began >= 0.1
    await tier.stop()
    await until(lambda: states(endpoints)[tier.address] == "connecting")
    pausing = asyncio.create_task(backend.pause(60))
    await asyncio.sleep(0)
    await tier.start(tier.port)
    async with patiently(5):
        await pausing
    assert await endpoints.reachable(0)
    await tier.stop()
    await until(lambda: states(endpoints)[tier.address] == "connecting")
    async with patiently(1):
        await backend.pause(0.05)


async def test_the_tiers_own_errors_do_not_open_its_circuit(replica, bridge_to, opened):
    tier = await replica()
    endpoints, backend = bridge_to(tier)
    for code, reason in (("NOT_FOUND", ""), ("UNAVAILABLE", "STOPPING"), ("INTERNAL", "")):
        tier.refusal = Refusal(grpc.StatusCode[code], reason=reason)
        for _ in range(FAILURE_THRESHOLD + 1):
            with pytest.raises(Failed):
                await backend.subscribe(QUERY, NOBODY)
    await all_ready(endpoints)
    tier.refusal = None
    await open_many(backend, opened, 1)


async def test_a_tier_that_never_answers_opens_its_circuit(replica, bridge_to, monkeypatch):
    monkeypatch.setattr("bridge.upstream.call_opener.ANSWER_TIMEOUT", patient(0.05))
    tier = await replica(started=False)
    endpoints, backend = bridge_to(tier)
    for _ in range(FAILURE_THRESHOLD):
        with pytest.raises(TimeoutError):
            async with patiently(0.2):
                await backend.subscribe(QUERY, NOBODY)
    assert states(endpoints)[tier.address] == "circuit open"


async def test_a_replica_that_left_a_call_without_an_answer_is_avoided_for_a_while(
    replica, bridge_to, opened, monkeypatch
):
    monkeypatch.setattr("bridge.upstream.call_opener.ANSWER_TIMEOUT", patient(0.05))
    clock = FakeTime()
    silent, good = await replica(started=False), await replica(healthy={SERVICE: NOT_SERVING})
    endpoints, backend = bridge_to(silent, good, clock=clock)
    await until(lambda: sorted(states(endpoints).values()) == ["not serving", "ready"])
    monkeypatch.setattr(backend.opener, "clock", asyncio.get_running_loop().time)
    with pytest.raises(TimeoutError):
        async with patiently(0.2):  # there is no other to ask
            await backend.subscribe(QUERY, NOBODY)
    assert silent.opened == 1
    await good.say(SERVING)
    await all_ready(endpoints)
    await open_many(backend, opened, 10)
    assert silent.opened == 1, "though it has the fewest streams"
    await silent.next_call()
    silent.started = True
    clock.advance(31)
    await open_many(backend, opened, 1)
    assert silent.opened == 2


async def held_by_both(replicas, bridge_to, opened, clock, **started):
    """Open one call at each of two replicas; returns (backend, who is silent, its call's Sub)."""
    endpoints, backend = bridge_to(*replicas, clock=clock, pace={"clock": clock})
    await all_ready(endpoints)
    for _ in replicas:
        opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
        await until(lambda: sum(each.calls.qsize() for each in replicas))
        for each in replicas:
            while not each.calls.empty():
                each.calls.get_nowait().start(**started)
        opened.append(await opening)
    assert [tier.opened for tier in replicas] == [1, 1]
    return backend, asked_of(opened[0], replicas), opened[0]


def asked_of(sub, replicas):
    """Find the replica that a call was sent to."""
    return next(
        tier for tier in replicas if tier.address == sub.pooled_call.endpoint.replica.address
    )


@pytest.mark.parametrize(("silence", "asked"), [(45, 1), (20, 2)])
async def test_a_replica_with_heartbeats_missing_at_a_calls_close_is_avoided(
    replica, bridge_to, opened, silence, asked
):
    clock = FakeTime()
    replicas = [await replica(started=False) for _ in range(2)]
    backend, silent, sub = await held_by_both(
        replicas, bridge_to, opened, clock, heartbeat_interval=Duration(seconds=15)
    )
    clock.advance(silence)
    sub.close()
    for tier in replicas:
        tier.started = True
    await open_many(backend, opened, 1)
    assert silent.opened == asked, "it has the fewest streams, and is asked unless it is suspect"


async def test_without_promised_heartbeats_silence_makes_no_replica_suspect(
    replica, bridge_to, opened
):
    clock = FakeTime()
    replicas = [await replica(started=False) for _ in range(2)]
    backend, silent, sub = await held_by_both(replicas, bridge_to, opened, clock)
    clock.advance(3600)
    sub.close()
    for tier in replicas:
        tier.started = True
    await open_many(backend, opened, 1)
    assert silent.opened == 2


async def test_a_replica_whose_connection_timed_out_is_avoided(replica, bridge_to, opened):
    replicas = [await replica() for _ in range(2)]
    endpoints, backend = bridge_to(*replicas)
    await all_ready(endpoints)
    await open_many(backend, opened, 2)
    silent = asked_of(opened[0], replicas)
    opened[0].pooled_call.pooled.connection._keepalive_timer._on_timeout()
    with pytest.raises(Failed):
        await read(opened[0])
    opened[0].close()
    await open_many(backend, opened, 5)
    assert silent.opened == 1


async def test_an_open_without_an_answer_is_tried_at_another_replica(
    replica, bridge_to, opened, monkeypatch
):
    monkeypatch.setattr("bridge.upstream.call_opener.ANSWER_TIMEOUT", patient(0.05))
    silent, good = await replica(started=False), await replica()
    endpoints, backend = bridge_to(silent, good)
    await all_ready(endpoints)
    async with patiently(2):
        await open_many(backend, opened, FAILURE_THRESHOLD * 4)
    assert len(good.open) == FAILURE_THRESHOLD * 4
    assert silent.opened >= FAILURE_THRESHOLD
    await until(lambda: not silent.open)
    assert states(endpoints)[silent.address] == "ready", "slow is not gone"
    asked = silent.opened
    await open_many(backend, opened, 5)
    assert silent.opened == asked, "it is asked last for a while"


async def test_the_last_healthy_replica_has_no_answer_timeout(
    replica, bridge_to, opened, monkeypatch
):
    """A tier that is slow everywhere answers, if late: only the first wait of each is cut."""
    monkeypatch.setattr("bridge.upstream.call_opener.ANSWER_TIMEOUT", patient(0.05))
    replicas = [await replica(started=False) for _ in range(2)]
    endpoints, backend = bridge_to(*replicas)
    await all_ready(endpoints)
    opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
    await until(lambda: all(tier.opened for tier in replicas))
    second = next(tier for tier in replicas if tier.open)
    await asyncio.wait([opening], timeout=0.2)
    (await second.next_call()).start()
    opened.append(await opening)
    assert [tier.opened for tier in replicas] == [1, 1]


async def test_clients_that_leave_at_once_do_not_open_the_circuit(replica, bridge_to):
    tier = await replica(started=False)
    endpoints, backend = bridge_to(tier)
    for _ in range(FAILURE_THRESHOLD + 1):
        opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
        await tier.next_call()
        opening.cancel()
        await asyncio.wait([opening])
    await all_ready(endpoints)
    assert endpoints.snapshot()[0].streams == 0


@pytest.fixture
async def storm():
    """Re-subscribe `count` times at once; what is still under way in the end is cancelled."""
    tasks = []

    def begin(backend, count):
        tasks.extend(
            asyncio.create_task(backend.subscribe(QUERY, NOBODY, again=True)) for _ in range(count)
        )

    yield begin
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(outcome, BaseException):
            outcome.close()


async def test_resubscribes_are_rate_limited_and_do_not_delay_first_opens(
    replica, bridge_to, opened, storm
):
    tier = await replica()
    _, backend = bridge_to(tier, pace={"resubscribe_rate": 2})
    storm(backend, 10)
    await until(lambda: len(tier.open) == 2)
    assert backend.opener.waiting == 8
    async with patiently(0.4):
        await open_many(backend, opened, 5)
    assert backend.opener.waiting >= 2, "they wait up to 4 s"


async def test_resubscribes_do_not_delay_a_first_opens_second_attempt_either(
    replica, bridge_to, opened, storm
):
    stopping, tier = await replica(), await replica()
    stopping.refusal = Refusal(grpc.StatusCode.UNAVAILABLE, reason="STOPPING")
    # The one that refuses has the fewest streams, so that every open is tried there first.
    _, backend = bridge_to(stopping, tier, pace={"resubscribe_rate": 2})
    await open_many(backend, opened, 2)
    storm(backend, 5)
    await until(lambda: backend.opener.waiting == 5)
    async with patiently(0.4):
        await open_many(backend, opened, 5)
    assert len(tier.open) == 7


# ------------------------------------------------------------------ names


class Dns:
    """A name's addresses, as the test has them; `asked` counts the look-ups."""

    def __init__(self, *addresses):
        self.addresses = addresses
        self.asked = 0

    async def __call__(self, host, port):
        assert host == "tier.svc"
        self.asked += 1
        if isinstance(self.addresses, OSError):
            raise self.addresses
        return self.addresses


@pytest.fixture
async def named(replica):
    """Replicas of one name: one port on several loopback addresses."""
    first = await replica(host="127.0.0.1")
    return [first, *[await replica(first.port, host=f"127.0.0.{n}") for n in (2, 3)]]


async def test_every_address_of_a_name_is_a_replica_as_they_change(
    named, bridge_to, opened, monkeypatch
):
    monkeypatch.setattr("bridge.upstream.resolver.MIN_INTERVAL", 0.02)
    one, two, three = named
    dns = Dns("127.0.0.1", "127.0.0.2")
    endpoints, backend = bridge_to(f"dns:///tier.svc:{one.port}", lookup=dns, lookup_interval=0.05)
    held = await open_many(backend, opened, 10)
    assert (len(one.open), len(two.open)) == (5, 5)
    dns.addresses = ("127.0.0.2", "127.0.0.3")
    await until(lambda: states(endpoints).get(three.address) == "ready")
    await open_many(backend, opened, 10)
    # The one that vanished keeps its streams and gets no more; the new one catches up.
    assert (len(one.open), len(two.open), len(three.open)) == (5, 8, 7) or (
        len(one.open),
        len(two.open),
        len(three.open),
    ) == (5, 7, 8)
    assert {info.address: info.leaving for info in endpoints.snapshot()} == {
        one.address: True,
        two.address: False,
        three.address: False,
    }
    for sub in held:
        sub.close()
    await until(lambda: one.address not in states(endpoints))


async def test_an_address_that_comes_back_is_used_again(named, bridge_to, opened, monkeypatch):
    monkeypatch.setattr("bridge.upstream.resolver.MIN_INTERVAL", 0.02)
    one, two, _ = named
    dns = Dns("127.0.0.1")
    endpoints, backend = bridge_to(f"dns:///tier.svc:{one.port}", lookup=dns, lookup_interval=0.05)
    await open_many(backend, opened, 2)
    dns.addresses = ("127.0.0.2",)
    await until(lambda: two.address in states(endpoints))
    dns.addresses = ("127.0.0.1",)
    await until(lambda: two.address not in states(endpoints))
    assert [info.leaving for info in endpoints.snapshot()] == [False]
    await open_many(backend, opened, 2)
    assert len(one.open) == 4


async def test_a_name_that_fails_keeps_its_addresses_and_is_logged_once(
    named, bridge_to, opened, monkeypatch, caplog
):
    monkeypatch.setattr("bridge.upstream.resolver.MIN_INTERVAL", 0.02)
    dns = Dns("127.0.0.1")
    _, backend = bridge_to(f"dns:///tier.svc:{named[0].port}", lookup=dns, lookup_interval=0.03)
    await open_many(backend, opened, 1)
    for trouble in (OSError("no such name"), ()):
        dns.addresses = trouble
        seen = dns.asked
        await until(lambda seen=seen: dns.asked > seen + 3)
    await open_many(backend, opened, 1)
    assert len([r for r in caplog.records if "can't be resolved" in r.message]) == 1


async def test_a_name_that_was_never_found_is_unavailable_at_once(bridge_to):
    endpoints, backend = bridge_to("dns:///tier.svc:1", lookup=Dns())
    async with patiently(1):
        with pytest.raises(Failed) as failed:
            await backend.subscribe(QUERY, NOBODY)
    assert failed.value.kind is Kind.UNAVAILABLE
    assert endpoints.snapshot() == []
    assert not await endpoints.reachable(0.05)


async def test_an_unreachable_replica_has_its_name_resolved_again_soon(bridge_to, monkeypatch):
    monkeypatch.setattr("bridge.upstream.resolver.MIN_INTERVAL", 0.02)
    dns = Dns("127.0.0.1")
    _, backend = bridge_to("dns:///tier.svc:1", lookup=dns, lookup_interval=3600)
    with pytest.raises(Failed):
        await backend.subscribe(QUERY, NOBODY)
    await until(lambda: dns.asked == 2)


async def test_names_are_resolved_by_the_systems_resolver(replica, bridge_to, opened):
    tier = await replica()
    endpoints, backend = bridge_to(f"dns:///localhost:{tier.port}")
    await open_many(backend, opened, 1)
    assert tier.address in states(endpoints)


async def test_a_unix_socket_is_an_address(replica, bridge_to, opened, tmp_path):
    tier = await replica(where=f"unix:{tmp_path}/tier.sock")
    endpoints, backend = bridge_to(tier)
    await open_many(backend, opened, 1)
    await all_ready(endpoints)


async def test_an_address_given_twice_is_one(replica, bridge_to):
    tier = await replica()
    endpoints, _ = bridge_to(tier, tier)
    assert len(endpoints.snapshot()) == 1


async def test_closing_ends_the_wait_for_a_names_addresses(bridge_to):
    async def never(*_):
        await asyncio.Event().wait()

    endpoints, backend = bridge_to("dns:///tier.svc:1", lookup=never)
    opening = asyncio.create_task(backend.subscribe(QUERY, NOBODY))
    await asyncio.sleep(0)
    await endpoints.close()
    with pytest.raises(Failed):
        await opening


async def test_a_connection_that_answers_is_kept_when_a_call_on_it_fails(
    replica, bridge_to, opened
):
    tier = await replica()
    _, backend = bridge_to(tier)
    await open_many(backend, opened, 1)
    tier.refusal = Refusal(grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(Failed):
        await backend.subscribe(QUERY, NOBODY)
    tier.refusal = None
    await open_many(backend, opened, 1)
    assert len(set(tier.peers)) == 1


async def test_closing_is_idempotent_and_ends_what_is_open(replica, bridge_to):
    tier = await replica()
    endpoints, backend = bridge_to(tier)
    sub = await backend.subscribe(QUERY, NOBODY)
    await endpoints.close()
    await endpoints.close()
    await until(lambda: not tier.open, within=1)
    sub.close()
