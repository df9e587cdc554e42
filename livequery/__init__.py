"""Stubs generated from proto/livequery/v1: the contract between the bridge and a tier."""
