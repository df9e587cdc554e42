"""Mount the bridge in an aiohttp application of your own.

    app = web.Application()
    mount(app, "/live", upstream="tier:50051")

serves event streams at `/live` and WebSockets at `/live/ws`, beside the application's own routes.
The bridge starts with the application, drains when it shuts down, and is closed at its cleanup.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

from aiohttp import web

from bridge.config.loader import ConfigError, resolve
from bridge.web.context import CONTEXT
from bridge.web.routes import stream_application

from .app import Bridge

NOT_OURS = frozenset(
    [
        "listen",
        "admin_listen",
        "admin_token",
        "proxy_protocol",
        "tls_cert",
        "tls_key",
        "tls_client_ca",
        "wait_for_tier",
        "workers",
        "base_path",
        "explorer",
        "log_format",
        "log_level",
    ]
)
"""Options of `serve` that a mounted bridge does not have."""
BRIDGE = web.AppKey("bridge", Bridge)
"""The running bridge, in the sub-application that `mount` returns. Its `metrics` print themselves;
`unready_reasons()` returns why it can't serve now."""


def mount(
    app: web.Application, prefix: str, **options: str | float | bool | list[str]
) -> web.Application:
    """Serve live queries below `prefix`, a path such as `/live`; returns the sub-application.

    `options` are those of `serve`, with underscores, as text or as a TOML file has them:
    `upstream`, which is needed, `max_rows`, `allowed_origins` and so on. Those of the listener, of
    the process and of its log are the application's own, and refused. The environment is not read,
    and no file. Call it before the application starts. It raises the process's limit of open files.

    Raises:
        ConfigError: an option is unknown, wrong, or the application's own; there is no `upstream`.

    """
    for name in options:
        if name in NOT_OURS:
            raise ConfigError(f"{name}: a mounted bridge leaves that to its application")
    config, _ = resolve(options, environ={})
    if not config.upstream:
        raise ConfigError("upstream: the address of the tier is needed")
    mounted = stream_application()

    async def run(mounted: web.Application) -> AsyncIterator[None]:
        bridge = Bridge(config)
        # The listener is the application's own, and so is the check of Host on a loopback address.
        settings = replace(bridge.context.settings, loopback=False)
        mounted[CONTEXT] = replace(bridge.context, settings=settings)
        mounted[BRIDGE] = bridge
        bridge.start_background_tasks()
        yield
        await bridge.close()

    mounted.cleanup_ctx.append(run)
    mounted.on_shutdown.append(_drain)
    app.add_subapp(prefix, mounted)
    return mounted


async def _drain(mounted: web.Application) -> None:
    await mounted[BRIDGE].drain()
