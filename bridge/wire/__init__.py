"""Bytes to and from clients: SSE, WebSocket frames, core and v1. No event loop, no network."""
