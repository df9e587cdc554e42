"""LiveBridge: a hub between a fake tier and fake clients."""

import asyncio

from bridge.live.hub import Hub
from bridge.live.observer import Observer
from bridge.live.settings import LiveSettings
from bridge.live.stall_monitor import StallMonitor
from fake_client import SOMEBODY, FakeClient
from fake_tier import FakeTier
from virtual_loop import turns


class Counts(Observer):
    """Counts events."""

    def __init__(self):
        self.open = 0
        self.viewers = 0
        self.reasons = []
        self.repairs = []
        self.losses = []
        self.granted = []
        self.resets = []
        self.conflations = 0
        self.frames = 0

    def subscribed(self):
        self.open += 1

    def unsubscribed(self):
        self.open -= 1

    def attached(self):
        self.viewers += 1

    def detached(self, reason):
        self.viewers -= 1
        self.reasons.append(reason)

    def sent(self, frames, size):
        self.frames += frames

    def conflated(self):
        self.conflations += 1

    def repaired(self, cause):
        self.repairs.append(cause)

    def resubscribed(self, cause):
        self.losses.append(cause)

    def offered(self, *, granted):
        self.granted.append(granted)

    def replaced(self, cause):
        self.resets.append(cause)


class LiveBridge:
    """A tier, a hub and a stall monitor. `async with` closes the hub, and checks that nothing is left."""

    def __init__(self, *, stall=5.0, tier=None, **settings):
        self.tier = tier or FakeTier()
        self.counts = Counts()
        self.settings = LiveSettings(**settings)
        self.hub = Hub(backend=self.tier, settings=self.settings, observer=self.counts)
        self.stall_monitor = StallMonitor(stall=stall)
        self.troubles = []  # what clients complained of

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, *_):
        await self.hub.close()
        assert not self.troubles, self.troubles
        if kind is None:
            assert self.counts.open == 0
            assert not self.tier.subs
            assert self.hub.subscriptions == 0
            await asyncio.sleep(0.1)  # a sweep that has nobody left to look at

    def client(self, **how):
        return FakeClient(self, **how)

    async def joined(self, q, identity=SOMEBODY, **how):
        """Make a client and wait until it shows a window."""
        client = await self.client(**how).join(q, identity)
        await turns()
        return client

    @property
    def subscription(self):
        [subscription] = self.hub._all
        return subscription
