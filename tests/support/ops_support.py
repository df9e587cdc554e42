"""Programs under test, scrapes, and certificates of the test's own."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

import aiohttp

from patience import patiently
from waiting import until


class Program:
    """One run of the command line."""

    def __init__(self, process) -> None:
        self.process = process
        self.pid = process.pid
        self.err = []
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self):
        while line := await self.process.stderr.readline():
            self.err.append(line.decode().rstrip("\n"))
            self._news.set()

    async def listening(self, within=30):
        async with patiently(within):
            line = (await self.process.stdout.readline()).decode()
        match = re.fullmatch(r"listening on (\S+)\n", line)
        assert match, (line, self.err)
        return match[1]

    async def says(self, text, within=10, count=1):
        """Wait until so many log lines hold a text; returns the last of them."""
        async with patiently(within):
            while len(found := [line for line in self.err if text in line]) < count:
                self._news.clear()
                await self._news.wait()
        return found[-1]

    def send(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    async def ended(self, within=20):
        """Wait for its end; returns (exit code, rest of stdout)."""
        async with patiently(within):
            out = await self.process.stdout.read()
            await self.process.wait()
            await self._reading
        assert not any("Traceback" in line for line in self.err), self.err
        return self.process.returncode, out.decode()

    async def stop(self, number=signal.SIGTERM):
        """Signal it; returns (exit code, seconds it took)."""
        began = time.monotonic()
        self.send(number)
        code, _ = await self.ended()
        return code, time.monotonic() - began


async def ready(http, url, **more):
    async def check():
        with contextlib.suppress(aiohttp.ClientError):
            async with http.get(url + "/readyz", **more) as response:
                return response.status == 200

    await until(check)


async def samples(http, url, **more):
    """Scrape; returns {`name{labels}`: value} without the prefix."""
    async with http.get(url + "/metrics", **more) as response:
        text = await response.text()
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name.removeprefix("livequery_bridge_")] = float(value)
    return found


async def problem(response):
    return json.loads(await response.text())


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# ------------------------------------------------------------------ certificates


@dataclass
class Authority:
    """A certificate authority of the test's own, in a directory."""

    directory: object

    def _openssl(self, *arguments):
        subprocess.run(("openssl", *arguments), check=True, capture_output=True, cwd=self.directory)

    def found(self):
        self._openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *(
                "-nodes",
                "-keyout",
                "ca.key",
                "-out",
                "ca.pem",
                "-days",
                "2",
                "-subj",
                "/CN=test ca",
            ),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )
        return self

    def issue(self, name, serial, where=None):
        """Make NAME.pem and NAME.key for 127.0.0.1 and localhost, replacing each at once."""
        (self.directory / "ext").write_text(
            "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n"
            "authorityKeyIdentifier=keyid\n"
        )
        self._openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "new.key", "-out", "new.csr", "-subj", f"/CN={name}"),
        )
        self._openssl(
            *("x509", "-req", "-in", "new.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2"),
            *("-set_serial", str(serial), "-extfile", "ext", "-out", "new.pem"),
        )
        for ending in ("key", "pem"):
            os.replace(self.directory / f"new.{ending}", self.directory / f"{name}.{ending}")
        return str(self.directory / f"{name}.pem"), str(self.directory / f"{name}.key")

    @property
    def ca(self):
        return str(self.directory / "ca.pem")
