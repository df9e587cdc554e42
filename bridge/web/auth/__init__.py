"""Credentials: where a client's comes from, whether it holds, what of it the tier is sent."""
