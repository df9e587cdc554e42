"""Factories: parts of a bridge that are made from the Config alone."""

import ssl
from typing import Final

from bridge.config.options import Config
from bridge.core.query_rules import QueryRules
from bridge.live.backend import Backend
from bridge.live.query_limits import QueryLimits
from bridge.live.settings import LiveSettings
from bridge.tls.contexts import TlsFiles, load_server
from bridge.tls.reloading import ReloadableFiles
from bridge.upstream.backend import GrpcBackend
from bridge.upstream.call_opener import CallOpener
from bridge.upstream.endpoints import Endpoints
from bridge.web.admission import StreamLimits
from bridge.web.settings import WebSettings

# What `auto` is. Without a limit of streams per address, an address is taken for a proxy's.
MAX_QUERIES: Final = 500
MAX_SUBSCRIPTIONS: Final = 1000
ACCEPT_RATE: Final = 500


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
    by_address = bool(config.max_connections_per_ip)
    queries, subscriptions = config.max_queries_per_identity, config.max_subscriptions_per_identity
    limits = QueryLimits(
        queries=config.max_queries,
        lingering=config.max_lingering,
        queries_per_holder=_or_auto(queries, MAX_QUERIES),
        queries_per_address=_or_auto(queries, MAX_QUERIES if by_address else 0),
        subscriptions_per_holder=_or_auto(subscriptions, MAX_SUBSCRIPTIONS),
        subscriptions_per_address=_or_auto(subscriptions, MAX_SUBSCRIPTIONS if by_address else 0),
    )
    return LiveSettings(
        limits=limits,
        open_timeout=config.open_timeout,
        max_staleness=config.max_staleness,
        linger=config.linger,
        sharing=config.sharing,
    )


def query_rules(config: Config) -> QueryRules:
    """Return what may be asked."""
    return QueryRules(config.entities, config.max_conditions)


def stream_limits(config: Config, most: int) -> StreamLimits:
    """Return the limits of streams; `most`: as many as open files allow."""
    per_ip = config.max_connections_per_ip
    return StreamLimits(
        streams=most,
        per_address=per_ip,
        per_holder=config.max_connections_per_identity,
        rate=config.accept_rate,
        rate_per_address=_or_auto(config.accept_rate_per_ip, ACCEPT_RATE if per_ip else 0),
    )


def _or_auto(limit: int | None, auto: int) -> int:
    return auto if limit is None else limit


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
        max_subscriptions=config.max_subscriptions_per_socket,
        command_rate=config.command_rate,
        max_stream_life=config.max_stream_life,
        heartbeat_interval=config.heartbeat_interval,
        ping_interval=config.ping_interval,
        viewer_backlog=config.viewer_backlog,
        pages=config.explorer,
    )
