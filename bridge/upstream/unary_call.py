"""Unary call: one request, one answer, over a connection of a pool."""

import asyncio

from bridge.upstream.http2.call import CallEnded
from bridge.upstream.http2.request import Metadata
from bridge.upstream.http2.status import CallStatus

from .connection_pool import ConnectionPool

_NO_MESSAGE = CallStatus("INTERNAL", "an answer without a message")
_LATE = CallStatus("DEADLINE_EXCEEDED", "no answer in time")


async def call_unary(
    pool: ConnectionPool,
    path: str,
    message: bytes,
    metadata: Metadata,
    timeout: float,  # noqa: ASYNC109 - gRPC's deadline, which the tier gets as well
) -> bytes:
    """Return the answer's message. Raises CallEnded for any status but OK."""
    deadline = ("grpc-timeout", f"{max(int(timeout * 1000), 1)}m")
    try:
        async with asyncio.timeout(timeout):
            pooled = await pool.acquire()
            try:
                call = pooled.connection.start_call(path, message, (deadline, *metadata))
                try:
                    answer = await call.read()
                    if answer is not None:
                        await call.read()  # the status
                finally:
                    call.cancel()
            finally:
                pool.release(pooled)
    except TimeoutError:
        raise CallEnded(_LATE) from None
    if answer is None:
        raise CallEnded(_NO_MESSAGE)
    return answer
