"""Bytes for clients and from clients: SSE, WebSocket frames, core and v1. Pure."""
