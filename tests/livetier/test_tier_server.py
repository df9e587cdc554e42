import asyncio
import urllib.request

import pytest

from livetier.server import TierOptions, run_tier, start_tier
from ops_support import free_port
from patience import patiently
from tier_client import Live, leaf, query


async def test_run_tier_tells_its_address_serves_and_returns_when_stopped():
    stop, address = asyncio.Event(), asyncio.get_running_loop().create_future()
    options = TierOptions(start="12:00")
    task = asyncio.create_task(run_tier(options, on_listening=address.set_result, stop=stop))
    async with patiently(10):
        host, _, port = (await address).rpartition(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        stop.set()
        await task


async def test_the_demo_replays_flights_into_a_private_file_that_is_removed(tiers):
    tier = await tiers(speed=3000, start="07:30")
    async with Live(tier, query("flights", sort=["est_dep"], limit=10)) as live:
        assert len(live.rows) == 10
        await live.until(lambda: len(live.groups) > 30)
        await live.caught_up()
    folder = tier.database.parent
    assert folder.exists()
    await tier.stop()
    await tier.stop()
    assert not folder.exists()


async def test_a_given_database_is_served_as_it_is(tiers, things):
    url, connection = things
    tier = await tiers(database=url)
    assert tier.replay is None
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert "flights" not in tables


async def test_a_given_database_replays_when_asked_to(tiers, things):
    tier = await tiers(database=things[0], replay=True, speed=0, start="10:00")
    async with Live(tier, query("flights", leaf("status", "eq", "boarding"))) as live:
        assert live.rows


async def test_a_unix_socket_is_an_address_too(tiers, tmp_path):
    address = f"unix:{tmp_path}/tier.sock"
    tier = await tiers(listen=address, speed=0)
    assert tier.address == address
    async with Live(tier, query("flights", limit=1)) as live:
        assert len(live.rows) == 1


async def test_a_taken_port_is_an_error_not_a_second_listener(tiers):
    tier = await tiers(speed=0)
    with pytest.raises(OSError, match="cannot listen"):
        await start_tier(TierOptions(listen=tier.address, speed=0))


async def test_options_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(ValueError, match="time of day"):
        await start_tier(TierOptions(start="noon"))
    with pytest.raises(ValueError, match="database URL"):
        await start_tier(TierOptions(database="mysql://host/db"))
    with pytest.raises(FileNotFoundError):
        await start_tier(TierOptions(database=f"sqlite:///{tmp_path}/mistyped.sqlite"))
    (tmp_path / "text").write_text("this is no database " * 100)
    with pytest.raises(OSError, match="no SQLite database"):
        await start_tier(TierOptions(database=f"sqlite:///{tmp_path}/text"))


async def test_every_event_of_the_clock_is_a_group_of_its_own(tiers):
    tier = await tiers(speed=0, start="09:00")
    async with Live(tier, query("flights", limit=1000)) as live:
        clock = iter([0.0, 4.0])
        told = 0

        async def committed():
            nonlocal told
            await tier.settle()
            told += 1

        async def sleep(_):
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await tier.replay.run(
                speed=60, committed=committed, clock=lambda: next(clock), sleep=sleep
            )
        await live.caught_up()
        assert len(live.groups) == told
        assert told > 5
        assert all(len(group) == 1 for group in live.groups)


async def test_a_tier_over_a_file_counts_what_it_read_again_and_what_it_did_not(tiers, things):
    url, connection = things
    port = free_port()
    tier = await tiers(database=url, metrics_listen=f"127.0.0.1:{port}")
    async with Live(tier, query("thing", leaf("size", "eq", 1))) as live:
        await live.caught_up()  # the reading that follows every first one is over
        connection.execute("INSERT INTO thing VALUES ('a', 'x', 2, NULL)")
        await live.caught_up()
        connection.execute("INSERT INTO thing VALUES ('b', 'x', 1, NULL)")
        await live.until(lambda: live.ids == ["b"])
        page = await asyncio.to_thread(
            lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        )
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert samples['livequery_tier_shortcuts_total{reason="unequal"}'] == "1.0"
    assert samples['livequery_tier_shortcuts_total{reason="merged"}'] == "1.0"
    assert 'livequery_tier_readings_total{cause="touched"}' in samples
