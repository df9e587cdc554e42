"""An aiohttp application with a route of its own, and live queries below /live.

Usage: python examples/mounted.py TIER_ADDRESS
"""

import sys

from aiohttp import web

from bridge.embed import mount


async def hello(_: web.Request) -> web.Response:
    """Answer the application's own route."""
    return web.Response(text="hello\n")


def build(upstream: str) -> web.Application:
    """Build the application before a tier at `upstream`."""
    app = web.Application()
    app.router.add_get("/", hello)
    mount(app, "/live", upstream=upstream)
    return app


if __name__ == "__main__":
    web.run_app(build(sys.argv[1]), host="127.0.0.1", port=8081)
