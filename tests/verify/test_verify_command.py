"""The command: usage, output, exit codes; its documentation says what the code does."""

import json
import re
import shlex
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import grpc
import pytest
from click.testing import CliRunner
from model_tier import ModelTier, Refusal
from planted_faults import NaNInRow

from bridge.cli import cli
from bridge.verify.call_metadata import Mask, parse_metadata
from bridge.verify.ledger import Ledger
from bridge.verify.report import Report
from bridge.verify.rules import BY_ID, RULES
from house_fixtures import run  # noqa: F401 - a fixture
from livetier.server import TierOptions, start_tier

ROOT = Path(__file__).parents[2]
THINGS = '{"entity":"things","sort":[{"column":"n"}],"limit":5}'


def verify(*arguments):
    return CliRunner().invoke(cli, ["verify", *arguments])


def test_list_prints_every_rule():
    lines = verify("--list").output.splitlines()
    assert [line.split()[0] for line in lines] == [rule.id for rule in RULES]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--upstream is needed"),
        (("--upstream", "nowhere"), "nowhere"),
        (("--upstream", "127.0.0.1:1", "--only", "no-rule"), "no rule no-rule"),
        (("--upstream", "127.0.0.1:1", "--query", "{"), "--query"),
        (("--upstream", "127.0.0.1:1", "--query", '{"entity":"x"}'), "limit"),
        (("--upstream", "127.0.0.1:1", "--query", '{"entity":"x","limit":1,"mode":1}'), "mode 0"),
        (("--upstream", "127.0.0.1:1", "--metadata", "secret-without-equals"), "NAME=VALUE"),
        (("--upstream", "127.0.0.1:1", "--upstream-ca", "/no/such/file"), "/no/such/file"),
        (("--upstream", "127.0.0.1:1"), '"entity":"flights"'),
    ],
)
def test_mistakes_in_usage_exit_2_and_say_what_to_mend(arguments, said):
    result = verify(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_tier_out_of_reach_fails_the_service_rule_and_skips_the_others():
    result = verify("--upstream", "127.0.0.1:1", "--query", THINGS, "--json", "-")
    assert result.exit_code == 1
    told = json.loads(result.output)
    assert told["counts"]["failed"] == 1
    assert told["counts"]["skipped"] == len(RULES) - 1


async def test_a_fault_is_told_to_people_to_programs_and_to_ci(start, run, tmp_path):
    tier = await start(NaNInRow())
    files = {name: tmp_path / f"result.{name}" for name in ("json", "xml")}
    program = await run(
        *("verify", "--upstream", tier.address, "--query", THINGS),
        *("--only", "row-json,snapshot-indexes", "--write-command", "true"),
        *("--json", str(files["json"]), "--junit", str(files["xml"])),
    )
    code, out = await program.ended(30)
    assert code == 1
    assert re.search(r"^ok +snapshot-indexes", out, re.MULTILINE)
    assert re.search(r"^FAILED +row-json", out, re.MULTILINE)
    assert "contract.md: Common mistakes" in out
    assert "NaN is not JSON" in out
    told = json.loads(files["json"].read_text())
    assert [(rule["rule"], rule["verdict"]) for rule in told["rules"]] == [
        ("snapshot-indexes", "ok"),
        ("row-json", "failed"),
    ]
    suite = ET.fromstring(files["xml"].read_text())  # noqa: S314 - our own
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert "NaN" in suite.find("testcase[@name='row-json']/failure").text


class Echoing(ModelTier):
    """Refuses everybody and repeats the credential in its debug text."""

    def judge(self, query):
        refusal = Refusal(grpc.StatusCode.UNAUTHENTICATED)
        refusal.status = refusal.status._replace(details="bad token s3cr3t-token")
        raise refusal


async def test_a_secret_in_metadata_reaches_the_tier_and_no_output(start, run):
    tier = await start(Echoing())
    program = await run(
        *("verify", "--upstream", tier.address, "--query", THINGS),
        *("--metadata", "authorization=Bearer s3cr3t-token"),
    )
    code, out = await program.ended(30)
    said = out + "".join(program.err)
    assert code == 2
    assert "bad token ***" in said
    assert "s3cr3t" not in said


async def test_changes_by_a_write_command_are_compared(run, things):
    url, connection, change = things
    tier = await start_tier(TierOptions(database=url))
    try:
        program = await run(
            *("verify", "--upstream", tier.address, "--only", "window-kept,delta-index"),
            *("--query", '{"entity":"thing","sort":[{"column":"size"}],"limit":3}'),
            *("--write-command", change),
        )
        code, out = await program.ended(30)
    finally:
        await tier.stop()
    assert code == 0, out
    assert re.search(r"^ok +window-kept", out, re.MULTILINE)
    assert connection.execute("SELECT count(*) FROM thing WHERE size > 100").fetchone() != (0,)


@pytest.fixture
def things(tmp_path):
    """A database with rows: its URL, a connection, and a shell command that changes a row."""
    import sqlite3

    path = tmp_path / "things.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE thing (id TEXT PRIMARY KEY, size INTEGER)")
    connection.executemany("INSERT INTO thing VALUES (?, ?)", [(f"t{n}", n) for n in range(6)])
    statement = "UPDATE thing SET size = size + 101 WHERE id = (SELECT min(id) FROM thing)"
    source = (
        f"import sqlite3\nwith sqlite3.connect({str(path)!r}, 10) as c: c.execute({statement!r})"
    )
    yield f"sqlite:///{path}", connection, f"{sys.executable} -c {shlex.quote(source)}"
    connection.close()


