"""Probes: each asks the tier something and leaves the verdicts in the ledger."""
