"""What the browser library's tests need on the other side: a database, a tier, a bridge, all of
which can be stopped and started again at their addresses. In this process, or by HTTP from Node:

    python client_house.py '{"rows": 100, "options": {"linger": "1s"}}'

prints one line of JSON, `{"base", "control"}`. `POST {control}` with `{"do": NAME, …}` calls the
method of that name. The process ends when its stdin does.
"""

import asyncio
import contextlib
import json
import pathlib
import sqlite3
import sys
import tempfile

from aiohttp import web

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from bridge.app import Bridge
from bridge.config.loader import resolve
from livetier.server import TierOptions, start_tier

STATUSES = ("open", "paid", "sent", "done")


class ClientHouse:
    """Orders in a database, a tier over it, a bridge before that."""

    def __init__(self, *, rows=30, options=None):
        self.folder = tempfile.TemporaryDirectory(prefix="client-house-")
        self.path = f"{self.folder.name}/orders.sqlite"
        self.options = {"linger": "1s", "explorer": "on", **(options or {})}
        if "jwt_keys" in self.options:  # a JSON Web Key Set; the option is the name of its file
            keys = pathlib.Path(self.folder.name, "keys.json")
            keys.write_text(self.options["jwt_keys"])
            self.options["jwt_keys"] = str(keys)
        self.database = sqlite3.connect(self.path, isolation_level=None)
        self.database.row_factory = sqlite3.Row
        self.database.execute("PRAGMA journal_mode = wal")
        self.database.execute("PRAGMA synchronous = off")
        self.database.execute(
            "CREATE TABLE orders (id TEXT PRIMARY KEY, status TEXT, total INTEGER, note TEXT)"
        )
        self.fill(rows)
        self.tier = self.bridge = None
        self.tier_address = "127.0.0.1:0"
        self.listen = "127.0.0.1:0"
        self.url = None

    async def fill_more(self, rows):
        """Add orders beyond those there are, so many in all."""
        have = self.select("SELECT COUNT(*) AS n FROM orders")[0]["n"]
        await self.sql(
            *(
                ["INSERT OR IGNORE INTO orders VALUES (?, 'open', ?, '')", [f"o{n:05}", n]]
                for n in range(have, rows)
            )
        )

    @property
    def base(self):
        return self.url + "/api/v1/live"

    def fill(self, rows):
        self.database.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?)",
            [
                (f"o{n:05}", STATUSES[n % len(STATUSES)], n * 7919 % 10007, f"order {n}")
                for n in range(rows)
            ],
        )

    async def start(self):
        await self.start_tier()
        await self.start_bridge()
        return self

    async def stop(self):
        await self.stop_bridge()
        await self.stop_tier()
        self.database.close()
        self.folder.cleanup()

    async def start_tier(self):
        options = TierOptions(
            listen=self.tier_address, database=f"sqlite:///{self.path}", replay=False
        )
        self.tier = await start_tier(options)
        self.tier_address = self.tier.address

    async def stop_tier(self):
        if self.tier is not None:
            await self.tier.stop()
        self.tier = None

    async def start_bridge(self):
        flags = {"upstream": self.tier_address, "listen": self.listen, **self.options}
        self.bridge = Bridge(resolve(flags, environ={})[0])
        self.url = await self.bridge.start()
        self.listen = self.url.removeprefix("http://")

    async def stop_bridge(self):
        if self.bridge is not None:
            await self.bridge.close()
        self.bridge = None

    async def restart_bridge(self):
        await self.stop_bridge()
        await self.start_bridge()

    async def sql(self, *statements):
        """Commit statements, each text or [text, parameters]; all of one call are one change."""
        self.database.execute("BEGIN")
        for statement in statements:
            text, parameters = (statement, ()) if isinstance(statement, str) else statement
            self.database.execute(text, parameters)
        self.database.execute("COMMIT")
        if self.tier is not None:
            await self.tier.settle()

    def commit(self, text, parameters=()):
        """Commit one statement, and do not wait until the tier has read it."""
        self.database.execute(text, parameters)

    def select(self, text, parameters=()):
        return [dict(row) for row in self.database.execute(text, parameters)]

    def bridge_files(self):
        """Return a function from a URL to the answer that the bridge would give, as it is down."""
        client = pathlib.Path(__file__).parents[2] / "clients" / "js" / "src"

        def answer(url):
            name = url.rpartition("/")[2]
            if "/client/" in url:
                return {"body": (client / name).read_text(), "content_type": "text/javascript"}
            return {"status": 200 if name == "healthz" else 503, "body": ""}

        return answer

    def streams(self):
        """How many streams clients have open at the bridge."""
        return self.bridge._admission.open

    def subscriptions(self):
        """How many queries the bridge has open at the tier."""
        return self.bridge._hub.subscriptions

    def subscribed(self):
        """How many windows the bridge has asked the tier for, and received, since it began."""
        return self.bridge.metrics._resets["subscribed",]


async def main(options):
    house = await ClientHouse(**options).start()

    async def control(request):
        call = json.loads(await request.text())
        done = getattr(house, call.pop("do"))(*call.get("args", []))
        if asyncio.iscoroutine(done):
            done = await done
        return web.json_response(done if isinstance(done, list | int | None) else None)

    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/", control)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    print(json.dumps({"base": house.base, "control": f"http://{host}:{port}/"}), flush=True)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    await runner.cleanup()
    with contextlib.suppress(Exception):
        await house.stop()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}))
