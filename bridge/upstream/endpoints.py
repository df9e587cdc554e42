"""Endpoints: the tier's addresses, their channels, and which one to ask next.

Beyond a server's limit of concurrent streams a call would queue silently, so streams are spread
over channels of their own connections, at most 80 each; Reanchor has a channel to itself.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import grpc

STREAMS_PER_CHANNEL = 80
COOL_DOWN = 2.0
"""Seconds an endpoint that could not be reached comes last in the choice."""

MAX_MESSAGE = 4 * 1024 * 1024

KEEPALIVE: dict[str, tuple[tuple[str, int], ...]] = {
    # Stock servers punish pings more often than every 300 s.
    "compatible": (
        ("grpc.keepalive_time_ms", 330_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.ping_timeout_ms", 20_000),
    ),
    # grpc.keepalive_timeout_ms alone does nothing: the ping timeout is what finds a dead peer.
    "fast": (
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.ping_timeout_ms", 5_000),
    ),
}

_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.primary_user_agent", "livequery-bridge"),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    # Bounds how far a fast tier may run ahead of us.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.service_config", '{"loadBalancingConfig":[{"round_robin":{}}]}'),
)


@dataclass(slots=True, eq=False)
class Lane:
    """One channel and how many streams it carries."""

    channel: grpc.aio.Channel
    streams: int = 0


@dataclass(slots=True, eq=False)
class Endpoint:
    """One address of the tier."""

    address: str
    connect: Callable[[str], grpc.aio.Channel]
    control: grpc.aio.Channel = field(init=False)
    lanes: list[Lane] = field(default_factory=list)
    failed_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.control = self.connect(self.address)

    @property
    def streams(self) -> int:
        """How many streams it carries."""
        return sum(lane.streams for lane in self.lanes)

    def lane(self) -> Lane:
        """Take a place on a channel; give it back with `release`."""
        lane = next((lane for lane in self.lanes if lane.streams < STREAMS_PER_CHANNEL), None)
        if lane is None:
            lane = Lane(self.connect(self.address))
            self.lanes.append(lane)
        lane.streams += 1
        return lane

    def release(self, lane: Lane) -> None:
        """Give a place back."""
        lane.streams -= 1

    async def close(self) -> None:
        """Close every channel, cancelling what still runs on them."""
        await asyncio.gather(self.control.close(), *(lane.channel.close() for lane in self.lanes))


class Endpoints:
    """All addresses of the tier."""

    def __init__(
        self,
        addresses: Iterable[str],
        *,
        keepalive: str = "compatible",
        clock: Callable[[], float] | None = None,
    ) -> None:
        options = [*_OPTIONS, *KEEPALIVE[keepalive]]
        self._clock = clock or asyncio.get_running_loop().time
        self._all = [
            Endpoint(address, lambda a: grpc.aio.insecure_channel(a, options=options))
            for address in addresses
        ]

    def pick(self) -> Endpoint:
        """Choose the least loaded, those that failed just now last."""
        cool = self._clock() - COOL_DOWN
        return min(self._all, key=lambda e: (e.failed_at > cool, e.streams, random.random()))  # noqa: S311 - spreads load, guards nothing

    def failed(self, endpoint: Endpoint) -> None:
        """Note that an endpoint could not be reached."""
        endpoint.failed_at = self._clock()

    async def reachable(self, within: float = 1.0) -> bool:
        """Tell whether any address can be connected to within so many seconds."""
        waits = [asyncio.ensure_future(e.control.channel_ready()) for e in self._all]
        try:
            done, _ = await asyncio.wait(waits, timeout=within, return_when=asyncio.FIRST_COMPLETED)
            return bool(done)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def close(self) -> None:
        """Close every channel."""
        await asyncio.gather(*(endpoint.close() for endpoint in self._all))
