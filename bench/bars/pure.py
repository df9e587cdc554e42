"""Pure: what the build that every platform takes must hold, and what guards it."""

from bench.runner import Results

from .bar import Bar, Value, plain, ratio


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
            value=ratio("fan_out", "cpu_us", mine, f"nchan {transport}"),
            guard=1.3,
        ),
        Bar(
            promise=f"{cpu} the C loop",
            limit=1.5,
            value=ratio("fan_out", "cpu_us", mine, f"sendloop {transport}"),
            guard=2.2,
        ),
        Bar(
            promise=f"{cpu} Envoy",
            limit=0.3,
            value=ratio("fan_out", "cpu_us", mine, "envoy sse"),
            guard=0.45,
        ),
        Bar(
            promise=f"500 clients, {transport}: CPU per frame of v1 against core",
            limit=1.2,
            value=ratio("fan_out", "cpu_us", f"{mine} v1", mine),
            guard=1.4,
        ),
        Bar(
            promise=f"500 clients, {transport}: median latency against Nchan",
            limit=1.1,
            value=ratio("fan_out", "p50_ms", mine, f"nchan {transport}"),
        ),
    ]


def _burst(transport: str) -> Bar:
    return Bar(
        promise=f"bursts of 50, {transport}: CPU per frame against Nchan",
        limit=0.08,
        value=ratio("burst", "cpu_us", f"bridge {transport}", f"nchan {transport}"),
        guard=0.12,
    )


def _idle(transport: str, kib: float, accept: float) -> list[Bar]:
    return [
        Bar(
            promise=f"an idle client of a shared query, {transport}: memory",
            limit=kib,
            value=plain("idle", "kib_per_client", f"bridge {transport}"),
            unit="KiB",
            guard=kib * 1.5,
        ),
        Bar(
            promise=f"accepting one, {transport}: CPU",
            limit=accept,
            value=plain("idle", "accept_us", f"bridge {transport}"),
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
            value=ratio("idle", "accept_us", verified, plain),
            guard=1.4,
        ),
        Bar(
            promise=f"--auth jwt, {transport}: CPU per frame against without",
            limit=1.1,
            value=ratio("fan_out", "cpu_us", verified, plain),
            guard=1.3,
        ),
    ]


def _stalled(transport: str) -> list[Bar]:
    with_stalled, without = (f"bridge {transport}, {count} stalled" for count in (100, 0))
    return [
        Bar(
            promise=f"100 of 500 stalled, {transport}: p99 of the rest against without",
            limit=1.1,
            value=ratio("stalled", "p99_ms", with_stalled, without),
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
            value=ratio(scenario, "join_us", bridge, envoy),
        ),
        Bar(
            promise=f"{who}: CPU",
            limit=500,
            value=plain(scenario, "join_us", bridge),
            unit="µs",
        ),
        Bar(
            promise=f"{who}: calls to the tier",
            limit=0,
            value=plain(scenario, "tier_calls", bridge),
            unit="",
        ),
    ]


PURE: tuple[Bar, ...] = (
    *_fan_out("sse"),
    *_fan_out("ws"),
    _burst("sse"),
    _burst("ws"),
    Bar(
        promise="300 distinct queries: CPU per frame against Envoy",
        limit=1.5,
        value=ratio("distinct", "cpu_us", "bridge sse", "envoy sse"),
        guard=1.9,
    ),
    Bar(
        promise="the same, --gather 8ms: CPU per frame against Envoy",
        limit=1.0,
        value=ratio("distinct", "cpu_us", "bridge sse, --gather 8ms", "envoy sse"),
        guard=1.6,
    ),
    *_idle("sse", 6, 60),
    *_idle("ws", 7, 150),
    *_tokens("sse"),
    *_tokens("ws"),
    *_joiner("late joiner on 500 rows, after a pause", "join", "sse"),
    *_joiner("late joiners on 500 rows, 5 ms apart", "pace", "sse, 5 ms apart"),
    *_stalled("sse"),
    *_stalled("ws"),
    Bar(
        promise="intake unbatched: CPU per frame shown against a bare reader",
        limit=3,
        value=ratio("intake", "cpu_us", "bridge, batches of 1", "reader, batches of 1"),
        guard=2,
    ),
    Bar(
        promise="intake in batches of 20: CPU per frame shown against Envoy",
        limit=1.6,
        value=ratio("intake", "cpu_us", "bridge, batches of 20", "envoy, batches of 20"),
        guard=2.8,
    ),
    Bar(
        promise="intake unbatched, overloaded: frames under way late against early",
        limit=1.5,
        value=plain("intake", "lag_growth", "bridge, batches of 1"),
    ),
    Bar(
        promise="intake in batches, overloaded: frames under way late against early",
        limit=1.5,
        value=plain("intake", "lag_growth", "bridge, batches of 20"),
    ),
    Bar(
        promise="from the command to ready",
        limit=0.8,
        value=plain("start", "ready_s", "bridge"),
        unit="s",
    ),
)
