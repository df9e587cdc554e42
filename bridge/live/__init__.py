"""Floor 1: subscriptions, viewers and the seams to tier and socket. asyncio, but no network."""
