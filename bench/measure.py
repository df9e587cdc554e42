"""Measure: what is done with a peer in one window. Each starts it anew and leaves nothing."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from urllib.request import urlopen

from .case import Case, Metrics, Pace
from .clients import Clients, Counted, clients
from .peers import Peer, Running
from .peers.bridge import clean_environ
from .peers.peer import tier
from .process import SERVER_CORE, ProcessError, process, used

PILOTS = 20
"""Connections opened before any is measured: the first ones pay for what is loaded on first use."""
JOINS = 60
SAMPLES = 8
MICRO, MILLI = 1e6, 1e3


@contextmanager
def _running(case: Case, peer: Peer) -> Iterator[tuple[Running, Clients]]:
    with ExitStack() as stack:
        running = peer.start(case.job, stack)
        crowd = stack.enter_context(clients(running.port, running.request, running.message))
        yield running, crowd


def _open(crowd: Clients, count: int, rows: int) -> None:
    opened = crowd.open(count, rows=rows)
    if opened.ready < count:
        raise ProcessError(f"only {opened.ready} of {count} clients were served")


def _told(counted: Counted) -> Metrics:
    return {
        "p50_ms": counted.p50 / 1e6,
        "p90_ms": counted.p90 / 1e6,
        "p99_ms": counted.p99 / 1e6,
        "max_ms": counted.max / 1e6,
        "frames_per_s": counted.frames / counted.seconds,
        "frames_per_read": counted.frames / max(counted.reads, 1),
        "lost": counted.lost,
    }


def _count(running: Running, crowd: Clients, seconds: float) -> tuple[Counted, float, float]:
    """Count for some seconds; returns it with the CPU seconds of server and tier."""
    beside = [running.tier] if running.tier else []
    crowd.reset()
    cpu, _ = used(running.servers)
    tier_cpu, _ = used(beside)
    time.sleep(seconds)
    counted = crowd.report()
    return counted, used(running.servers)[0] - cpu, used(beside)[0] - tier_cpu


def steady(case: Case, peer: Peer, pace: Pace) -> Metrics:
    """Measure CPU per delivered frame and latency while changes come at the plan's pace."""
    with _running(case, peer) as (running, crowd):
        _open(crowd, case.clients, running.rows)
        if case.stalled:
            crowd.stall(case.stalled)
        time.sleep(case.warm or pace.warm)
        counted, cpu, tier_cpu = _count(running, crowd, pace.window)
        _, memory = used(running.servers)
    frames = max(counted.frames, 1)
    due = case.job.plan.frames_per_second * (case.clients - case.stalled) * counted.seconds
    return _told(counted) | {
        "cpu_us": cpu * MICRO / frames,
        "tier_us": tier_cpu * MICRO / frames,
        "busy": cpu / counted.seconds,
        "delivered": counted.frames / due if due else 1,
        "memory_kib": memory,
    }


def idle(case: Case, peer: Peer, _: Pace) -> Metrics:
    """Measure what it costs to accept a client, and to keep it while nothing changes."""
    with _running(case, peer) as (running, crowd):
        _open(crowd, PILOTS, running.rows)
        time.sleep(0.5)
        cpu, memory = used(running.servers)
        _open(crowd, case.clients, running.rows)
        time.sleep(0.3)
        after, grown = used(running.servers)
    return {
        "accept_us": (after - cpu) * MICRO / case.clients,
        "kib_per_client": (grown - memory) / case.clients,
        "memory_kib": grown,
    }


