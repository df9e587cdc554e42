"""Options of `serve`: one declaration each, as a field of Config.

Command line, environment, TOML file, help and the tables of docs/operations.md are derived from it.
"""
# ruff: noqa: A002, RUF009 - `help` is the field's word; `option` returns a dataclass field

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeVar

from bridge.core.address import TierAddress
from bridge.core.forwarded import TrustedProxies
from bridge.core.origin_list import OriginList
from bridge.core.query_rules import EntityRule

from . import hosts, values
from .entity_rules import entity_rules
from .issuer_table import IssuerTable, issuer_tables
from .values import ListenAddress

T = TypeVar("T")


class OptionGroup(enum.StrEnum):
    """Headings of options in help and documentation, in their order."""

    TIER = "Tier"
    LISTENER = "Listener"
    BROWSERS = "Browsers and origins"
    CREDENTIALS = "Credentials"
    LIMITS = "Limits"
    TIMING = "Timing"
    PROCESS = "Process"
    LOGS = "Logs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option. `key` is its field of Config; `metavar` and `default` are text."""

    key: str
    group: OptionGroup
    parse: Callable[[str], Any]
    """Returns the value of a text. Raises ValueError, with a message for the operator."""
    metavar: str
    default: str
    help: str
    repeatable: bool = False
    """Whether it may be given again on the command line, and then adds to the list before."""

    @property
    def name(self) -> str:
        """The name on the command line, without dashes, and in the TOML file."""
        return self.key.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"BRIDGE_{self.key.upper()}"


def option(
    group: OptionGroup,
    parse: Callable[[str], T],
    metavar: str,
    *,
    default: str = "",
    help: str,
    repeatable: bool = False,
) -> T:
    """Declare a field of Config; the field's default is the parsed `default`."""
    metadata = {
        "group": group,
        "parse": parse,
        "metavar": metavar,
        "default": default,
        "help": help,
        "repeatable": repeatable,
    }
    return field(default=parse(default), metadata=metadata)


def _switch(group: OptionGroup, *, default: Literal["on", "off"], help: str) -> bool:
    return option(group, values.switch, "on|off", default=default, help=help)


