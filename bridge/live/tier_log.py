"""TierLog: what the log says about tiers, over all subscriptions: outages and faults."""

from .fault_log import FaultLog
from .outage_log import OutageLog


class TierLog:
    """One for a hub."""

    def __init__(self) -> None:
        self.outages = OutageLog()
        self.faults = FaultLog()
