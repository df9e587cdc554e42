"""QueryLimits: how many subscriptions there may be, at the tier and of clients."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """The most subscriptions to the tier and of clients. 0 is no limit."""

    queries: int = 0
    """Different queries in all."""
    lingering: int = 0
    """Subscriptions that linger, in all."""
    queries_per_holder: int = 0
    """Different queries of one credential."""
    queries_per_address: int = 0
    subscriptions_per_holder: int = 0
    """Subscriptions of clients with one credential, equal queries included."""
    subscriptions_per_address: int = 0
