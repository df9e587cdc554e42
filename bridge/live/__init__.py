"""Subscriptions, viewers, and the interfaces to tier and socket. Uses asyncio, but no network."""
