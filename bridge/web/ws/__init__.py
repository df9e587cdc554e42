"""WebSocket: handshake, messages, and the sessions of both protocols."""
