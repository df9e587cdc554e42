"""The bench's own logic: what a run measures, keeps and says, whatever goes wrong in it."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from bench import report, scenarios
from bench.bars import judge, judge_both
from bench.case import Case, Pace, Scenario
from bench.peers import Job
from bench.plan import Plan
from bench.runner import MISSING, Results, run
from bench.sizing import constants, section
from bench.tools import Tools

PACE = Pace(warm=0, window=0, share=1)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr("bench.runner.time.sleep", lambda _: None)


def case(label, measure, peer="bridge"):
    job = Job(plan=Plan())
    return Case(label=label, peer=peer, job=job, clients=1, measure=measure)


def works(*_):
    return {"cpu_us": 5.0}


@pytest.mark.parametrize("error", [KeyError("x"), AttributeError("y"), OSError("z")])
def test_a_case_that_fails_is_named_and_costs_no_other(error):
    def fails(*_):
        raise error

    some = Scenario(name="s", title="t", cases=(case("bad", fails), case("good", works)))
    results = run([some], {"bridge": object()}, PACE)
    assert results.value("s", "good", "cpu_us") == 5
    assert type(error).__name__ in results.outcomes["s", "bad"].failure


def test_what_was_measured_is_told_after_each_scenario():
    some = [Scenario(name=name, title=name, cases=(case("a", works),)) for name in "xyz"]
    told = []
    run(some, {"bridge": object()}, PACE, after=lambda so_far: told.append(len(so_far.outcomes)))
    assert told == [1, 2, 3]


def test_a_report_names_what_is_missing_and_goes_on_without(tmp_path):
    some = Scenario(name="gateway", title="t", cases=(case("original sse", works, "original"),))
    results = run([some], {}, PACE)
    tools = Tools(missing={"the original's gateway": "refused"})
    report.write(results, tools, {}, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "**the original's gateway is missing**: refused" in text
    assert f"| original sse | {MISSING}" in text
    assert json.loads((tmp_path / "report.json").read_text())["missing"] == tools.missing


def test_a_part_of_a_run_leaves_the_pictures_of_the_whole_alone(tmp_path):
    noted = replace(case("bridge sse", works), note={"clients": 10})
    results = run([Scenario(name="few", title="t", cases=(noted,))], {"bridge": object()}, PACE)
    report.write(results, Tools(), {}, tmp_path)
    assert (tmp_path / "plots" / "clients-cpu_us.svg").exists()


def measured(values):
    results = Results()
    for (scenario, label), metrics in values.items():
        some = Scenario(name=scenario, title="t", cases=(case(label, lambda *_, m=metrics: m),))
        results.outcomes |= run([some], {"bridge": object()}, PACE).outcomes
    return results


def test_each_build_is_held_to_the_same_bar_by_its_own_figures():
    values = {
        ("fan_out", "compiled sse"): {"cpu_us": 5.0},
        ("fan_out", "bridge sse"): {"cpu_us": 8.0},
        ("fan_out", "mercure sse"): {"cpu_us": 10.0},
    }
    [(compiled, pure)] = [
        both for both in judge_both(measured(values)) if "Mercure" in both[0].bar.promise
    ]
    assert compiled.bar.promise == pure.bar.promise
    assert (compiled.measured, compiled.met) == (0.5, True)
    assert (pure.measured, pure.met) == (0.8, False)


def test_every_bar_looks_at_a_case_that_the_whole_run_has():
    class Asked(Results):
        """Remembers what it was asked for."""

        def value(self, scenario, label, metric):
            asked.add((scenario, label))
            return super().value(scenario, label, metric)

    asked = set()
    judge(Asked())
    judge_both(Asked())
    there = {(each.name, case.label) for each in scenarios.full() for case in each.cases}
    assert asked - there == set()


def test_no_two_cases_of_a_scenario_share_a_label():
    for each in (*scenarios.full(), *scenarios.quick()):
        labels = Counter(case.label for case in each.cases)
        assert [label for label, count in labels.items() if count > 1] == []


def test_a_quick_run_measures_one_build():
    peers = {case.peer for each in scenarios.quick() for case in each.cases}
    assert "bridge" in peers
    assert "compiled" not in peers


def test_a_million_browsers_take_what_the_constants_say():
    values = {
        ("fan_out", "bridge sse"): {"cpu_us": 7.0},
        ("idle", "bridge sse"): {"accept_us": 42.0, "kib_per_client": 4.0},
    }
    [one] = [
        each
        for each in constants(measured(values))
        if (each.build, each.transport) == ("pure", "sse")
    ]
    assert (one.frame, one.alone, one.accept, one.memory) == (7, None, 42, 4)
    text = section(measured(values), lambda value: f"{value:.2f}")
    # A million frames of 7 µs a second, 0.7 of each core being in use.
    assert "| shared queries, one change a second | 10.00 | - | - | - |" in text
    # A million that come within a minute, 42 µs each.
    assert "| all of them back in 60 s | 1.00 | - | - | - |" in text
