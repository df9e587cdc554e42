"""fabriq.v1: a second upstream protocol, that of fabriq's own server (docs/fabriq.md)."""