def join(case: Case, peer: Peer, _: Pace) -> Metrics:
    """Measure what a late joiner costs: it comes, gets the whole window, leaves."""
    with _running(case, peer) as (running, crowd):
        _open(crowd, PILOTS, running.rows)
        time.sleep(1)
        calls = _calls(running)
        before, _ = used(running.servers)
        time.sleep(1)
        rate = used(running.servers)[0] - before
        began, (cpu, _) = time.monotonic(), used(running.servers)
        times = []
        for _ in range(JOINS):
            opened = crowd.open(1, rows=running.rows)
            crowd.close(1)
            times.append(opened.seconds)
            if case.pause:
                time.sleep(case.pause)
        time.sleep(0.1)
        spent = used(running.servers)[0] - cpu - rate * (time.monotonic() - began)
        called = _calls(running) - calls
    return {
        "join_us": spent * MICRO / JOINS,
        "join_ms": median(times) * MILLI,
        "tier_calls": called / JOINS,
    }


def _calls(running: Running) -> float:
    return float(running.tier.ask("stats")["started"]) if running.tier else 0


def flood(case: Case, peer: Peer, pace: Pace) -> Metrics:
    """Measure intake: CPU per frame shown, and whether latency stays where it is."""
    medians: list[float] = []
    behind: list[float] = []
    frames, cpu, tier_cpu = 0, 0.0, 0.0
    with _running(case, peer) as (running, crowd):
        _open(crowd, case.clients, running.rows)
        time.sleep(case.warm or pace.warm)
        for _ in range(SAMPLES):
            counted, more, tier_more = _count(running, crowd, pace.window / 4)
            medians.append(counted.p50 / 1e6)
            # Little's law. Latency alone would blame us for a core that others use, too.
            behind.append(counted.p50 / 1e9 * counted.frames / counted.seconds)
            frames += counted.frames
            cpu += more
            tier_cpu += tier_more
    third = max(len(behind) // 3, 1)
    early, late = median(behind[:third]), median(behind[-third:])
    seconds = SAMPLES * pace.window / 4
    return {
        "cpu_us": cpu * MICRO / max(frames, 1),
        "tier_us": tier_cpu * MICRO / max(frames, 1),
        "busy": cpu / seconds,
        "frames_per_s": frames / seconds,
        "p50_ms": median(medians),
        "p50_max_ms": max(medians),
        "behind_early": early,
        "behind_late": late,
        "lag_growth": late / max(early, 1),
    }


def read(case: Case, _: Peer, pace: Pace) -> Metrics:
    """Measure a bare grpc.aio reader under the same flood: CPU per delta read."""
    plan = case.job.plan
    with ExitStack() as stack:
        load, port = tier(stack)
        command = (sys.executable, "-m", "bench.reader", str(port), str(case.clients), plan.text)
        child = stack.enter_context(
            process(
                *command, str(plan.batch), core=SERVER_CORE, name="reader", environ=clean_environ()
            )
        )
        time.sleep(pace.warm + 1)
        deltas, (cpu, _), (tier_cpu, _) = child.ask("count")["deltas"], used([child]), used([load])
        time.sleep(2 * pace.window)
        more = child.ask("count")["deltas"] - deltas
        spent, tier_spent = used([child])[0] - cpu, used([load])[0] - tier_cpu
    return {
        "cpu_us": spent * MICRO / max(more, 1),
        "tier_us": tier_spent * MICRO / max(more, 1),
        "busy": spent / (2 * pace.window),
        "frames_per_s": more / (2 * pace.window),
    }


def start(case: Case, peer: Peer, _: Pace) -> Metrics:
    """Measure from the command to the first /readyz that says yes, and the memory then."""
    began = time.monotonic()
    with ExitStack() as stack:
        running = peer.start(case.job, stack)
        url = f"http://127.0.0.1:{running.port}/readyz"
        while True:
            try:
                with urlopen(url, timeout=2) as answer:
                    if answer.status == 200:  # noqa: PLR2004 - HTTP's yes
                        break
            except OSError:
                if time.monotonic() - began > 20:  # noqa: PLR2004 - long past any bar
                    raise
                time.sleep(0.005)
        ready = time.monotonic() - began
        cpu, memory = used(running.servers)
    return {"ready_s": ready, "cpu_s": cpu, "memory_kib": memory}
