"""Peers: who is measured, and how each is started."""

from bench.tools import Tools

from .bridge import BridgePeer
from .centrifugo import CentrifugoPeer
from .envoy import EnvoyPeer
from .loop import LoopPeer
from .mercure import MercurePeer
from .nchan import NchanPeer
from .peer import Job, Peer, Running
from .sendloop import SendLoopPeer


def available(tools: Tools, *bridges: BridgePeer) -> dict[str, Peer]:
    """Return the peers that can be run here, the builds of the bridge first."""
    peers: list[Peer] = [*bridges, SendLoopPeer(), LoopPeer()]
    if tools.nchan:
        peers.append(NchanPeer(tools))
    if tools.envoy:
        peers.append(EnvoyPeer(tools))
    if tools.centrifugo:
        peers.append(CentrifugoPeer(tools))
    if tools.mercure:
        peers.append(MercurePeer(tools))
    return {peer.name: peer for peer in peers}


__all__ = ["BridgePeer", "Job", "Peer", "Running", "available"]
