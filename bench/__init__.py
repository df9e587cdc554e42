"""Bench: the bridge beside its peers, in one run, on the same cores (docs/performance.md)."""
