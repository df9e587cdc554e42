"""Credentials: certificate files for grpc's channels and for raw calls."""

import ssl
from dataclasses import dataclass

import grpc

from bridge.tls.contexts import TlsFiles, load_client


@dataclass(frozen=True, slots=True)
class TierCredentials:
    """The same certificates, for grpc's channels and for Python's sockets."""

    channel: grpc.ChannelCredentials
    context: ssl.SSLContext


def load_credentials(files: TlsFiles) -> TierCredentials:
    """Read and check the files; raises TlsError. Blocks.

    Without `ca`, sockets trust the system's roots and channels those built into gRPC.
    """
    loaded = load_client(files)
    channel = grpc.ssl_channel_credentials(loaded.ca, loaded.key, loaded.cert)
    return TierCredentials(channel, loaded.context)
