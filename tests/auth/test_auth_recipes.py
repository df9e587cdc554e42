"""docs/security.md: every recipe, as it is written there, in a real browser."""

import asyncio
import re
import shutil
import time
from pathlib import Path

import pytest
from aiohttp import web
from key_server import KeyServer

from ops_support import free_port
from patience import patiently
from tokens import ec_key, rsa_key, token

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/security.md").read_text()
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic")
PAGE = """<!doctype html><meta charset="utf-8"><title>a recipe</title>
<script>
  const seen = [];
  const show = (frame) => seen.push(frame);
  const getToken = async () => (await fetch("/token")).text();
</script>
<script type="module">%s</script>"""
NGINX = """
daemon off; worker_processes 1; error_log stderr error; pid %(folder)s/nginx.pid;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %(folder)s; proxy_temp_path %(folder)s; fastcgi_temp_path %(folder)s;
  uwsgi_temp_path %(folder)s; scgi_temp_path %(folder)s;
  map $http_upgrade $bridge_connection { default upgrade; "" ""; }
  server {
    listen 127.0.0.1:%(port)d;
    location / { proxy_pass http://127.0.0.1:%(page)d; proxy_set_header Host $http_host; }
    %(locations)s
  }
}
"""

pytestmark = pytest.mark.browser
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="*** NO CHROMIUM: apt-get install chromium, then run again ***"
)
needs_nginx = pytest.mark.skipif(
    shutil.which("nginx") is None, reason="*** NO NGINX: apt-get install nginx, then run again ***"
)


