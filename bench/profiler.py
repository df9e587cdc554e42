"""Profiler: samples the bridge under load from outside, and tells where its time goes."""

import shutil
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .clients import clients
from .paths import OUT
from .peers import BridgePeer, Job
from .plan import Plan
from .tools import Tools

RATE = 500
"""Samples a second."""
SHOWN = 25


@dataclass(frozen=True, slots=True)
class Subject:
    """A load to look at."""

    job: Job
    clients: int


SUBJECTS = {
    "sse": Subject(Job(plan=Plan()), 500),
    "ws": Subject(Job(plan=Plan(), transport="ws"), 500),
    "few": Subject(Job(plan=Plan()), 10),
    "burst": Subject(Job(plan=Plan(rate=1, burst=50, batch=50)), 500),
    "distinct": Subject(Job(plan=Plan(rows=20, spread=True), distinct=True), 300),
    "intake": Subject(Job(plan=Plan(flood=True, burst=20, batch=20), distinct=True), 50),
    "accept": Subject(Job(plan=Plan(rows=10, rate=0)), 0),
    "accept-ws": Subject(Job(plan=Plan(rows=10, rate=0), transport="ws"), 0),
}
"""Those with no clients are sampled while clients come and go."""


def profile(tools: Tools, bridge: BridgePeer, name: str, seconds: int) -> str:
    """Sample one subject; returns a table. The stacks are left in bench/out for a flame graph."""
    if tools.py_spy is None:
        return f"py-spy is missing: {tools.missing['py-spy']}"
    subject = SUBJECTS[name]
    stacks = OUT / f"profile-{name}.txt"
    with ExitStack() as stack:
        running = bridge.start(subject.job, stack)
        crowd = stack.enter_context(clients(running.port, running.request, running.message))
        crowd.open(subject.clients or 20, rows=running.rows)
        time.sleep(1)
        pid = running.servers[0].pid
        commands = [_py_spy(tools.py_spy, pid, stacks, seconds), *_perf(pid, seconds)]
        samplers = [subprocess.Popen(command) for command in commands]  # noqa: S603 - the harness's own command lines
        try:
            while any(sampler.poll() is None for sampler in samplers):
                if subject.clients:
                    time.sleep(0.2)
                else:
                    crowd.open(200, rows=running.rows)
                    crowd.close(200)
        finally:
            for sampler in samplers:
                sampler.terminate()
                sampler.wait()
    return f"{_table(stacks)}\n\n{_places()}"


def _py_spy(program: Path, pid: int, stacks: Path, seconds: int) -> list[str]:
    # Not blocking: a paused bridge would be another bridge.
    return [
        str(program),
        *("record", "--pid", str(pid), "--format", "raw", "--output", str(stacks)),
        *("--duration", str(seconds), "--rate", str(RATE), "--nonblocking"),
    ]


def _perf(pid: int, seconds: int) -> list[list[str]]:
    """Sample from the kernel as well, where perf is there: it sees system calls and C."""
    perf = shutil.which("perf")
    if perf is None:
        return []
    event = ("-e", "cpu-clock", "-F", str(RATE))
    data = ("-o", str(OUT / "perf.data"))
    return [[perf, "record", "-q", *event, *data, "-p", str(pid), "--", "sleep", str(seconds)]]


def _places() -> str:
    """Tell in which library, and in which of its functions, the samples of perf fell."""
    perf = shutil.which("perf")
    if perf is None:
        return "perf is not there: what C and the kernel take is not told"
    lines = []
    for key, most in (("dso", 10), ("dso,symbol", SHOWN)):
        command = (perf, "report", "-i", str(OUT / "perf.data"), "--stdio", "--sort", key)
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - as above
        found = [line for line in done.stdout.splitlines() if line.strip() and line[0] != "#"]
        lines += [f"by {key}:", *found[:most]]
    return "\n".join(lines)


def _table(stacks: Path) -> str:
    """Sum samples up: by function, alone and with all it calls."""
    alone: Counter[str] = Counter()
    together: Counter[str] = Counter()
    total = 0
    for line in stacks.read_text().splitlines():
        frames, _, count = line.rpartition(" ")
        names = [frame.strip() for frame in frames.split(";")]
        total += int(count)
        alone[names[-1]] += int(count)
        for name in set(names):
            together[name] += int(count)
    lines = [f"{total} samples", f"{'alone':>7} {'in all':>7}"]
    lines += [
        f"{count / total:7.1%} {together[name] / total:7.1%}  {name}"
        for name, count in alone.most_common(SHOWN)
    ]
    lines.append("in all:")
    lines += [f"{count / total:15.1%}  {name}" for name, count in together.most_common(SHOWN)]
    return "\n".join(lines)
