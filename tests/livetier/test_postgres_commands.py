"""The commands for a person with a database, as people run them."""

import asyncio
import sys

import psycopg
import pytest
from click.testing import CliRunner

from bridge.cli import cli
from livetier.postgres.options import parse_options
from livetier.postgres.server_facts import ServerFacts
from postgres_support import database, make_store, require_cluster  # noqa: F401 - a fixture
from tier_client import query

PREPARE = """
CREATE TABLE task (id integer PRIMARY KEY, due date, name text);
INSERT INTO task SELECT n, date '2026-01-01' + n, 'n' || n FROM generate_series(1, 5000) AS n;
CREATE INDEX ON task (due, id);
CREATE TABLE keyless (n integer);
CREATE VIEW seen AS SELECT * FROM task;
ANALYZE;
"""


@pytest.fixture
async def prepared(database):
    connection = await asyncio.to_thread(psycopg.connect, database, autocommit=True)
    connection.execute(PREPARE)
    yield database, connection
    connection.close()


async def tier(*arguments):
    """Run the command in a thread of this process: to start another takes seconds."""
    done = await asyncio.to_thread(CliRunner().invoke, cli, ["tier", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


async def process(*arguments):
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bridge", "tier", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await running.communicate()
    assert b"Traceback" not in err, err.decode()
    return running.returncode, out.decode(), err.decode()


async def test_check_says_what_is_possible_and_what_is_missing_with_the_sql(prepared):
    code, out, _ = await tier("check", "--database", prepared[0])
    assert code == 0
    assert "--capture wal is possible" in out
    assert "public.task: can be live" in out
    assert (
        "public.keyless: has no primary key\n    ALTER TABLE public.keyless ADD PRIMARY KEY" in out
    )
    assert "public.seen: is a view" in out


async def test_check_for_a_role_without_rights_names_the_statements_that_grant_them(prepared):
    url, connection = prepared
    name = url.split("/")[3].split("?")[0]
    connection.execute(f"CREATE ROLE poor_{name} LOGIN")
    code, out, err = await tier(
        "check", "--database", require_cluster().url(name, user=f"poor_{name}")
    )
    assert code == 1
    assert f'ALTER ROLE "poor_{name}" REPLICATION;' in out
    assert f'GRANT CREATE ON DATABASE "{name}" TO "poor_{name}";' in out
    assert "CREATE PUBLICATION livequery" in out
    assert f'GRANT SELECT ON public.task TO "poor_{name}";' in out
    assert "no table can be live" in err
    connection.execute(f"GRANT SELECT ON task TO poor_{name}")
    code, out, _ = await tier(
        "check", "--database", require_cluster().url(name, user=f"poor_{name}")
    )
    assert code == 0
    assert f'GRANT TRIGGER ON public.task TO "poor_{name}";' in out


async def test_check_query_prints_an_index_scan_or_the_index_that_is_missing(prepared):
    url, _ = prepared
    code, out, _ = await tier(
        "check-query", "--database", url, '{"entity":"task","sort":[{"column":"due"}],"limit":5}'
    )
    assert code == 0
    assert "Index Scan" in out
    assert "CREATE INDEX" not in out
    page = '{"entity":"task","sort":[{"column":"due","desc":true}],"limit":5,"cursor":{"values":["2026-02-01","3"]}}'
    assert "CREATE INDEX CONCURRENTLY" in (await tier("check-query", "--database", url, page))[1]
    code, _, err = await tier(
        "check-query", "--database", url, '{"entity":"task","sort":[{"column":"duee"}],"limit":5}'
    )
    assert code == 1
    assert 'did you mean "due"?' in err
    assert "sort[0].column" in err


@pytest.mark.parametrize("capture", ["wal", "trigger"])
async def test_forget_takes_away_all_that_the_tier_has_made(prepared, capture):
    url, connection = prepared
    store = make_store(url, capture=capture)
    await store.open()
    await store.first(await store.compile(query("task"), ()))
    await store.settle()
    await store.close()
    traces = (
        "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_trigger)"
        " + (SELECT count(*) FROM pg_namespace WHERE nspname = 'livequery')"
    )
    assert connection.execute(traces).fetchone()[0] > 0
    code, out, _ = await tier("forget", "--database", url)
    assert code == 0
    assert "taken away" in out
    assert connection.execute(traces).fetchone() == (0,)


async def test_a_server_that_cannot_be_reached_is_a_sentence_without_a_password():
    require_cluster()
    code, _, err = await process(
        "--listen", "127.0.0.1:0", "--database", "postgresql://user:secret@127.0.0.1:1/x"
    )
    assert code == 1
    assert "refused" in err
    assert "secret" not in err


@pytest.mark.parametrize(
    "options",
    [
        {"setting": ["tenant=x-tenant"]},
        {"setting": ["app.tenant"]},
        {"schemas": ","},
        {"role_from": "=a"},
        {"capture": "both"},
    ],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match="--"):
        parse_options("postgresql:///x", **options)


async def test_the_demo_says_what_it_will_make_before_it_is_made_and_serves(prepared):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bridge", "demo", "--listen", "127.0.0.1:0", "--database", prepared[0],
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        said = (await process.stderr.readline()).decode()
        assert "the publication livequery" in said
        assert prepared[1].execute("SELECT count(*) FROM pg_publication").fetchone() == (0,)
        assert (await process.stdout.readline()).startswith(b"listening on http://127.0.0.1:")
    finally:
        process.terminate()
        await process.communicate()


@pytest.mark.parametrize(
    ("version", "mended"),
    [(140_017, "14.18"), (150_012, "15.13"), (160_008, "16.9"), (170_004, "17.5")]
    + [(each, "") for each in (140_018, 150_013, 150_018, 160_009, 170_005, 180_000)],
)
def test_a_server_whose_decoding_may_lose_changes_is_named_with_the_version_that_does_not(
    version, mended
):
    facts = ServerFacts(
        version, "UTF8", "logical", 10, 0, 10, superuser=False, replication=True,
        bypasses_policies=False, role="r", may_create=True, database="d",
    )  # fmt: skip
    assert (f"update to {mended}," in facts.wal_loss) if mended else facts.wal_loss == ""