def recipe(number):
    """The code blocks of a recipe, by language."""
    [text] = re.findall(rf"^## {number}\. (.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len({language for language, _ in blocks}) == len(blocks)
    return dict(blocks)


@pytest.fixture
async def browser():
    # Imported here: the module starts a Node driver, which nobody without Chromium needs.
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


class Site:
    """The page's own server: the page, a token for it, a session cookie, and who is logged in."""

    def __init__(self):
        self.script = ""
        self.token = token
        self.cookie = None
        self.user = None
        self._runner = None
        self.port = 0

    async def start(self):
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/token", self._token)
        app.router.add_get("/auth", self._auth)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def _page(self, request):
        answer = web.Response(text=PAGE % self.script, content_type="text/html")
        if self.cookie is not None:
            # As the recipe says, but for Secure and __Host-: the test's page is on plain HTTP.
            answer.set_cookie("session", self.cookie, path="/", httponly=True, samesite="Lax")
        return answer

    async def _token(self, request):
        return web.Response(text=self.token())

    async def _auth(self, request):
        if self.user is None:
            return web.Response(status=401)
        return web.Response(headers={"X-User": self.user, "X-Groups": "sales"})

    async def stop(self):
        await self._runner.cleanup()


@pytest.fixture
async def site():
    site = await Site().start()
    yield site
    await site.stop()


@pytest.fixture
async def nginx(tmp_path):
    """Start nginx with some locations before the site; returns its port."""
    started = []

    async def start(site, locations):
        port = free_port()
        file = tmp_path / "nginx.conf"
        names = {"folder": tmp_path, "port": port, "page": site.port, "locations": locations}
        file.write_text(NGINX % names)
        process = await asyncio.create_subprocess_exec(
            "nginx", "-c", str(file), "-p", str(tmp_path)
        )
        started.append(process)
        async with patiently(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return port

    yield start
    for process in started:
        process.terminate()
        await process.wait()


@pytest.fixture
def deploy(run, tier, tmp_path):
    """Start the bridge by a recipe's configuration; returns its URL.

    Names of the recipe become those of the test; nothing else of it is changed.
    """

    async def deploy(blocks, origin, port=0, **names):
        text = blocks["toml"]
        names = {
            "tier:50051": tier.address,
            "0.0.0.0:8080": f"127.0.0.1:{port}",
            "127.0.0.1:8080": f"127.0.0.1:{port}",
            "https://app.example": origin,
            "/etc/livequery/": f"{tmp_path}/",
            **names,
        }
        for name, ours in names.items():
            text = text.replace(f'"{name}', f'"{ours}')
        file = tmp_path / "bridge.toml"
        file.write_text(text)
        program = await run("serve", "--config", str(file), environ=deploy.environ)
        return await program.listening()

    deploy.environ = {}
    return deploy


async def shown(page, count=1):
    """Wait until the page was shown so many rows; returns its frames."""
    async with patiently(20):
        while True:
            seen = await page.evaluate("seen")
            if sum(frame["op"] == "enter" for frame in seen) >= count:
                return seen
            await asyncio.sleep(0.05)


async def answered(tier, within=15):
    """Answer the next call; returns its metadata."""
    async with patiently(within):
        call = await tier.calls.get()
    call.start()
    call.snapshot("a")
    return call.metadata


def in_page(blocks, url):
    return blocks["js"].replace("https://live.app.example", url)


async def opened(browser, url):
    page = await browser.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(url)
    assert complaints == []
    return page


@needs_browser
async def test_recipe_1_the_tier_judges(browser, site, deploy, tier):
    blocks, origin = recipe(1), f"http://127.0.0.1:{site.port}"
    site.script = in_page(blocks, await deploy(blocks, origin))
    site.token = lambda: "whatever the tier takes"
    page = await opened(browser, origin)
    metadata = await answered(tier)
    assert metadata["authorization"] == "Bearer whatever the tier takes"
    assert [frame["op"] for frame in await shown(page)] == ["reset", "enter"]


@needs_browser
async def test_recipe_2_an_issuer(browser, site, deploy, tier, authority):
    blocks, origin = recipe(2), f"http://127.0.0.1:{site.port}"
    server = await KeyServer(*authority.issue("keys", 1)).start()
    try:
        server.serves(ec_key("now"))
        deploy.environ = {"BRIDGE_JWT_CA": authority.ca, "BRIDGE_JWT_LEEWAY": "1s"}
        url = await deploy(
            blocks, origin, **{"https://issuer.example/.well-known/jwks.json": server.url}
        )
        site.script = in_page(blocks, url)
        asked = []

        def new_token():
            asked.append(time.time())
            return token(ec_key("now"), tenant="acme", exp=time.time() + 6)

        site.token = new_token
        page = await opened(browser, origin)
        metadata = await answered(tier)
        assert (metadata["x-tenant"], metadata["x-user"]) == ("acme", "alice")
        assert "authorization" not in metadata
        await shown(page)
        # It is refreshed in place for longer than the first one lasts.
        async with patiently(25):
            while len(asked) < 4:
                await asyncio.sleep(0.1)
        assert len([f for f in await page.evaluate("seen") if f["op"] == "reset"]) == 1
        # A stranger's token is told nothing, and its page does not come back.
        site.token = lambda: token(rsa_key("now"))
        other = await opened(browser, origin)
        await asyncio.sleep(1)
        assert await other.evaluate("seen") == []
        assert tier.opened == 1
    finally:
        await server.stop()


@needs_browser
@needs_nginx
async def test_recipe_3_a_cookie_of_ones_own_backend(browser, site, deploy, nginx, tier, tmp_path):
    blocks = recipe(3)
    assert 'auth-cookie = "__Host-session"' in blocks["toml"]
    [location] = re.findall(
        r"^    location /api/v1/live \{.*?^    \}", (ROOT / "deploy/nginx.conf").read_text(),
        re.DOTALL | re.MULTILINE,
    )  # fmt: skip
    bridge_port = free_port()
    location = location.replace("http://livequery_bridge", f"http://127.0.0.1:{bridge_port}")
    port = await nginx(site, location)
    origin = f"http://127.0.0.1:{port}"
    (tmp_path / "backend.pem").write_bytes(rsa_key().pem)
    deploy.environ = {"BRIDGE_AUTH_COOKIE": "session"}
    await deploy(blocks, origin, bridge_port)
    site.script = in_page(blocks, origin)
    site.cookie = token(iss=f"{origin}/")
    page = await opened(browser, origin)
    assert (await answered(tier))["x-user"] == "alice"
    assert [frame["op"] for frame in await shown(page)] == ["reset", "enter"]
    site.cookie = token(iss=f"{origin}/", exp=1)
    other = await opened(await browser.new_context(), origin)
    await asyncio.sleep(1)
    assert await other.evaluate("seen") == []
    assert tier.opened == 1


@needs_browser
async def test_recipe_4_tickets_for_eventsource(browser, site, deploy, tier, tmp_path):
    blocks, origin = recipe(4), f"http://127.0.0.1:{site.port}"
    (tmp_path / "issuer.pem").write_bytes(ec_key().pem)
    (tmp_path / "ticket.key").write_text("x" * 44 + "\n")
    site.script = in_page(blocks, await deploy(blocks, origin))
    texts = []

    def new_token():
        texts.append(token(ec_key(), jti=str(len(texts))))
        return texts[-1]

    site.token = new_token
    page = await opened(browser, origin)
    metadata = await answered(tier)
    assert metadata["authorization"] == f"Bearer {texts[0]}"
    await shown(page)
    # The tier's OK ends the stream: the page comes back with another ticket.
    for call in list(tier.open.values()):
        call.end()
    await answered(tier)
    await shown(page, 2)
    assert len(texts) == 2


@needs_browser
@needs_nginx
async def test_recipe_5_behind_an_authenticating_proxy(browser, site, deploy, nginx, tier):
    blocks, bridge_port = recipe(5), free_port()
    locations = blocks["nginx"].replace("127.0.0.1:4180", f"127.0.0.1:{site.port}")
    locations = locations.replace("127.0.0.1:8080", f"127.0.0.1:{bridge_port}")
    port = await nginx(site, locations)
    origin = f"http://127.0.0.1:{port}"
    await deploy(blocks, origin, bridge_port)
    site.script = in_page(blocks, origin)
    context = await browser.new_context(
        extra_http_headers={"X-User": "mallory", "X-Groups": "root"}
    )
    nobody = await opened(context, origin)
    await asyncio.sleep(1)
    assert await nobody.evaluate("seen") == []
    assert tier.opened == 0
    site.user = "alice"
    page = await opened(context, origin)
    metadata = await answered(tier)
    assert (metadata["x-user"], metadata["x-groups"]) == ("alice", "sales")
    assert [frame["op"] for frame in await shown(page)] == ["reset", "enter"]


def test_the_document_names_no_option_that_does_not_exist(tmp_path):
    from bridge.config.loader import resolve

    for number in range(1, 6):
        file = tmp_path / f"{number}.toml"
        file.write_text(recipe(number)["toml"])
        config, _ = resolve({}, environ={}, file=str(file))
        assert config.upstream
        assert config.auth in ("jwt", "forward")
    assert not re.search(r"^## 6", TEXT, re.MULTILINE)
