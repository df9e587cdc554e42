"""ConnectionWatch: one connection as the bridge keeps it, over the whole run.

A stream stays open on it, and it is pinged as `--keepalive fast` pings. A tier ends such a
connection for two reasons: it is old, or pings are punished. What follows a GOAWAY is judged.
"""

import asyncio
import contextlib
import ssl

from bridge.core.address import ReplicaAddress, ServiceName, parse_address
from bridge.upstream.http2.call import CallEnded
from bridge.upstream.http2.dialer import Dialer
from bridge.upstream.http2.keepalive import Keepalive
from bridge.upstream.http2.peer import TOO_MANY_PINGS, Peer
from bridge.upstream.http2.status import CallStatus

from . import rules
from .calls import SERVICE
from .session import VerifySession

LEAST_PINGS = 4
"""Pings after which a server that punishes them has done so."""
PING_TIMEOUT = 20.0


class _JudgedPeer(Peer):
    """Keeps what GOAWAYs say, and logs nothing."""

    def __init__(self, name: str, keepalive: Keepalive) -> None:
        super().__init__(name, keepalive)
        self.punished = False

    def on_goaway(self, error: int, debug_data: bytes, used: Keepalive) -> None:  # noqa: ARG002 - as Peer has it
        """Note a GOAWAY with an error."""
        self.punished = self.punished or debug_data == TOO_MANY_PINGS


class ConnectionWatch:
    """From `begin` to `end`; `judge` in between, once."""

    def __init__(self, session: VerifySession) -> None:
        self._session = session
        target, interval = session.client.target, session.times.ping
        address = parse_address(target.address)
        if isinstance(address, ServiceName):
            address = ReplicaAddress(address.address.removeprefix("dns:///"))
        self._peer = _JudgedPeer(address.address, Keepalive(interval, PING_TIMEOUT))
        self._dialer = Dialer(
            ssl_context=self._tls if target.tls else None, server_name=target.server_name or None
        )
        self._connection = self._dialer.dial(address, self._peer)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._status: CallStatus | None = None
        self._reading = asyncio.create_task(self._read())

    def _tls(self) -> ssl.SSLContext:
        tls = self._session.client.target.tls
        assert tls is not None  # noqa: S101 - asked with TLS only
        return tls.context

    async def _read(self) -> None:
        session = self._session
        request = session.request(session.query).SerializeToString()
        try:
            await self._connection.wait_ready()
            call = self._connection.start_call(
                f"{SERVICE}Subscribe", request, session.client.target.metadata
            )
            try:
                while await call.read() is not None:
                    pass
                self._status = CallStatus("OK")
            finally:
                call.cancel()
        except CallEnded as ended:
            self._status = ended.status

    def judge(self) -> None:
        """Judge what the tier has done to the connection until now."""
        self._judge_pings()
        ledger, status = self._session.ledger, self._status
        if not self._connection.going_away:
            ledger.skip("no GOAWAY came during the run", rules.GOAWAY)
        elif self._peer.punished:
            ledger.skip("the GOAWAY that came was for pings", rules.GOAWAY)
        elif status is None:
            ledger.ok(rules.GOAWAY, "the stream goes on")
        else:
            said = f"{status.code}: {status.text}"
            ledger.check(rules.GOAWAY, not status.source.derived, "a status of the tier's", said)

    def _judge_pings(self) -> None:
        interval = self._session.times.ping
        pings = int((self._loop.time() - self._began) / interval)
        if self._peer.punished:
            expected = f"pings every {interval:g} s are allowed, as `--keepalive fast` sends them"
            self._session.ledger.find(rules.PINGS, expected, "GOAWAY too_many_pings")
        elif pings < LEAST_PINGS or self._status is not None:
            self._session.ledger.skip(f"the run had only {pings} pings in it", rules.PINGS)
        else:
            self._session.ledger.ok(rules.PINGS)

    async def end(self) -> None:
        """Close the connection. Idempotent."""
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([self._reading])
        await self._connection.close()
