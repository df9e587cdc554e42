"""Report: what a run came to, as Markdown, as JSON and as plots."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import msgspec

from . import plot, sizing
from .bars import Verdict, judge, judge_both
from .case import Scenario
from .paths import BENCH
from .runner import Results
from .tier import section
from .tools import Tools

_COLUMNS = {
    "cpu_us": ("CPU/frame", "µs"),
    "tier_us": ("at the tier", "µs"),
    "p50_ms": ("p50", "ms"),
    "p99_ms": ("p99", "ms"),
    "p50_max_ms": ("worst p50", "ms"),
    "behind_early": ("frames under way, early", ""),
    "behind_late": ("late", ""),
    "frames_per_s": ("frames/s", ""),
    "frames_per_read": ("frames/read", ""),
    "busy": ("of a core", ""),
    "delivered": ("delivered", ""),
    "accept_us": ("CPU/accept", "µs"),
    "kib_per_client": ("memory/client", "KiB"),
    "join_us": ("CPU/join", "µs"),
    "join_ms": ("join to last row", "ms"),
    "tier_calls": ("tier calls/join", ""),
    "ready_s": ("ready after", "s"),
    "cpu_s": ("CPU", "s"),
    "memory_kib": ("memory", "KiB"),
}
_PLOTTED = (
    ("clients", "cpu_us", "CPU per delivered frame, more clients", "clients", "µs"),
    ("clients", "p50_ms", "Median latency, more clients", "clients", "ms"),
    ("clients", "p99_ms", "p99 latency, more clients", "clients", "ms"),
    ("rows", "cpu_us", "CPU per delivered frame, larger windows", "rows of the window", "µs"),
    ("rate", "cpu_us", "CPU per delivered frame, more frames", "frames/s for each client", "µs"),
)
_WORDS = {True: "met", False: "**not met**", None: "not measured"}

_ABOUT = """\
Made by `make bench`; what each figure means is in [docs/performance.md](../docs/performance.md).
Ratios against peers of the same run travel between machines; microseconds do not. `bridge` is the
pure build, `compiled` the other one of the same sources; in a scenario all take turns. Each server
has one core, so the Go programs run on one.

Brokers get what the tier would say as publications, by HTTP POST on one connection kept open, and
their CPU has it in. **Nchan** keeps 1,000 messages. **Centrifugo**: unidirectional SSE and
WebSocket, the channel named in the address, JSON; no history, presence, tokens or compression; log
level `error`. **Mercure**: its standalone hub, which its authors call deprecated, for the module of
Caddy and v1.0.0 can't be had from their Go modules; transport `local` without history; anonymous
subscribers; no write deadlines, heartbeats or compression; it logs who comes and goes, and has no
WebSocket.
"""


def number(value: float) -> str:
    """Print with three significant digits, and no exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:  # noqa: PLR2004 - whole numbers say enough from here on
        return f"{value:,.0f}"
    return f"{value:.3g}"


def bars_table(verdicts: list[Verdict]) -> str:
    """Print the bars as a Markdown table."""
    lines = ["| promise | bar | measured | |", "|---|---:|---:|---|"]
    for verdict in verdicts:
        bar = verdict.bar
        limit = f"{number(bar.limit)} {bar.unit}".strip()
        lines.append(
            f"| {bar.promise} | ≤ {limit} | {_measured(verdict)} | {_WORDS[verdict.met]} |"
        )
    return "\n".join(lines)


def _measured(verdict: Verdict) -> str:
    if verdict.measured is None:
        return "-"
    return f"{number(verdict.measured)} {verdict.bar.unit}".strip()


def builds_table(verdicts: list[tuple[Verdict, Verdict]]) -> str:
    """Print the bars of the compiled build, and beside it what the pure one came to."""
    lines = ["| | bar | compiled | | pure |", "|---|---:|---:|---|---:|"]
    for compiled, pure in verdicts:
        bar = compiled.bar
        lines.append(
            f"| {bar.promise} | ≤ {number(bar.limit)} {bar.unit} | {_measured(compiled)} "
            f"| {_WORDS[compiled.met]} | {_measured(pure)} |"
        )
    return "\n".join(lines)


