"""TLS for the listener and for connections to the tier: files read, checked and reloaded."""
