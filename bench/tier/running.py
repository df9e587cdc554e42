"""Running: a tier and a bridge of this checkout, and a PostgreSQL server of the run's own."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from bench.paths import ROOT
from bench.process import Process, process

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
        name = url.split("/")[3].split("?", maxsplit=1)[0]
        command = [self.cluster.programs / "pgbench", "-h", self.cluster.folder, "-U", "root"]
        done = subprocess.run(  # noqa: S603 - PostgreSQL's own program
            [*command, *options, name], check=True, capture_output=True, text=True
        )
        return done.stdout


@contextlib.contextmanager
def server() -> Iterator[Server | None]:
    """Run a server as long as the block; None where there is no PostgreSQL."""
    programs: Path | None = find_programs()
    if programs is None:
        yield None
        return
    cluster = Cluster(programs, configuration=CONFIGURATION).make().start()
    try:
        yield Server(cluster)
    finally:
        cluster.remove()
