"""Running: a tier and a bridge of this checkout, and a PostgreSQL server of the run's own."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bench.paths import ROOT
from bench.process import Process, ProcessError, process

sys.path.insert(0, str(ROOT / "tests/support"))

from postgres_cluster import Cluster, find_programs

START_SECONDS = 30
CONFIGURATION = "fsync = on\nshared_buffers = 256MB\nmax_wal_size = 4GB\n"


@contextlib.contextmanager
def serving(*arguments: str, name: str) -> Iterator[tuple[Process, str]]:
    """Run one of our commands as long as the block; yield it and where it listens."""
    with process(sys.executable, "-m", "bridge", *arguments, core=None, name=name) as child:
        yield child, child.line(START_SECONDS).rsplit(" ", 1)[-1].strip()


@contextlib.contextmanager
def tier(database: str, *options: str) -> Iterator[tuple[Process, str]]:
    """Run a tier over ``database``."""
    arguments = ("tier", "--listen", "127.0.0.1:0", "--database", database, *options)
    with serving(*arguments, name="tier") as running:
        yield running


@contextlib.contextmanager
def bridge(address: str) -> Iterator[tuple[Process, str]]:
    """Run a bridge before a tier; yield it and its URL."""
    options = ("--auth", "none", "--max-connections-per-ip", "0", "--log-level", "warning")
    listen = ("serve", "--upstream", address, "--listen", "127.0.0.1:0")
    with serving(*listen, *options, name="bridge") as running:
        yield running


class Server:
    """A PostgreSQL server in a temporary folder; ``version`` is as it says."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        with psycopg.connect(cluster.url("postgres")) as connection:
            (self.version,) = connection.execute("SHOW server_version").fetchone() or ("",)

    def database(self, *statements: str) -> str:
        """Make a database, run ``statements`` in it and return its URL."""
        url: str = self.cluster.database()
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)
        return url

    def pgbench(self, url: str, *options: str) -> str:
        """Run pgbench and return what it prints."""
        done = subprocess.run(  # noqa: S603 - PostgreSQL's own program
            [*self._command("pgbench"), *options, _name(url)],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    @contextlib.contextmanager
    def log_reader(self, url: str, table: str) -> Iterator[None]:
        """Read the changes of a table as long as the block, and do nothing with them."""
        publication = "CREATE PUBLICATION bare FOR TABLE "
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL(publication) + sql.Identifier(table))
            command = [*self._command("pg_recvlogical"), "-d", _name(url), "-S", "bare"]
            options = ("-o", "proto_version=1", "-o", "publication_names=bare", "-f", "/dev/null")
            try:
                subprocess.run([*command, "--create-slot", "-P", "pgoutput"], check=True)  # noqa: S603
                reader = subprocess.Popen([*command, "--start", *options])  # noqa: S603
                try:
                    yield
                finally:
                    reader.terminate()
                    reader.wait()
                    _drop_slot(connection, "bare")
            finally:
                connection.execute("DROP PUBLICATION bare")

    def _command(self, program: str) -> list[str]:
        return [f"{self.cluster.programs / program}", "-h", f"{self.cluster.folder}", "-U", "root"]


def _drop_slot(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop a slot once its walsender has noticed that the reader is gone."""
    for _ in range(100):
        try:
            connection.execute("SELECT pg_drop_replication_slot(%s)", [name])
        except psycopg.errors.ObjectInUse:
            time.sleep(0.05)
        else:
            return
    raise ProcessError(f"the slot {name} stays in use")


def _name(url: str) -> str:
    return url.split("/")[3].split("?", maxsplit=1)[0]


@contextlib.contextmanager
def server() -> Iterator[Server | None]:
    """Run a server as long as the block; None where there is no PostgreSQL."""
    programs: Path | None = find_programs()
    if programs is None:
        yield None
        return
    cluster = Cluster(programs, configuration=CONFIGURATION, on_disk=True).make().start()
    try:
        yield Server(cluster)
    finally:
        cluster.remove()
