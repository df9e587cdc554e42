"""Channels: how every connection to the tier is made."""

from typing import Final

import grpc

from .address import Place
from .tls import Credentials

MAX_MESSAGE: Final = 4 * 1024 * 1024
"""Bytes of the largest message, either way."""

KEEPALIVE: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    # Stock servers punish pings more often than every 300 s.
    "compatible": (
        ("grpc.keepalive_time_ms", 330_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.ping_timeout_ms", 20_000),
    ),
    # grpc.keepalive_timeout_ms alone does nothing: the ping timeout is what finds a dead peer.
    "fast": (
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.http2.ping_timeout_ms", 5_000),
    ),
}

_OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.primary_user_agent", "livequery-bridge"),
    ("grpc.enable_retries", 0),
    # Without it, channels to one address would share one connection, and its limit of streams.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # Bounds how far a fast tier may run ahead of us.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Also the deadline of one attempt to connect: TCP, TLS and the tier's first settings.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # How calls are made is ours to say, not a TXT record's.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
)


class Connector:
    """Makes channels. `keepalive` is a key of KEEPALIVE; without `credentials`, in clear text.

    `server_name` is what the tier's certificate must hold, None for the name it is reached by.
    """

    def __init__(
        self, *, keepalive: str, credentials: Credentials | None, server_name: str | None = None
    ) -> None:
        self._options = (*_OPTIONS, *KEEPALIVE[keepalive])
        self._credentials = credentials
        self._server_name = server_name

    def connect(self, place: Place) -> grpc.aio.Channel:
        """Make a channel; it connects when it is used."""
        options = [*self._options]
        if place.host:
            options.append(("grpc.default_authority", f"{place.host}:{place.port}"))
        if self._credentials is None:
            return grpc.aio.insecure_channel(place.address, options=options)
        name = self._server_name or place.host
        if name:
            options.append(("grpc.ssl_target_name_override", name))
        return grpc.aio.secure_channel(place.address, self._credentials.current, options=options)
