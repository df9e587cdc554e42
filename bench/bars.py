"""Bars: what was promised, as data, and whether a run kept it.

Nearly all are ratios against a peer measured in the same run: those mean the same on any machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .runner import Results

Value: TypeAlias = Callable[[Results], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """`value` must not exceed `limit`. `guard` is what a quick run allows; 0: it does not look.

    A guard leaves room for the noise of short windows on a shared machine, and holds a bar that
    is not met yet to what the last full run saw.
    """

    promise: str
    limit: float
    value: Value
    unit: str = "times"
    guard: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A bar and what was measured; None where a side of it is missing."""

    bar: Bar
    measured: float | None

    @property
    def met(self) -> bool | None:
        """Whether the promise was kept."""
        return None if self.measured is None else self.measured <= self.bar.limit

    @property
    def guarded(self) -> bool:
        """Whether a quick run may pass: what is not measured or not guarded does not fail it."""
        return not self.bar.guard or self.measured is None or self.measured <= self.bar.guard


def judge(results: Results) -> list[Verdict]:
    """Hold a run against every bar."""
    return [Verdict(bar=bar, measured=bar.value(results)) for bar in BARS]


def _ratio(scenario: str, metric: str, mine: str, theirs: str) -> Value:
    def value(results: Results) -> float | None:
        ours, other = (results.value(scenario, label, metric) for label in (mine, theirs))
        return ours / other if ours is not None and other else None

    return value


def _plain(scenario: str, metric: str, label: str) -> Value:
    return lambda results: results.value(scenario, label, metric)


def _per_stalled(transport: str) -> Value:
    def value(results: Results) -> float | None:
        without, beside = (
            results.value("stalled", f"bridge {transport}, {stalled} stalled", "memory_kib")
            for stalled in (0, 100)
        )
        return (beside - without) / 100 if without is not None and beside is not None else None

    return value


def _fan_out(transport: str) -> list[Bar]:
    mine = f"bridge {transport}"
    cpu = f"500 clients, {transport}: CPU per frame against"
    return [
        Bar(
            promise=f"{cpu} Nchan",
            limit=1.0,
            value=_ratio("fan_out", "cpu_us", mine, f"nchan {transport}"),
            guard=1.3,
        ),
        Bar(
            promise=f"{cpu} the C loop",
            limit=1.5,
            value=_ratio("fan_out", "cpu_us", mine, f"sendloop {transport}"),
            guard=2.2,
        ),
        Bar(
            promise=f"{cpu} Envoy",
            limit=0.3,
            value=_ratio("fan_out", "cpu_us", mine, "envoy sse"),
            guard=0.45,
        ),
        Bar(
            promise=f"500 clients, {transport}: CPU per frame of v1 against core",
            limit=1.2,
            value=_ratio("fan_out", "cpu_us", f"{mine} v1", mine),
            guard=1.4,
        ),
        Bar(
            promise=f"500 clients, {transport}: median latency against Nchan",
            limit=1.1,
            value=_ratio("fan_out", "p50_ms", mine, f"nchan {transport}"),
        ),
    ]


def _burst(transport: str) -> Bar:
    return Bar(
        promise=f"bursts of 50, {transport}: CPU per frame against Nchan",
        limit=0.08,
        value=_ratio("burst", "cpu_us", f"bridge {transport}", f"nchan {transport}"),
        guard=0.12,
    )


def _idle(transport: str, kib: float, accept: float) -> list[Bar]:
    return [
        Bar(
            promise=f"an idle client of a shared query, {transport}: memory",
            limit=kib,
            value=_plain("idle", "kib_per_client", f"bridge {transport}"),
            unit="KiB",
            guard=kib * 1.5,
        ),
        Bar(
            promise=f"accepting one, {transport}: CPU",
            limit=accept,
            value=_plain("idle", "accept_us", f"bridge {transport}"),
            unit="µs",
            guard=accept * 2,
        ),
    ]


