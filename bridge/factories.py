"""Factories: parts of a bridge that are made from the Config alone."""

import ssl

from bridge.config.options import Config
from bridge.live.backend import Backend
from bridge.live.settings import LiveSettings
from bridge.tls.contexts import TlsFiles, load_server
from bridge.tls.reloading import ReloadableFiles
from bridge.upstream.backend import GrpcBackend
from bridge.upstream.call_opener import CallOpener
from bridge.upstream.endpoints import Endpoints
from bridge.web.settings import WebSettings


def listener_certificate(config: Config) -> ReloadableFiles[ssl.SSLContext] | None:
    """Read the listener's certificate; returns None where TLS is off. Raises TlsError."""
    if config.tls_cert is None or config.tls_key is None:
        return None
    files = TlsFiles(cert=config.tls_cert, key=config.tls_key, ca=config.tls_client_ca)
    return ReloadableFiles(files.paths, lambda: load_server(files).context, what="certificate")


def endpoints(config: Config) -> Endpoints:
    """Make the endpoints of the tier, in a running loop. Raises TlsError."""
    files = TlsFiles(ca=config.upstream_ca, cert=config.upstream_cert, key=config.upstream_key)
    server_name = config.upstream_server_name
    return Endpoints(
        config.upstream,
        keepalive=config.keepalive,
        read_interval=config.gather,
        tls=files if config.upstream_tls or files.paths or server_name else None,
        server_name=server_name,
    )


def backend(config: Config, endpoints: Endpoints) -> Backend:
    """Make what opens subscriptions at the tier, in a running loop."""
    return GrpcBackend(CallOpener(endpoints, resubscribe_rate=config.resubscribe_rate))


def live_settings(config: Config) -> LiveSettings:
    """Return the settings of `bridge.live`."""
    return LiveSettings(
        open_timeout=config.open_timeout,
        max_staleness=config.max_staleness,
        linger=config.linger,
        sharing=config.sharing,
    )


def web_settings(config: Config) -> WebSettings:
    """Return the settings of `bridge.web`."""
    return WebSettings(
        base_path=config.base_path,
        allowed_origins=config.allowed_origins,
        allowed_hosts=config.allowed_hosts,
        trusted_proxies=config.trusted_proxies,
        forward=config.forward_metadata,
        scope=config.scope or None,
        max_rows=config.max_rows,
        heartbeat_interval=config.heartbeat_interval,
        ping_interval=config.ping_interval,
        viewer_backlog=config.viewer_backlog,
        pages=config.explorer,
    )
