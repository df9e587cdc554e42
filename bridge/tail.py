"""Tail: prints the frames of a stream, one per line."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp

OPEN_TIMEOUT = 30.0


class TailError(RuntimeError):
    """The stream was refused, cut or could not be reached; the message says why."""


async def frames(url: str, query: str, *, ws: bool) -> AsyncIterator[str]:
    """Yield the frames of a core stream, as JSON texts, until it ends.

    Args:
        url: the URL of the streams, as `http://HOST:PORT/api/v1/live`.
        query: the query as JSON.
        ws: use WebSocket instead of SSE.

    Raises:
        TailError: no connection, a refusal, or an abnormal end.

    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=OPEN_TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        source = _ws(session, url, query) if ws else _sse(session, url, query)
        try:
            async for frame in source:
                yield frame
        except (aiohttp.ClientError, OSError) as error:
            raise TailError(f"{url}: {error}") from None


async def _sse(session: aiohttp.ClientSession, url: str, query: str) -> AsyncIterator[str]:
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    async with session.post(url, data=query.encode(), headers=headers) as response:
        if response.status != 200:  # noqa: PLR2004
            raise TailError(f"{response.status} {response.reason}: {await _detail(response)}")
        # A row may be wide: lines have no limit but memory.
        buffer = b""
        async for data in response.content.iter_any():
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                if line.startswith(b"data: "):
                    yield line[6:].decode()


async def _detail(response: aiohttp.ClientResponse) -> str:
    try:
        problem = json.loads(await response.text())
    except ValueError:
        return "no details"
    field = f"{problem['field']}: " if "field" in problem else ""
    return f"{field}{problem.get('detail', problem.get('title', ''))}"


async def _ws(session: aiohttp.ClientSession, url: str, query: str) -> AsyncIterator[str]:
    async with session.ws_connect(url.rstrip("/") + "/ws", max_msg_size=0) as socket:
        await socket.send_str(f'{{"action":"subscribe","query":{query}}}')
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                yield message.data
        if socket.close_code != 1000:  # noqa: PLR2004 - RFC 6455: a normal end
            raise TailError(f"closed with {socket.close_code}")


async def tail(url: str, query: str, *, ws: bool) -> None:
    """Print frames until the stream ends."""
    async for frame in frames(url, query, ws=ws):
        print(frame, flush=True)  # noqa: T201 - this is the command's output
        await asyncio.sleep(0)
