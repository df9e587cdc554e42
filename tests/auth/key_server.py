"""KeyServer: the https server of an issuer, as good or bad as a test makes it."""

import asyncio
import ssl

from aiohttp import web

from tokens import jwks


class KeyServer:
    """Serves a JWKS. `answer` may be bytes, a status, or a coroutine function."""

    def __init__(self, cert, key):
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(cert, key)
        self._runner = None
        self.answer = b""
        self.asked = 0
        self.port = 0
        self._over = asyncio.Event()

    def serves(self, *keys):
        self.answer = jwks(*keys)

    async def start(self):
        async def handle(request):
            self.asked += 1
            answer = await self.answer() if callable(self.answer) else self.answer
            if isinstance(answer, int):
                return web.Response(status=answer, headers={"Location": "/elsewhere"})
            return web.Response(body=answer)

        app = web.Application()
        app.router.add_get("/jwks.json", handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "localhost", self.port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    @property
    def url(self):
        return f"https://localhost:{self.port}/jwks.json"

    async def stop(self):
        self._over.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def never(self):
        """Answer when the test is over."""
        await self._over.wait()