def _tokens(transport: str) -> list[Bar]:
    """Bars of `--auth jwt`: a token that was verified before costs next to nothing."""
    plain = f"bridge {transport}"
    verified = f"{plain}, --auth jwt"
    return [
        Bar(
            promise=f"--auth jwt, {transport}: accepting one against without",
            limit=1.1,
            value=_ratio("idle", "accept_us", verified, plain),
            guard=1.4,
        ),
        Bar(
            promise=f"--auth jwt, {transport}: CPU per frame against without",
            limit=1.1,
            value=_ratio("fan_out", "cpu_us", verified, plain),
            guard=1.3,
        ),
    ]


def _stalled(transport: str) -> list[Bar]:
    with_stalled, without = (f"bridge {transport}, {count} stalled" for count in (100, 0))
    return [
        Bar(
            promise=f"100 of 500 stalled, {transport}: p99 of the rest against without",
            limit=1.1,
            value=_ratio("stalled", "p99_ms", with_stalled, without),
        ),
        Bar(
            promise=f"100 of 500 stalled, {transport}: memory for each",
            limit=64,
            value=_per_stalled(transport),
            unit="KiB",
        ),
    ]


def _joiner(who: str, scenario: str, label: str) -> list[Bar]:
    bridge, envoy = f"bridge {label}", f"envoy {label}"
    return [
        Bar(
            promise=f"{who}: CPU against Envoy",
            limit=0.2,
            value=_ratio(scenario, "join_us", bridge, envoy),
        ),
        Bar(
            promise=f"{who}: CPU",
            limit=500,
            value=_plain(scenario, "join_us", bridge),
            unit="µs",
        ),
        Bar(
            promise=f"{who}: calls to the tier",
            limit=0,
            value=_plain(scenario, "tier_calls", bridge),
            unit="",
        ),
    ]


BARS: tuple[Bar, ...] = (
    *_fan_out("sse"),
    *_fan_out("ws"),
    _burst("sse"),
    _burst("ws"),
    Bar(
        promise="300 distinct queries: CPU per frame against Envoy",
        limit=1.5,
        value=_ratio("distinct", "cpu_us", "bridge sse", "envoy sse"),
        guard=1.9,
    ),
    Bar(
        promise="the same, --gather 8ms: CPU per frame against Envoy",
        limit=1.0,
        value=_ratio("distinct", "cpu_us", "bridge sse, --gather 8ms", "envoy sse"),
        guard=1.6,
    ),
    *_idle("sse", 16, 60),
    *_idle("ws", 20, 150),
    *_tokens("sse"),
    *_tokens("ws"),
    *_joiner("late joiner on 500 rows, after a pause", "join", "sse"),
    *_joiner("late joiners on 500 rows, 5 ms apart", "pace", "sse, 5 ms apart"),
    *_stalled("sse"),
    *_stalled("ws"),
    Bar(
        promise="intake unbatched: CPU per frame shown against a bare reader",
        limit=3,
        value=_ratio("intake", "cpu_us", "bridge, batches of 1", "reader, batches of 1"),
        guard=2,
    ),
    Bar(
        promise="intake in batches of 20: CPU per frame shown against Envoy",
        limit=1.6,
        value=_ratio("intake", "cpu_us", "bridge, batches of 20", "envoy, batches of 20"),
        guard=2.8,
    ),
    Bar(
        promise="intake unbatched, overloaded: frames under way late against early",
        limit=1.5,
        value=_plain("intake", "lag_growth", "bridge, batches of 1"),
    ),
    Bar(
        promise="intake in batches, overloaded: frames under way late against early",
        limit=1.5,
        value=_plain("intake", "lag_growth", "bridge, batches of 20"),
    ),
    Bar(
        promise="from the command to ready",
        limit=0.8,
        value=_plain("start", "ready_s", "bridge"),
        unit="s",
    ),
)
