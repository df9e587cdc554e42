"""Connections to the tier: the only package that knows the contract's messages and h2."""
