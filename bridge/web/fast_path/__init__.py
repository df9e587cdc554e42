"""The fast path in front of aiohttp: plain requests for a stream or a WebSocket.

Everything behind the reading of a request is shared with aiohttp's handlers.
"""