# ---------------------------------------------------------------- small change


def test_metadata_is_read_as_pairs_with_names_in_lower_case():
    assert parse_metadata(["X-Tenant=a=b", "y="]) == (("x-tenant", "a=b"), ("y", ""))


@pytest.mark.parametrize(
    "text",
    [
        "=s3cr3t",
        "authorization: Bearer s3cr3t",  # as curl has it: all of it may be a secret
        "grpc-timeout=s3cr3t",
        "my token=s3cr3t",
        "te=s3cr3t",
        "x-bin=s3cr3t",
        "name=s3cr3tü",
        "name=s3cr3t\n",
    ],
)
def test_other_metadata_is_refused_without_its_value(text):
    with pytest.raises(ValueError, match=r"number 1|^name: ") as refused:
        parse_metadata([text])
    assert "s3cr3t" not in str(refused.value)


def test_a_mask_takes_whole_values_and_their_last_word():
    mask = Mask((("authorization", "Bearer abcdef"), ("x", "a")))
    assert mask("Bearer abcdef, abcdef, a") == "***, ***, a"


def test_control_characters_of_a_tier_reach_neither_terminal_nor_xml():
    ledger = Ledger()
    ledger.find(BY_ID["stream-id"], "a stream_id", "1-0\x1b[31m\n\x00")
    report = Report("here", ledger, 1.0)
    assert "\x1b" not in "\n".join(report.text())
    assert ET.fromstring(report.junit()) is not None  # noqa: S314 - our own


# ---------------------------------------------------------------- documentation

DOCUMENT = (ROOT / "docs" / "verify.md").read_text()


def test_the_table_in_the_documentation_is_the_code_s():
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+?) \| (.+?) \|$", DOCUMENT, re.MULTILINE)
    grade = {True: " *(warning)*", False: ""}
    assert rows == [(rule.id, rule.title + grade[rule.warning], rule.section) for rule in RULES]


@pytest.mark.parametrize("section", sorted({rule.section for rule in RULES}))
def test_every_section_that_a_rule_names_is_there(section):
    name, _, heading = section.partition(": ")
    lines = (ROOT / "docs" / name).read_text().splitlines()
    starts = (f"## {heading}", f"**{heading}.**", f"**{heading}")
    assert any(line.startswith(starts) for line in lines), section
