"""Floor 0: pure values and rules. No event loop, no network."""