def _file(group: OptionGroup, *, help: str) -> str | None:
    return option(group, values.optional_text, "FILE", help=help)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The configuration of a bridge. Durations are seconds, sizes are bytes.

    The order of the fields is the order of `--print-config`.
    """

    upstream: tuple[TierAddress, ...] = option(
        OptionGroup.TIER,
        values.tier_addresses,
        "ADDRESS,…",
        help="Addresses of the tier, separated by commas. "
        "Each is HOST:PORT, dns:///NAME:PORT or unix:/PATH.",
    )
    upstream_protocol: Literal["livequery.v1", "fabriq.v1"] = option(
        OptionGroup.TIER,
        values.choice("livequery.v1", "fabriq.v1"),
        "PROTOCOL",
        default="livequery.v1",
        help="Protocol of the tier: livequery.v1, the contract's, or fabriq.v1, that of fabriq's "
        "own server.",
    )
    upstream_tls: bool = _switch(
        OptionGroup.TIER,
        default="off",
        help="Use TLS to the tier. Each of the four options below turns it on.",
    )
    upstream_ca: str | None = _file(
        OptionGroup.TIER,
        help="Require a tier certificate signed by this CA (PEM file). Default: the system's CAs.",
    )
    upstream_cert: str | None = _file(
        OptionGroup.TIER, help="Client certificate for the tier, with its chain (PEM file)."
    )
    upstream_key: str | None = _file(
        OptionGroup.TIER, help="Private key of --upstream-cert (PEM file)."
    )
    upstream_server_name: str | None = option(
        OptionGroup.TIER,
        values.optional_text,
        "NAME",
        help="Name that the tier's certificate must contain. Default: the host in its address.",
    )
    resubscribe_rate: int = option(
        OptionGroup.TIER,
        values.count,
        "N",
        default="50",
        help="Maximum number of lost subscriptions opened again per second. 0 is no limit.",
    )
    listen: tuple[ListenAddress, ...] = option(
        OptionGroup.LISTENER,
        values.listen_addresses,
        "HOST:PORT,…",
        default="127.0.0.1:8080",
        help="Addresses for browsers. Port 0 picks a free port. "
        "Without a host, and with [::], it is all interfaces, IPv6 and IPv4.",
        repeatable=True,
    )
    admin_listen: ListenAddress | None = option(
        OptionGroup.LISTENER,
        values.optional_listen_address,
        "HOST:PORT",
        help="Address for operators: health and /metrics, which is then served only there. "
        "Without it /metrics is on loopback addresses of --listen, and on no other.",
    )
    tls_cert: str | None = _file(
        OptionGroup.LISTENER,
        help="Serve browsers over TLS with this certificate and its chain (PEM file).",
    )
    tls_key: str | None = _file(OptionGroup.LISTENER, help="Private key of --tls-cert (PEM file).")
    tls_client_ca: str | None = _file(
        OptionGroup.LISTENER, help="Require client certificates signed by this CA (PEM file)."
    )
    workers: int = option(
        OptionGroup.PROCESS,
        values.workers,
        "N",
        default="1",
        help="Worker processes that share the port. Each has its own subscriptions.",
    )
    base_path: str = option(
        OptionGroup.BROWSERS,
        values.base_path,
        "PATH",
        default="/api/v1/live",
        help="URL path of the streams.",
    )
    forward_metadata: tuple[str, ...] = option(
        OptionGroup.TIER,
        values.metadata_names,
        "NAME,…",
        default="authorization",
        help="Request headers that are forwarded to the tier as gRPC metadata.",
    )
    scope: tuple[str, ...] = option(
        OptionGroup.TIER,
        values.metadata_names,
        "NAME,…",
        help="Forwarded headers that must be equal to share a subscription. "
        "A request without one of them is refused. "
        "Default: all forwarded headers except tracing headers and request ids.",
    )
    sharing: bool = _switch(
        OptionGroup.TIER,
        default="on",
        help="Share one upstream subscription between equal queries of one scope.",
    )
    allowed_origins: OriginList = option(
        OptionGroup.BROWSERS,
        hosts.origin_list,
        "ORIGIN,…",
        help="Origins of pages that may connect, besides the listener's own. "
        "Example: https://app.example. https://*.app.example is all its subdomains.",
    )
    allowed_hosts: tuple[str, ...] = option(
        OptionGroup.BROWSERS,
        hosts.host_names,
        "HOST,…",
        help="Hosts that requests may be for: names, *.NAME, or addresses, without a port. "
        "Default: any; on a loopback address, only names of that.",
    )
    trusted_proxies: TrustedProxies = option(
        OptionGroup.LISTENER,
        values.trusted_proxies,
        "CIDR,…",
        help="Networks of proxies whose X-Forwarded-For or Forwarded says who the client is.",
    )
    proxy_protocol: bool = _switch(
        OptionGroup.LISTENER,
        default="off",
        help="Expect a PROXY protocol header, version 1 or 2, on connections of --trusted-proxies.",
    )
    auth: Literal["forward", "jwt", "none"] | None = option(
        OptionGroup.CREDENTIALS,
        values.auth_mode,
        "forward|jwt|none",
        help="Who judges credentials: the tier, the bridge, or nobody. "
        "It must be said unless --listen is a loopback address; there forward is the default.",
    )
    jwt_keys: str | None = option(
        OptionGroup.CREDENTIALS,
        values.optional_key_location,
        "FILE|URL",
        help="Keys that verify tokens: a PEM or JWKS file, or the https URL of a JWKS. "
        "secret:FILE is a file whose text is a secret.",
    )
    jwt_ca: str | None = _file(
        OptionGroup.CREDENTIALS,
        help="Require a certificate signed by this CA (PEM file) of the URL in --jwt-keys.",
    )
    jwt_issuer: str | None = option(
        OptionGroup.CREDENTIALS,
        values.optional_text,
        "NAME",
        help="`iss` that a token must have.",
    )
    jwt_audience: tuple[str, ...] = option(
        OptionGroup.CREDENTIALS,
        values.names,
        "NAME,…",
        help="`aud` of which a token must have one.",
    )
    jwt_algorithms: tuple[str, ...] = option(
        OptionGroup.CREDENTIALS,
        values.jwt_algorithms,
        "NAME,…",
        help="Signature algorithms that are accepted, each only with a key of its kind. "
        "Default: RS256, ES256, EdDSA; HS256 with a secret.",
    )
    jwt_types: frozenset[str] = option(
        OptionGroup.CREDENTIALS,
        values.jwt_types,
        "NAME,…",
        default="JWT,at+jwt",
        help="`typ` that a token may have, if it has one.",
    )
    jwt_leeway: float = option(
        OptionGroup.CREDENTIALS,
        values.duration,
        "TIME",
        default="30s",
        help="Difference of clocks that is allowed for when times in tokens are judged.",
    )
    issuer: tuple[IssuerTable, ...] = option(
        OptionGroup.CREDENTIALS,
        issuer_tables,
        "JSON",
        help="Issuers of tokens, where there are several: [[issuer]] tables in the --config file. "
        "Each has `issuer`, `audience` and `keys`, and may have `ca` and `algorithms`.",
    )
    claims_metadata: tuple[tuple[str, str], ...] = option(
        OptionGroup.CREDENTIALS,
        values.claims_metadata,
        "CLAIM=NAME,…",
        help="Claims that are sent to the tier, each under a name. "
        "What a client sends under that name is dropped.",
    )
    auth_cookie: str | None = option(
        OptionGroup.CREDENTIALS,
        values.cookie_name,
        "NAME",
        help="Cookie that may hold a credential.",
    )
    ticket_key: str | None = _file(
        OptionGroup.CREDENTIALS,
        help="File with the secret that seals tickets, 32 characters at least. Replicas share it. "
        "Default: drawn at the start.",
    )
    revocations: str | None = _file(
        OptionGroup.CREDENTIALS,
        help="File of revocations, one JSON object a line. It is read again when it changes.",
    )
    admin_token: str | None = _file(
        OptionGroup.CREDENTIALS,
        help="File with the bearer token of operators, for commands at --admin-listen.",
    )
    max_connections: int = option(
        OptionGroup.LIMITS,
        values.count,
        "N",
        default="10000",
        help="Maximum number of open streams. 0 is no limit.",
    )
    max_connections_per_ip: int = option(
        OptionGroup.LIMITS,
        values.count,
        "N",
        default="100",
        help="Maximum number of open streams per client address. 0 is no limit.",
    )
    accept_rate: int = option(
        OptionGroup.LIMITS,
        values.count,
        "N",
        default="0",
        help="Maximum number of new streams per second. A burst may be twice as large. "
        "Streams beyond it get 503. 0 is no limit.",
    )
    accept_rate_per_ip: int | None = option(
        OptionGroup.LIMITS,
        values.count_or_auto,
        "N",
        default="auto",
        help="Maximum number of new streams per second and client address. A burst may be twice as "
        "large. auto is 500. 0 is no limit.",
    )
    max_connections_per_identity: int = option(
        OptionGroup.LIMITS,
        values.count,
        "N",
        default="20",
        help="Maximum number of open streams with one credential. 0 is no limit.",
    )
    max_subscriptions_per_socket: int = option(
        OptionGroup.LIMITS,
        values.count,
        "N",
        default="64",
        help="Maximum number of subscriptions on one v1 socket. 0 is no limit.",
    )
    max_subscriptions_per_identity: int | None = option(
        OptionGroup.LIMITS,
        values.count_or_auto,
        "N",
        default="auto",
        help="Maximum number of subscriptions of one identity, on all its streams. "
        "auto is 1000. 0 is no limit.",
    )
    max_queries_per_identity: int | None = option(
        OptionGroup.LIMITS,
        values.count_or_auto,
        "N",
        default="auto",
        help="Maximum number of different queries of one identity. auto is 500. 0 is no limit.",
    )
    max_queries: int = option(
        OptionGroup.LIMITS,
        values.count,
        "N",
        default="10000",
        help="Maximum number of different queries, which is upstream calls. 0 is no limit.",
    )
    max_lingering: int = option(
        OptionGroup.LIMITS,
        values.count,
        "N",
        default="1000",
        help="Maximum number of upstream calls kept by --linger; beyond it the oldest is ended. "
        "0 is no limit.",
    )
    command_rate: int = option(
        OptionGroup.LIMITS,
        values.count,
        "N",
        default="10",
        help="Maximum number of commands per second on a WebSocket. A burst may be 16 times as "
        "large. Commands beyond it wait. 0 is no limit.",
    )
    max_conditions: int = option(
        OptionGroup.LIMITS,
        values.conditions,
        "N",
        default="256",
        help="Maximum number of conditions of a query, 1 to 256.",
    )
    entities: tuple[EntityRule, ...] = option(
        OptionGroup.LIMITS,
        entity_rules,
        "NAME=ROWS,…",
        help="Entities that may be asked for, each with its maximum `limit`; * is all others. "
        "CLAIM=VALUE:NAME=ROWS is for callers with that claim. Default: every entity.",
    )
    max_rows: int = option(
        OptionGroup.LIMITS,
        values.count,
        "N",
        default="1000",
        help="Maximum `limit` of a query. 0 is no limit.",
    )
    heartbeat_interval: float = option(
        OptionGroup.TIMING,
        values.duration,
        "TIME",
        default="15s",
        help="Silence on an SSE stream after which a comment is sent. 0 sends none.",
    )
    ping_interval: float = option(
        OptionGroup.TIMING,
        values.duration,
        "TIME",
        default="25s",
        help="Time between WebSocket pings. A client must answer within half of it. 0 sends none.",
    )
    stall_timeout: float = option(
        OptionGroup.TIMING,
        values.duration,
        "TIME",
        default="5s",
        help="Time after which a client that reads nothing is cut. 0 cuts none.",
    )
    viewer_backlog: int = option(
        OptionGroup.LIMITS,
        values.size,
        "SIZE",
        default="256KiB",
        help="Backlog of a slow client above which its frames are merged. 0 is no limit.",
    )
    memory_limit: int | None = option(
        OptionGroup.LIMITS,
        values.size_or_auto,
        "SIZE",
        default="auto",
        help="Memory limit. Near it, new streams are refused; then the slowest clients are cut. "
        "auto is the container's limit. 0 is no limit.",
    )
    max_stream_life: float = option(
        OptionGroup.TIMING,
        values.duration,
        "TIME",
        default="1h",
        help="Time after which a stream ends, 10 % more or less; its client comes back. "
        "0 is no limit.",
    )
    linger: float = option(
        OptionGroup.TIMING,
        values.duration,
        "TIME",
        default="5s",
        help="Time that an upstream call is kept after its last viewer.",
    )
    open_timeout: float = option(
        OptionGroup.TIMING,
        values.duration,
        "TIME",
        default="10s",
        help="Maximum time from a request to the tier's `started`, retries included.",
    )
    max_staleness: float = option(
        OptionGroup.TIMING,
        values.duration,
        "TIME",
        default="60s",
        help="Maximum time that a window is kept without its tier. 0 is no limit.",
    )
    keepalive: Literal["compatible", "fast"] = option(
        OptionGroup.TIER,
        values.choice("compatible", "fast"),
        "compatible|fast",
        default="compatible",
        help="Interval of HTTP/2 pings to the tier: compatible is 330 s, fast is 10 s. "
        "The tier's servers must permit fast.",
    )
    gather: float = option(
        OptionGroup.TIER,
        values.duration,
        "TIME",
        default="4ms",
        help="Longest time between reads of a tier connection with over 500 messages per second. "
        "Messages are read at once while the process has time, and gathered as it runs out: that "
        "saves up to a quarter of the CPU with many distinct queries. 0 always reads at once.",
    )
    wait_for_tier: bool = _switch(
        OptionGroup.PROCESS, default="off", help="Open the port only when a tier is reachable."
    )
    drain_timeout: float = option(
        OptionGroup.PROCESS,
        values.duration,
        "TIME",
        default="15s",
        help="Maximum time from SIGTERM to the end of the process.",
    )
    explorer: bool = _switch(
        OptionGroup.BROWSERS, default="off", help="Serve the explorer page and the browser library."
    )
    log_format: Literal["text", "json"] = option(
        OptionGroup.LOGS,
        values.choice("text", "json"),
        "text|json",
        default="text",
        help="Format of log lines on stderr.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = option(
        OptionGroup.LOGS,
        values.choice("debug", "info", "warning", "error"),
        "LEVEL",
        default="info",
        help="Lowest level that is logged: debug, info, warning or error.",
    )


OPTIONS: Final = tuple(Option(key=item.name, **item.metadata) for item in fields(Config))
BY_KEY: Final = {item.key: item for item in OPTIONS}
GROUPS: Final = {group: [item for item in OPTIONS if item.group is group] for group in OptionGroup}
