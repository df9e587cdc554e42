"""The connection pool: which connection a stream occupies, and which ones are closed."""

import asyncio

import pytest
from upstream_tier import FakeTime

from bridge.upstream.connection_pool import ConnectionPool
from bridge.upstream.http2.call import CallEnded
from bridge.upstream.http2.status import CallStatus
from waiting import until


class Connection:
    """A connection that is ready at once, unless it fails."""

    def __init__(self, max_calls, *, failing):
        self.max_calls = 2**32
        self.real_max_calls = max_calls
        self.calls = 0
        self.usable = True
        self.failing = failing
        self.closed = False
        self.changed = asyncio.Event()

    async def wait_changed(self):
        await self.changed.wait()

    @property
    def full(self):
        return self.calls >= self.max_calls

    async def wait_ready(self):
        if self.failing:
            raise CallEnded(CallStatus("UNAVAILABLE"))
        self.max_calls = self.real_max_calls  # the server's settings have arrived

    async def close(self):
        self.closed = True


class Pool:
    """A pool, its connections and its clock."""

    def __init__(self, max_streams=2, server_limit=100, *, failing=False):
        self.failing = failing
        self.server_limit = server_limit
        self.clock = FakeTime()
        self.connections = []
        self.released = []
        self.pool = ConnectionPool(
            dial=self.dial,
            clock=self.clock,
            max_streams=max_streams,
            on_release=self.released.append,
        )

    def dial(self):
        self.connections.append(Connection(self.server_limit, failing=self.failing))
        return self.connections[-1]

    async def acquire(self, count=1):
        taken = []
        for _ in range(count):
            pooled = await self.pool.acquire()
            pooled.connection.calls += 1
            taken.append(pooled)
        return taken


async def test_streams_share_a_connection_up_to_the_pools_limit():
    fakes = Pool(max_streams=2)
    taken = await fakes.acquire(5)
    assert [pooled.connection for pooled in taken] == [
        fakes.connections[n] for n in (0, 0, 1, 1, 2)
    ]
    assert (fakes.pool.streams, len(fakes.pool)) == (5, 3)


async def test_the_servers_limit_counts_once_it_is_known():
    fakes = Pool(max_streams=80, server_limit=2)
    await fakes.acquire(5)
    assert [connection.calls for connection in fakes.connections] == [2, 2, 1]
    assert fakes.pool.streams == 5


async def test_a_server_that_allows_no_streams_at_first_is_waited_for_on_its_connection():
    fakes = Pool(server_limit=0)
    waiting = [asyncio.create_task(fakes.acquire()) for _ in range(2)]
    await until(lambda: fakes.pool.streams == 2)
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    fakes.server_limit = fakes.connections[0].real_max_calls = fakes.connections[0].max_calls = 1
    fakes.connections[0].changed.set()
    taken = [*await waiting[0], *await waiting[1]]
    assert [pooled.connection for pooled in taken] == fakes.connections
    assert (len(fakes.pool), fakes.pool.streams) == (2, 2)


async def test_a_server_that_allows_no_streams_and_ends_the_connection_is_unavailable():
    fakes = Pool(server_limit=0)
    waiting = asyncio.create_task(fakes.acquire())
    await until(lambda: fakes.connections)
    fakes.connections[0].usable = False
    fakes.connections[0].changed.set()
    with pytest.raises(CallEnded):
        await waiting
    assert fakes.pool.streams == 0


async def test_a_connection_that_can_not_be_made_is_given_back():
    fakes = Pool(failing=True)
    with pytest.raises(CallEnded):
        await fakes.acquire()
    assert fakes.pool.streams == 0
    assert [pooled.connection for pooled in fakes.released] == fakes.connections


@pytest.mark.parametrize("how", ["retired", "unusable"])
async def test_a_closing_connection_gets_no_new_streams_and_is_closed_after_its_last(how):
    fakes = Pool(max_streams=80)
    [old] = await fakes.acquire()
    if how == "retired":
        fakes.pool.retire_all()
    else:
        old.connection.usable = False
    [new] = await fakes.acquire()
    assert new is not old
    await fakes.pool.close_unused(60)
    assert not old.connection.closed
    fakes.pool.release(old)
    assert fakes.released == [old]
    await fakes.pool.close_unused(60)
    assert old.connection.closed
    assert not new.connection.closed


async def test_an_idle_connection_is_kept_for_its_time():
    fakes = Pool()
    [pooled] = await fakes.acquire()
    fakes.pool.release(pooled)
    fakes.clock.advance(59)
    await fakes.pool.close_unused(60)
    assert not pooled.connection.closed
    fakes.clock.advance(1)
    await fakes.pool.close_unused(60)
    assert pooled.connection.closed
    assert len(fakes.pool) == 0


async def test_closing_the_pool_closes_every_connection():
    fakes = Pool(max_streams=1)
    await fakes.acquire(3)
    await fakes.pool.close()
    assert all(connection.closed for connection in fakes.connections)
    assert fakes.pool.streams == 0
