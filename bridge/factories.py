"""Factories: parts of a bridge that are made from the Config alone."""

import secrets
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bridge.config.auth_rules import issuers
from bridge.config.loader import ConfigError
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
from bridge.upstream.fabriq.backend import SNAPSHOT_TIMEOUT, FabriqBackend
from bridge.web.admin.admin_token import AdminToken
from bridge.web.admission import StreamLimits
from bridge.web.auth.authenticator import Authenticator
from bridge.web.auth.identities import Identities
from bridge.web.auth.key_source import FileKeySource, UrlKeySource
from bridge.web.auth.key_store import KeyStore
from bridge.web.auth.settings import AuthMode, AuthSettings, IssuerSettings
from bridge.web.auth.tickets import Tickets
from bridge.web.auth.token_verifier import Issuer, TokenVerifier
from bridge.web.auth.verification_key import BadKey
from bridge.web.settings import WebSettings

MIN_TICKET_KEY = 32
"""Bytes of the secret that seals tickets."""
MIN_ADMIN_TOKEN = 1
"""Bytes of the operators' token."""
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


def auth_settings(config: Config) -> AuthSettings:
    """Return the settings of credentials."""
    return AuthSettings(
        mode=AuthMode(config.auth or "forward"),
        issuers=tuple(
            IssuerSettings(
                issuer=table.issuer,
                audiences=frozenset(table.audience),
                keys=table.keys,
                ca=table.ca,
                algorithms=frozenset(table.algorithms),
            )
            for table in issuers(config)
        ),
        leeway=config.jwt_leeway,
        types=config.jwt_types,
        claims_metadata=config.claims_metadata,
        cookie=config.auth_cookie,
    )


def authenticator(
    config: Config,
    *,
    ticket_key: bytes | None = None,
    clock: Callable[[], float] = time.time,
) -> Authenticator:
    """Make what judges credentials.

    `ticket_key`: drawn by another process, for all of a bridge. `clock`: seconds since the epoch.

    Raises:
        ConfigError: keys or the key of tickets can't be used.

    """
    settings = auth_settings(config)
    identities = Identities(
        config.forward_metadata,
        config.scope or None,
        settings.claims_metadata,
        rule_claims=frozenset(rule.claim[0] for rule in config.entities if rule.claim),
    )
    if config.ticket_key is not None:
        ticket_key = read_secret(config.ticket_key, "--ticket-key", least=MIN_TICKET_KEY)
    verifier = tickets = None
    if settings.mode is AuthMode.JWT:
        verifier = TokenVerifier(settings, list(map(_issuer, settings.issuers)), clock=clock)
    if settings.mode is not AuthMode.NONE:
        tickets = Tickets(ticket_key or secrets.token_bytes(MIN_TICKET_KEY), clock)
    return Authenticator(settings, identities, verifier=verifier, tickets=tickets, clock=clock)


def _issuer(settings: IssuerSettings) -> Issuer:
    """Make an issuer; keys in a file are read now. Raises ConfigError."""
    try:
        if settings.keys.startswith("https://"):
            return Issuer(settings, KeyStore(UrlKeySource(settings)))
        source = FileKeySource(settings)
        return Issuer(settings, KeyStore(source, first=source.load()))
    except BadKey as error:
        raise ConfigError(f"--jwt-keys: {error}") from None


def read_secret(path: str, option: str, *, least: int) -> bytes:
    """Read a file that holds a secret, white space around it left out. Raises ConfigError."""
    try:
        secret = Path(path).read_bytes().strip()
    except (OSError, ValueError) as error:
        # Its path is not told: whoever gives the secret itself would have it in the log.
        what = error.strerror if isinstance(error, OSError) else "this is no path"
        raise ConfigError(f"{option}: {what}; the path of a file is needed") from None
    if len(secret) < least:
        raise ConfigError(f"{option} {path}: {least} bytes at least are needed")
    return secret


def operator_token(config: Config) -> AdminToken | None:
    """Read the operators' token; returns None where there is none. Raises ConfigError."""
    if config.admin_token is None:
        return None
    return AdminToken(read_secret(config.admin_token, "--admin-token", least=MIN_ADMIN_TOKEN))


def backend(config: Config, endpoints: Endpoints) -> Backend:
    """Make what opens subscriptions at the tier, in a running loop."""
    rate = config.resubscribe_rate
    if config.upstream_protocol == "fabriq.v1":
        return FabriqBackend(
            CallOpener(endpoints, resubscribe_rate=rate, answer_timeout=SNAPSHOT_TIMEOUT)
        )
    return GrpcBackend(CallOpener(endpoints, resubscribe_rate=rate))


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


def web_settings(config: Config, *, board: bool = False) -> WebSettings:
    """Return the settings of `bridge.web`. `board`: the front page is the demo's."""
    return WebSettings(
        base_path=config.base_path,
        allowed_origins=config.allowed_origins,
        tls=config.tls_cert is not None,
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
        board=board,
    )
