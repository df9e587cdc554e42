"""Channels: how grpc connects to the tier, for everything but Subscribe."""

from typing import Final

import grpc

from bridge.core.address import ReplicaAddress
from bridge.upstream.http2.keepalive import Keepalive
from bridge.upstream.http2.stream_buffer import MAX_MESSAGE

from .tls import Credentials

KEEPALIVE: Final = {
    # Stock servers punish pings more often than every 300 s.
    "compatible": Keepalive(silence=330, patience=20),
    # A tier that stands still is found 14 s after its last word, and left for another within 15.
    "fast": Keepalive(silence=10, patience=4),
}

_OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.primary_user_agent", "livequery-bridge"),
    ("grpc.enable_retries", 0),
    # Without it, channels to one address would share one connection, and its limit of streams.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Also the deadline of one attempt to connect: TCP, TLS and the tier's first settings.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # How calls are made is ours to say, not a TXT record's.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
)


class ChannelFactory:
    """Makes channels. Without `credentials`, in clear text.

    `server_name` is what the tier's certificate must hold, None for the name it is reached by.
    """

    def __init__(
        self,
        *,
        keepalive: Keepalive,
        credentials: Credentials | None,
        server_name: str | None = None,
    ) -> None:
        self._options = (*_OPTIONS, *_pings(keepalive))
        self._credentials = credentials
        self._server_name = server_name

    def connect(self, place: ReplicaAddress) -> grpc.aio.Channel:
        """Make a channel; it connects when it is used."""
        options = [*self._options]
        if place.host:
            options.append(("grpc.default_authority", f"{place.host}:{place.port}"))
        if self._credentials is None:
            return grpc.aio.insecure_channel(place.address, options=options)
        name = self._server_name or place.host
        if name:
            options.append(("grpc.ssl_target_name_override", name))
        return grpc.aio.secure_channel(
            place.address, self._credentials.current.channel, options=options
        )


def _pings(keepalive: Keepalive) -> tuple[tuple[str, int], ...]:
    return (
        ("grpc.keepalive_time_ms", int(keepalive.silence * 1000)),
        ("grpc.keepalive_timeout_ms", int(keepalive.patience * 1000)),
        # The timeout alone does nothing: this is what finds a dead peer.
        ("grpc.http2.ping_timeout_ms", int(keepalive.patience * 1000)),
        # Else no more than two are sent between two requests, and a watch is a single one.
        ("grpc.http2.max_pings_without_data", 0),
    )
