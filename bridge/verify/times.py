"""How long things are waited for, in seconds, and how often they are tried."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The defaults are the bridge's own patience; tests take less.

    Attributes:
        started: until `started` comes.
        snapshot: from there until the snapshot is complete.
        reanchor: until Reanchor answers.
        answer: until a refusal comes.
        slow: a round trip beyond this means that timing rules cannot be judged.
        settle: until a window kept by deltas must equal one just read.
        quiet: without a message, a stream counts as quiet.
        watch: for a change to come by itself.
        pause: during which the slow reader reads nothing.
        heartbeat: the longest wait for three promised intervals.
        heartbeat_wish: the interval asked for.
        ending: until streams have ended after the stop command.
        ping: of silence on a connection, until it is pinged.
        attempts: of comparisons that changes keep disturbing.
        changes: to be made, or waited for.
        parallel: Subscribes at once.

    """

    started: float = 5.0
    snapshot: float = 10.0
    reanchor: float = 3.0
    answer: float = 5.0
    slow: float = 1.0
    settle: float = 5.0
    quiet: float = 0.5
    watch: float = 10.0
    pause: float = 2.0
    heartbeat: float = 50.0
    heartbeat_wish: float = 1.0
    ending: float = 15.0
    ping: float = 10.0
    attempts: int = 4
    changes: int = 8
    parallel: int = 50
