"""Tail: prints the frames of a stream, one per line."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import aiohttp

OPEN_TIMEOUT = 30.0
TOKEN_VARIABLE: Final = "LIVEQUERY_TOKEN"  # noqa: S105 - its name
_TOKEN: Final = re.compile(r"[!-~]+")


class TailError(RuntimeError):
    """The stream was refused, cut or could not be reached; the message says why."""


def tail_token(file: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the token to send: that of a file, else of the environment. None: there is none.

    It is no argument: those are for all users of a machine to see. Raises TailError, whose message
    does not quote it.
    """
    try:
        text = environ.get(TOKEN_VARIABLE, "") if file is None else Path(file).read_text("ascii")
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        raise TailError(f"--token-file: {error.strerror}") from None
    token, where = text.strip(), TOKEN_VARIABLE if file is None else "--token-file"
    if file is None and not token:
        return None
    if not _TOKEN.fullmatch(token):
        raise TailError(f"{where}: a token is one word of visible ASCII")
    return token


async def frames(url: str, query: str, *, ws: bool, token: str | None = None) -> AsyncIterator[str]:
    """Yield the frames of a core stream, as JSON texts, until it ends.

    Args:
        url: the URL of the streams, as `http://HOST:PORT/api/v1/live`.
        query: the query as JSON.
        ws: use WebSocket instead of SSE.
        token: sent as a bearer; None: none is sent.

    Raises:
        TailError: no connection, a refusal, or an abnormal end.

    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=OPEN_TIMEOUT)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
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


async def tail(url: str, query: str, *, ws: bool, token: str | None = None) -> None:
    """Print frames until the stream ends."""
    async for frame in frames(url, query, ws=ws, token=token):
        print(frame, flush=True)  # noqa: T201 - this is the command's output
        await asyncio.sleep(0)
