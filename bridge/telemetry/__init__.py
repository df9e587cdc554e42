"""Telemetry: what is counted, what is logged, and how both are told."""
