"""Conformance kit for live-query tiers: `livequery-bridge verify`."""
