"""TLS to the tier: what grpc's channels and our own connections are made with."""

import ssl
from dataclasses import dataclass
from typing import TypeAlias

import grpc

from bridge.tls.contexts import TlsFiles, load_client
from bridge.tls.reloading import ReloadableFiles


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """The same certificates, for grpc's channels and for our own HTTP/2 connections."""

    channel: grpc.ChannelCredentials
    context: ssl.SSLContext


Credentials: TypeAlias = ReloadableFiles[UpstreamTls]


def load(files: TlsFiles) -> UpstreamTls:
    """Read and check the files; raises TlsError. Blocks.

    Without `ca`, connections trust the system's roots and channels those built into gRPC.
    """
    loaded = load_client(files)
    channel = grpc.ssl_channel_credentials(loaded.ca, loaded.key, loaded.cert)
    return UpstreamTls(channel, loaded.context)


def reloadable_credentials(files: TlsFiles) -> Credentials:
    """Return credentials that follow their files; raises TlsError. Blocks."""
    return ReloadableFiles(files.paths, lambda: load(files), what="TLS files")
