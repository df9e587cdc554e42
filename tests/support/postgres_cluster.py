"""A PostgreSQL server of the tests' own, in a temporary folder, run by an unprivileged user."""

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

CONFIGURATION = """
fsync = off
wal_level = logical
listen_addresses = ''
unix_socket_directories = '{folder}'
max_connections = 80
max_wal_senders = 20
max_replication_slots = 20
max_prepared_transactions = 10
shared_buffers = 32MB
max_wal_size = 256MB
wal_writer_delay = 20ms
autovacuum_naptime = 5s
log_line_prefix = '%m [%p] %u@%d '
hot_standby = on
"""

MEMORY = Path("/dev/shm")
ROOM = 4 << 30


def spacious_memory():
    """Return a folder in memory with room for servers, or None: the disk's.

    Each test has a database of its own. Making one on a disk takes ten times as long, and as much
    CPU time.
    """
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else None


def find_programs():
    """Return the folder of PostgreSQL's programs, the newest; None if there is none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: int(each.parts[4])
    )
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def user():
    """Return who runs the server: PostgreSQL refuses to be root."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return None


class Cluster:
    def __init__(self, programs, *, configuration="", on_disk=False):
        self.programs = programs
        self.user = user()
        self.folder = Path(
            tempfile.mkdtemp(prefix="livequery-pg-", dir=None if on_disk else spacious_memory())
        )
        self.configuration = configuration
        self.process = None
        self.databases = 0
        if self.user:
            shutil.chown(self.folder, self.user)

    @property
    def data(self):
        return self.folder / "data"

    def make(self):
        self._program(
            "initdb",
            "-D",
            self.data,
            "-N",
            "-A",
            "trust",
            "-U",
            "root",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-instructions",
        )
        with open(self.data / "postgresql.conf", "a") as file:
            file.write(CONFIGURATION.format(folder=self.folder) + self.configuration)
        return self

    def make_standby_of(self, primary):
        self._program(
            "pg_basebackup",
            "-D",
            self.data,
            "-h",
            primary.folder,
            "-U",
            "root",
            "-R",
            "-c",
            "fast",
            "-X",
            "stream",
        )
        with open(self.data / "postgresql.conf", "a") as file:
            file.write(CONFIGURATION.format(folder=self.folder) + self.configuration)
        return self

    def _command(self, name, *arguments):
        """Return how to run a program as the cluster's user.

        ``user=`` of subprocess forks with Python in the child, where gRPC's fork handlers run: some
        children died of them before they became the program.
        """
        drop = ["setpriv", "--reuid", self.user, "--clear-groups"] if self.user else []
        return [*drop, self.programs / name, *arguments]

    def start(self):
        log = os.open(self.folder / "log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self.process = subprocess.Popen(
            self._command("postgres", "-D", self.data),
            stdout=log, stderr=log, start_new_session=True, cwd="/",
        )  # fmt: skip
        os.close(log)
        end = time.monotonic() + 40
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from None
                time.sleep(0.05)
            else:
                return self

    def kill(self):
        """End the server as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for each in self.folder.glob(".s.PGSQL.*"):
            each.unlink(missing_ok=True)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def promote(self):
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")

    def url(self, database, *, user="root", **options):
        extra = "".join(f"&{name}={value}" for name, value in options.items())
        return f"postgresql://{user}@/{database}?host={self.folder}{extra}"

    def database(self):
        """Make an empty database; return its URL."""
        self.databases += 1
        name = f"test{self.databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def _program(self, name, *arguments):
        done = subprocess.run(
            self._command(name, *arguments), capture_output=True, text=True, cwd="/", check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8", "USER": self.user or getpass.getuser()},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
