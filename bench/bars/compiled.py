"""Compiled: what the compiled build must hold beside its peers; the pure one is held up to it."""

from .bar import Bar, plain, ratio

_WHERE = "CPU per frame against"


def _fan_out(build: str, transport: str, nchan: float) -> list[Bar]:
    mine = f"{build} {transport}"
    return [
        Bar(
            promise=f"500 clients, {transport}: {_WHERE} Nchan",
            limit=nchan,
            value=ratio("fan_out", "cpu_us", mine, f"nchan {transport}"),
        ),
        Bar(
            promise=f"1,000 clients, {transport}: {_WHERE} the C loop",
            limit=1.2,
            value=ratio("thousand", "cpu_us", mine, f"sendloop {transport}"),
        ),
        Bar(
            promise=f"10 clients, {transport}: {_WHERE} Nchan",
            limit=1.2,
            value=ratio("few", "cpu_us", mine, f"nchan {transport}"),
        ),
    ]


def _broker(build: str, title: str, case: str) -> Bar:
    """Return the bar beside a broker in Go; `case` is its name and the transport."""
    _, transport = case.split()
    return Bar(
        promise=f"500 clients, {transport}: {_WHERE} {title}",
        limit=0.6,
        value=ratio("fan_out", "cpu_us", f"{build} {transport}", case),
    )


def _distinct(build: str) -> list[Bar]:
    mine, at_once = f"{build} sse", f"{build} sse, --gather 0s"
    return [
        Bar(
            promise=f"300 distinct queries: {_WHERE} Envoy",
            limit=0.85,
            value=ratio("distinct", "cpu_us", mine, "envoy sse"),
        ),
        Bar(
            promise="300 distinct queries: median latency",
            limit=1,
            value=plain("distinct", "p50_ms", mine),
            unit="ms",
        ),
        Bar(
            promise=f"the same, --gather 0s: {_WHERE} Envoy",
            limit=1.1,
            value=ratio("distinct", "cpu_us", at_once, "envoy sse"),
        ),
        Bar(
            promise="the same, --gather 0s: median latency",
            limit=0.5,
            value=plain("distinct", "p50_ms", at_once),
            unit="ms",
        ),
        Bar(
            promise=f"100 distinct queries: {_WHERE} the Go original's gateway",
            limit=0.8,
            value=ratio("gateway", "cpu_us", mine, "original sse"),
        ),
        Bar(
            promise="100 distinct queries: median latency against the Go original's gateway",
            limit=1.2,
            value=ratio("gateway", "p50_ms", mine, "original sse"),
        ),
    ]


def _intake(build: str, batch: int, limit: float) -> Bar:
    return Bar(
        promise=f"intake in batches of {batch}: {_WHERE} Envoy",
        limit=limit,
        value=ratio(
            "intake", "cpu_us", f"{build}, batches of {batch}", f"envoy, batches of {batch}"
        ),
    )


def beside_peers(build: str) -> tuple[Bar, ...]:
    """Return the bars of a build, `bridge` or `compiled`, in one order for both."""
    return (
        *_distinct(build),
        _intake(build, 1, 0.5),
        _intake(build, 20, 0.8),
        *_fan_out(build, "sse", 0.7),
        *_fan_out(build, "ws", 0.8),
        Bar(
            promise="accepting a WebSocket: CPU against Nchan",
            limit=4,
            value=ratio("idle", "accept_us", f"{build} ws", "nchan ws"),
        ),
        Bar(
            promise="an idle WebSocket: memory",
            limit=7,
            value=plain("idle", "kib_per_client", f"{build} ws"),
            unit="KiB",
        ),
        _broker(build, "Centrifugo", "centrifugo sse"),
        _broker(build, "Centrifugo", "centrifugo ws"),
        _broker(build, "Mercure", "mercure sse"),
    )
