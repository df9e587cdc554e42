"""Check: asks the tier the way that streams do, and says what is wrong with that way.

A Subscribe is opened at every address. Without a query of the operator's it asks for an entity that
can't exist: NOT_FOUND or INVALID_ARGUMENT prove the service, UNIMPLEMENTED its absence.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

from bridge.config.options import Config
from bridge.core.address import ReplicaAddress, ServiceName, TierAddress
from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.live.backend import Identity, unanswered
from bridge.upstream.resolver import lookup, resolve

from .factories import backend, endpoints

ANSWER_TIMEOUT: Final = 5.0
"""Seconds for the answer of one address."""
WINDOW_TIMEOUT: Final = 10.0
"""The same, where the answer has the window in it."""
NO_SUCH_ENTITY: Final = LiveQuery("livequery-bridge-check", (), (), 1)
_PROOFS: Final = (Kind.NOT_FOUND, Kind.BAD_QUERY)
_CREDENTIALS: Final = (Kind.UNAUTHENTICATED, Kind.DENIED)


@dataclass(frozen=True, slots=True)
class AddressFinding:
    """What is at one address. `text` begins with `reachable` or `not reachable`."""

    address: str
    ok: bool
    text: str


async def check_tier(
    config: Config, query: LiveQuery | None = None
) -> AsyncIterator[AddressFinding]:
    """Yield a finding for each address; a name has those that it resolves to. Raises TlsError."""
    for tier in config.upstream:
        try:
            replicas = await _replicas(tier)
        except (OSError, UnicodeError) as error:
            cause = str(error) or "no answer in time"
            text = _not(f"the name can't be resolved: {cause}")
            yield AddressFinding(tier.address, ok=False, text=text)
            continue
        for replica in replicas:
            yield await _ask(replace(config, upstream=(replica,)), replica, query)


async def _replicas(tier: TierAddress) -> list[ReplicaAddress]:
    if not isinstance(tier, ServiceName):
        return [tier]
    async with asyncio.timeout(ANSWER_TIMEOUT):
        return [tier.at(ip) for ip in await resolve(tier.host, tier.port, lookup)]


async def _ask(config: Config, replica: ReplicaAddress, query: LiveQuery | None) -> AddressFinding:
    tier = endpoints(config)
    try:
        asked = backend(config, tier)
        async with asyncio.timeout(WINDOW_TIMEOUT if asked.opens_with_window else ANSWER_TIMEOUT):
            call = await asked.subscribe(query or NO_SUCH_ENTITY, Identity())
            call.close()
    except TimeoutError as late:
        return AddressFinding(
            replica.address, ok=False, text=_not(f"time-out: {unanswered(late).cause}")
        )
    except Failed as failed:
        ok, text = _judge(failed, asked=query is not None)
        return AddressFinding(replica.address, ok=ok, text=text)
    finally:
        await tier.close()
    return AddressFinding(replica.address, ok=True, text="reachable")


def _judge(failed: Failed, *, asked: bool) -> tuple[bool, str]:
    """Return whether the service is there, and the text, for a call that was not started."""
    cause = failed.cause or failed.message
    if failed.source.derived:
        return False, _not(cause)
    if failed.kind is Kind.UNIMPLEMENTED:
        return False, _not("no service: a gRPC server answers, and has no live queries there")
    if failed.kind in _PROOFS:
        if asked:
            return False, f"reachable, but the tier refuses the query: {failed.text()}"
        return True, "reachable"
    if failed.kind in _CREDENTIALS:
        return True, f"reachable; the tier wants a credential, and `check` has none ({cause})"
    return False, _not(f"the tier answers {cause}")


def _not(cause: str) -> str:
    return f"not reachable: {cause}"