def _scenario(scenario: Scenario, results: Results) -> str:
    outcomes = {case.label: results.outcomes[scenario.name, case.label] for case in scenario.cases}
    present = {name for outcome in outcomes.values() for name in outcome.median}
    columns = [name for name in _COLUMNS if name in present]
    heads = [" ".join(filter(None, _COLUMNS[name])) for name in columns]
    lines = [
        f"### {scenario.title}\n",
        f"| | {' | '.join(heads)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for label, outcome in outcomes.items():
        values = outcome.median
        cells = [number(values[name]) if name in values else "-" for name in columns]
        if outcome.failure:
            cells = [f"{outcome.failure[:120]}", *[""] * (len(columns) - 1)]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _draw(results: Results, folder: Path) -> list[str]:
    names = []
    plots = folder / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    for noted, metric, title, across, unit in _PLOTTED:
        lines: dict[str, list[tuple[float, float]]] = {}
        for outcome in results.outcomes.values():
            case = outcome.case
            if noted in case.note and metric in outcome.median:
                line = lines.setdefault(f"{case.peer} {case.job.transport}", [])
                line.append((case.note[noted], outcome.median[metric]))
        if lines:
            drawn = {name: sorted(line) for name, line in lines.items()}
            file = plots / f"{noted}-{metric}.svg"
            file.write_text(plot.draw(title, across, unit, drawn))
            names.append(f"![{title}]({file.relative_to(folder)})")
    return names


def both_tables(results: Results) -> str:
    """Print the bars that were measured."""
    both = [pair for pair in judge_both(results) if any(one.met is not None for one in pair)]
    pure = [verdict for verdict in judge(results) if verdict.met is not None]
    return f"{builds_table(both)}\n\n{bars_table(pure)}"


def write(results: Results, tools: Tools, machine: Mapping[str, str], folder: Path = BENCH) -> None:
    """Write report.md, report.json and the plots."""
    verdicts, both = judge(results), judge_both(results)
    versions = ", ".join(f"{name} {_short(text)}" for name, text in tools.versions.items())
    missing = [f"- **{name} is missing**: {why}" for name, why in tools.missing.items()]
    facts = "; ".join(f"{name}: {value}" for name, value in machine.items())
    parts = [
        "# The bridge beside its peers\n",
        f"{time.strftime('%Y-%m-%d', time.gmtime())}. {facts}. {versions}.\n",
        _ABOUT,
        "\n".join(missing) + "\n" if missing else "",
        "## Both builds beside their peers\n",
        builds_table(both) + "\n",
        "## Bars of the pure build\n",
        bars_table(verdicts) + "\n",
        "## Sizing\n",
        sizing.section(results, number) + "\n",
        "## Figures\n",
        *(_scenario(scenario, results) for scenario in results.scenarios),
        "## Growth\n",
        *_draw(results, folder),
    ]
    report = folder / "report.md"
    tier = section.of_report(report.read_text()) if report.exists() else ""
    report.write_text("\n".join(parts) + "\n" + ("\n" + tier if tier else ""))
    (folder / "report.json").write_bytes(_as_json(results, tools, machine))


def _short(text: str) -> str:
    """Keep of what a program says of its version what is no path and no hash."""
    word = text.rsplit(maxsplit=1)[-1] if text else ""
    parts = word.split("/")
    return next((part for part in parts if part[:1].isdigit() and "." in part), word)


def _bars(build: str, verdicts: Iterable[Verdict]) -> list[dict[str, object]]:
    return [
        {
            "build": build,
            "promise": verdict.bar.promise,
            "limit": verdict.bar.limit,
            "unit": verdict.bar.unit,
            "measured": verdict.measured,
            "met": verdict.met,
        }
        for verdict in verdicts
    ]


def _as_json(results: Results, tools: Tools, machine: Mapping[str, str]) -> bytes:
    compiled = (verdict for verdict, _ in judge_both(results))
    document = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": dict(machine),
        "versions": {name: _short(text) for name, text in tools.versions.items()},
        "missing": tools.missing,
        "bars": [*_bars("pure", judge(results)), *_bars("compiled", compiled)],
        "cases": [
            {
                "scenario": scenario,
                "case": label,
                "clients": outcome.case.clients,
                "transport": outcome.case.job.transport,
                "plan": asdict(outcome.case.job.plan),
                "median": outcome.median,
                "windows": outcome.windows,
                "failure": outcome.failure,
            }
            for (scenario, label), outcome in results.outcomes.items()
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
