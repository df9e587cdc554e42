"""Ledger: what was judged, what was found, and what could not be judged and why."""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .rules import RULES, Rule


class Verdict(enum.Enum):
    """What became of one rule."""

    OK = "ok"
    FAILED = "failed"
    WARNING = "warning"
    NOT_JUDGED = "not judged"
    SKIPPED = "skipped"


@dataclass(slots=True)
class Finding:
    """One way in which a rule was broken; `times` counts repetitions."""

    expected: str
    got: str
    warning: bool
    times: int = 1


@dataclass(slots=True)
class Outcome:
    """A rule and what is known about it.

    `reason` says why it was skipped or not judged, or what the verdict rests on.
    """

    rule: Rule
    judged: int = 0
    findings: list[Finding] = field(default_factory=list)
    skipped: str = ""
    not_judged: str = ""
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst finding; else ok if anything was judged."""
        if any(not finding.warning for finding in self.findings):
            return Verdict.FAILED
        if self.findings:
            return Verdict.WARNING
        if self.judged:
            return Verdict.OK
        return Verdict.NOT_JUDGED if self.not_judged else Verdict.SKIPPED

    @property
    def reason(self) -> str:
        """Why there is no verdict, or what it rests on."""
        match self.verdict:
            case Verdict.NOT_JUDGED:
                return self.not_judged
            case Verdict.SKIPPED:
                return self.skipped or "nothing happened that it could be judged by"
        return self.note


MOST_FINDINGS = 5
MOST_CHARACTERS = 400
"""Different findings that are kept per rule; more are counted with the last."""


class Ledger:
    """Takes verdicts rule by rule.

    `only` restricts what is reported; empty is every rule. `mask` takes secrets out of texts.
    """

    def __init__(
        self, only: Iterable[Rule] = (), *, mask: Callable[[str], str] = lambda text: text
    ) -> None:
        chosen = set(only)
        self._outcomes = {rule: Outcome(rule) for rule in RULES}
        self._shown = [rule for rule in RULES if not chosen or rule in chosen]
        self.notes: list[str] = []
        self._mask = mask

    def ok(self, rule: Rule, note: str = "") -> None:
        """Take note that a rule was judged and held."""
        outcome = self._outcomes[rule]
        outcome.judged += 1
        outcome.note = self._mask(note) or outcome.note

    def find(self, rule: Rule, expected: str, got: str) -> None:
        """Take a finding, as severe as its rule."""
        self._find(rule, expected, got, warning=rule.warning)

    def warn(self, rule: Rule, expected: str, got: str) -> None:
        """Take a finding that is no failure."""
        self._find(rule, expected, got, warning=True)

    def check(self, rule: Rule, holds: object, expected: str, got: object) -> bool:
        """Judge a rule by a condition; returns whether it held."""
        if holds:
            self.ok(rule)
        else:
            self.find(rule, expected, str(got))
        return bool(holds)

    def skip(self, reason: str, *rules: Rule) -> None:
        """Say why rules were not looked at."""
        for rule in rules:
            self._outcomes[rule].skipped = self._mask(reason)

    def not_judged(self, reason: str, *rules: Rule) -> None:
        """Say why rules were looked at without a verdict."""
        for rule in rules:
            self._outcomes[rule].not_judged = self._mask(reason)

    def note(self, text: str) -> None:
        """Keep a remark about the whole run; once."""
        text = self._mask(text)
        if text not in self.notes:
            self.notes.append(text)

    def outcomes(self) -> list[Outcome]:
        """Return what is reported, in the order of the table."""
        return [self._outcomes[rule] for rule in self._shown]

    def outcome(self, rule: Rule) -> Outcome:
        """Return one rule's outcome."""
        return self._outcomes[rule]

    def _clip(self, text: str) -> str:
        """Mask, then cut: half a secret at the cut would not be found."""
        return self._mask(text)[:MOST_CHARACTERS]

    def _find(self, rule: Rule, expected: str, got: str, *, warning: bool) -> None:
        finding = Finding(self._clip(expected), self._clip(got), warning)
        outcome = self._outcomes[rule]
        outcome.judged += 1
        for known in outcome.findings:
            if (known.expected, known.got) == (finding.expected, finding.got):
                known.times += 1
                return
        if len(outcome.findings) < MOST_FINDINGS:
            outcome.findings.append(finding)
        else:
            outcome.findings[-1].times += 1
