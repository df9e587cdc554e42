"""The tier's section of the report, from the figures kept of each part."""

import json
from collections.abc import Mapping
from typing import Any

from bench.paths import BENCH

Figures = dict[str, Any]
KEPT = BENCH / "tier.json"
REPORT = BENCH / "report.md"
HEAD = "## The tier on a database\n"
_LIMIT, _FLOOR = "≤", "≥"

_LAGS = {
    "wal": "tier, `--capture wal`",
    "trigger": "tier, `--capture trigger`",
    "polling": "polling: each query once a second",
    "notify": "LISTEN/NOTIFY: each client asks again",
}


def keep(name: str, figures: Figures, machine: Mapping[str, str]) -> None:
    """Keep the figures of a part, in place of those before."""
    kept = _kept()
    kept["machine"] = dict(machine)
    kept.setdefault("parts", {})[name] = figures
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def _kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return found


def write() -> None:
    """Put the section at the end of the report."""
    report = REPORT.read_text() if REPORT.exists() else ""
    before, _, _ = report.partition(HEAD)
    REPORT.write_text(f"{before.rstrip()}\n\n{text()}\n")


def of_report(report: str) -> str:
    """Return the section that a report has, empty if none."""
    _, head, rest = report.partition(HEAD)
    return head + rest


def text() -> str:
    """Return the section."""
    kept = _kept()
    parts: dict[str, Figures] = kept.get("parts", {})
    if not parts:
        return HEAD + "\nNot measured: there is no PostgreSQL.\n"
    first = next(iter(parts.values()))
    loads = [figures["load"] for figures in parts.values()]
    server = f"PostgreSQL {first['PostgreSQL']} with `fsync = on`"
    facts = (
        f"{first['date']}. {server}, on one machine with all else: {kept['machine']['processor']}."
    )
    busy = f"Load average before each part: {min(loads)} to {max(loads)}."
    return "\n".join(
        [
            HEAD,
            f"{facts} {busy}",
            "",
            *_bars(parts),
            "### 200 windows of 20 rows, 50 commits/s: commit → browser\n",
            *_table(("", "p50 ms", "p95 ms", "p99 ms", "tier CPU/commit ms", "queries/commit")),
            *(
                _row(title, parts[name], ("p50", "p95", "p99", "tier_ms", "queries"))
                for name, title in _LAGS.items()
                if name in parts
            ),
            "",
            *_writers(parts),
            "### SQLite, 200 windows of 20 to 220 rows, 50 commits/s: commit → browser\n",
            *_table(("windows that differ by", "p50 ms", "p95 ms", "p99 ms", "tier CPU/commit ms")),
            *(
                _row(name.removeprefix("sqlite "), figures, ("p50", "p95", "p99", "tier_ms"))
                for name, figures in parts.items()
                if name.startswith("sqlite ") and "p50" in figures
            ),
        ]
    )


def _bars(parts: Mapping[str, Figures]) -> list[str]:
    """Return the table of what is promised."""
    lines = ["| promise | bar | measured | |", "|---|---:|---:|---|"]
    for promise, sign, bar, value, unit in _promises(parts):
        met = value <= bar if sign == _LIMIT else value >= bar
        word = "met" if met else "**not met**"
        lines.append(f"| {promise} | {sign} {bar:,}{unit} | {value:,}{unit} | {word} |")
    return [*lines, ""]


def _promises(parts: Mapping[str, Figures]) -> list[tuple[str, str, float, float, str]]:
    found: list[tuple[str, str, float, float, str]] = []

    def add(place: tuple[str, str], promise: str, sign: str, bar: float, unit: str = "") -> None:
        part, key = place
        if part in parts:
            found.append((promise, sign, bar, parts[part][key], unit))

    browser = "commit → browser, p95"
    add(("wal", "p95"), f"PostgreSQL by wal: {browser}", _LIMIT, 25, " ms")
    add(("trigger", "p95"), f"PostgreSQL by triggers: {browser}", _LIMIT, 25, " ms")
    add(("touched", "per_core"), "windows that change, a second and core of the tier", _FLOOR, 2000)
    add(
        ("equality", "ratio"),
        "a write for one of 10,000 equality windows, to one of ten",
        _LIMIT,
        1.2,
    )
    for clients, figures in _clients(parts.get("writers wal", {})):
        promise = f"TPS of `pgbench -c {clients}` with a tier by wal, to without"
        found.append((promise, _FLOOR, 0.95, figures["ratio"], ""))
    for name in parts:
        if name.startswith("sqlite ") and name != "sqlite update":
            title = f"SQLite, {name.removeprefix('sqlite ')}: commit → browser, p99"
            add((name, "p99"), title, _LIMIT, 150, " ms")
    if "sqlite update" in parts:
        bar = parts["sqlite update"]["bar_ms"]
        add(("sqlite update", "ms"), "SQLite: UPDATE of 30,000 rows", _LIMIT, bar, " ms")
    return found


def _clients(figures: Figures) -> list[tuple[str, Figures]]:
    return [(name, each) for name, each in figures.items() if name.isdigit()]


def _writers(parts: Mapping[str, Figures]) -> list[str]:
    lines = [
        "### pgbench, without a tier and with one that has a window on what it writes\n",
        *_table(
            (
                *("", "clients", "TPS without", "with", "ratio, median"),
                *("ratio of a bare reader", "ratios"),
            )
        ),
    ]
    for capture in ("wal", "trigger"):
        figures = parts.get(f"writers {capture}", {})
        for clients, each in _clients(figures):
            ratios = ", ".join(map(str, each["ratios"]))
            cells = (capture, clients, each["alone"], each["attached"], each["ratio"])
            lines.append(_cells((*cells, each.get("bare", "-"), ratios)))
    wal = parts.get("writers wal")
    if wal:
        spent = f"{wal['tier_us']} µs in the tier, {wal['walsender_us']} µs in the walsender"
        bare = (
            f"beside a bare reader (`pg_recvlogical`) the walsender took {wal['bare_walsender_us']}"
        )
        lines += ["", f"CPU of a transaction by wal: {spent}; {bare}."]
    return [*lines, ""]


def _table(heads: tuple[str, ...]) -> list[str]:
    return [_cells(heads), "|---|" + "---:|" * (len(heads) - 1)]


def _row(title: str, figures: Figures, keys: tuple[str, ...]) -> str:
    return _cells((title, *(figures.get(key, "-") for key in keys)))


def _cells(cells: tuple[Any, ...]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
