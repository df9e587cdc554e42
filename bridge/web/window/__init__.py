"""A window over plain HTTP (docs/wire.md §8)."""
