"""Channels: grpc's connections to the tier, for every call but Subscribe."""

from typing import Final

import grpc

from bridge.core.address import ReplicaAddress
from bridge.upstream.http2.keepalive import Keepalive
from bridge.upstream.http2.stream_buffer import MAX_MESSAGE

from .tls import Credentials

KEEPALIVE: Final = {
    # gRPC servers with default settings close a connection with a ping more often than every 300 s.
    "compatible": Keepalive(ping_after=330, timeout=20),
    # A tier that hangs is found 14 s after its last byte, so that another serves within 15 s.
    "fast": Keepalive(ping_after=10, timeout=4),
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
    # A TXT record of the tier's name must not change how calls are made.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
)


class ChannelFactory:
    """Makes channels.

    Args:
        keepalive: after how long a silent peer is gone.
        credentials: those for the next channel; None for clear text.
        server_name: the name that the replica's certificate must hold; None for the name that the
            replica is reached by.

    """

    def __init__(
        self,
        *,
        keepalive: Keepalive,
        credentials: Credentials | None,
        server_name: str | None = None,
    ) -> None:
        self._options = (*_OPTIONS, *_keepalive_options(keepalive))
        self._credentials = credentials
        self._server_name = server_name

    def create(self, replica: ReplicaAddress) -> grpc.aio.Channel:
        """Make a channel; it connects when it is used."""
        options = [*self._options]
        if replica.host:
            options.append(("grpc.default_authority", f"{replica.host}:{replica.port}"))
        if self._credentials is None:
            return grpc.aio.insecure_channel(replica.address, options=options)
        name = self._server_name or replica.host
        if name:
            options.append(("grpc.ssl_target_name_override", name))
        return grpc.aio.secure_channel(
            replica.address, self._credentials.current.channel, options=options
        )


def _keepalive_options(keepalive: Keepalive) -> tuple[tuple[str, int], ...]:
    return (
        ("grpc.keepalive_time_ms", int(keepalive.ping_after * 1000)),
        ("grpc.keepalive_timeout_ms", int(keepalive.timeout * 1000)),
        # keepalive_timeout alone has no effect: this one finds a dead peer.
        ("grpc.http2.ping_timeout_ms", int(keepalive.timeout * 1000)),
        # By default at most two pings are sent between requests, and a watch is one request.
        ("grpc.http2.max_pings_without_data", 0),
    )
