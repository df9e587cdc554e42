"""Pure values and rules: no event loop, no network, no other package of the bridge."""
