"""The result for people, for programs (JSON) and for CI (JUnit XML)."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from .calls import printable
from .ledger import Finding, Ledger, Outcome, Verdict
from .rules import RULES, Rule

_LABELS = {
    Verdict.OK: "ok",
    Verdict.FAILED: "FAILED",
    Verdict.WARNING: "warning",
    Verdict.NOT_JUDGED: "not judged",
    Verdict.SKIPPED: "skipped",
}


@dataclass(frozen=True, slots=True)
class Report:
    """A finished run of `seconds` against `tier`."""

    tier: str
    ledger: Ledger
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether any rule failed."""
        return any(o.verdict is Verdict.FAILED for o in self.ledger.outcomes())

    def text(self) -> Iterator[str]:
        """Yield lines: one per rule, its findings below it, a summary."""
        outcomes = self.ledger.outcomes()
        width = max(len(outcome.rule.id) for outcome in outcomes)
        for outcome in outcomes:
            reason = f": {printable(outcome.reason)}" if outcome.reason else ""
            label = _LABELS[outcome.verdict]
            yield f"{label:<10}  {outcome.rule.id:<{width}}  {outcome.rule.title}{reason}"
            for finding in outcome.findings:
                yield from _finding_lines(outcome.rule, finding)
        yield ""
        yield from (f"note: {printable(note)}" for note in self.ledger.notes)
        yield f"{self.tier}: {self._counts_text(outcomes)}, in {self.seconds:.1f} s"

    def json(self) -> str:
        """Return one JSON object."""
        outcomes = self.ledger.outcomes()
        counts = Counter(outcome.verdict.value for outcome in outcomes)
        return json.dumps(
            {
                "tier": self.tier,
                "failed": self.failed,
                "seconds": round(self.seconds, 1),
                "counts": {verdict.value: counts[verdict.value] for verdict in Verdict},
                "notes": self.ledger.notes,
                "rules": [_outcome_tree(outcome) for outcome in outcomes],
            },
            ensure_ascii=False,
            indent=2,
        )

    def junit(self) -> str:
        """Return a JUnit test suite: warnings pass, with their findings in `system-out`."""
        outcomes = self.ledger.outcomes()
        unjudged = (Verdict.SKIPPED, Verdict.NOT_JUDGED)
        suite = ET.Element(
            "testsuite",
            name="livequery-bridge verify",
            tests=str(len(outcomes)),
            failures=str(sum(o.verdict is Verdict.FAILED for o in outcomes)),
            skipped=str(sum(o.verdict in unjudged for o in outcomes)),
            errors="0",
            time=f"{self.seconds:.1f}",
        )
        for outcome in outcomes:
            suite.append(_case(outcome))
        ET.indent(suite)
        return ET.tostring(suite, encoding="unicode", xml_declaration=True)

    def _counts_text(self, outcomes: Sequence[Outcome]) -> str:
        counts = Counter(outcome.verdict for outcome in outcomes)
        parts = [f"{counts[verdict]} {_LABELS[verdict]}" for verdict in Verdict if counts[verdict]]
        return ", ".join(parts)


def rules_text() -> Iterator[str]:
    """Yield a line per rule: identifier, title, section."""
    width = max(len(rule.id) for rule in RULES)
    for rule in RULES:
        grade = " (warning)" if rule.warning else ""
        yield f"{rule.id:<{width}}  {rule.title}{grade} [{rule.section}]"


def _finding_lines(rule: Rule, finding: Finding) -> Iterator[str]:
    times = f" ({finding.times} times)" if finding.times > 1 else ""
    grade = "warning" if finding.warning else "failed"
    yield f"    {grade}{times}, {rule.section}"
    yield f"      expected: {printable(finding.expected)}"
    yield f"      got:      {printable(finding.got)}"


def _outcome_tree(outcome: Outcome) -> dict[str, Any]:
    return {
        "rule": outcome.rule.id,
        "section": outcome.rule.section,
        "title": outcome.rule.title,
        "verdict": outcome.verdict.value,
        "reason": outcome.reason,
        "judged": outcome.judged,
        "findings": [
            {
                "expected": finding.expected,
                "got": finding.got,
                "warning": finding.warning,
                "times": finding.times,
            }
            for finding in outcome.findings
        ],
    }


def _case(outcome: Outcome) -> ET.Element:
    case = ET.Element("testcase", classname="livequery.v1", name=outcome.rule.id)
    match outcome.verdict:
        case Verdict.SKIPPED | Verdict.NOT_JUDGED:
            reason = f"{outcome.verdict.value}: {outcome.reason}"
            ET.SubElement(case, "skipped", message=printable(reason))
        case Verdict.FAILED:
            failure = ET.SubElement(case, "failure", message=outcome.rule.title)
            failure.text = _all_findings(outcome)
        case Verdict.WARNING:
            ET.SubElement(case, "system-out").text = _all_findings(outcome)
        case _:
            pass
    return case


def _all_findings(outcome: Outcome) -> str:
    return "\n".join(
        line for finding in outcome.findings for line in _finding_lines(outcome.rule, finding)
    )
