"""RFC 6455, case by case, against the socket as it is served, by both ways of serving."""

import asyncio
import struct

import pytest

from patience import patiently
from raw_client import UPGRADE, RawClient, all_released
from websocket_cases import cases, read_answer

V1 = UPGRADE + b"Sec-WebSocket-Protocol: livequery.v1\r\n\r\n"
CASES = cases()
AT_ONCE = 240  # one that does not answer a close frame is waited for: 2 s


async def answers_to(bridge, data, cut, piece):
    """Send a case in pieces, all at once if 0; returns all that is answered, and then nothing."""
    host, port = bridge.url.removeprefix("http://").split(":")
    client = RawClient(*await asyncio.open_connection(host, int(port)))
    heard = []
    try:
        client.send(V1[:cut])
        if cut:
            await asyncio.sleep(0.02)
        client.send(V1[cut:])
        head = await client.head()
        assert head.startswith("HTTP/1.1 101 "), head
        for at in range(0, len(data), piece or len(data) or 1):
            client.send(data[at : at + (piece or len(data))])
            if piece:
                await asyncio.sleep(0)
        async with patiently(20):
            while not heard or not isinstance(heard[-1], int):
                first, size = await client.reader.readexactly(2)
                if size == 126:
                    [size] = struct.unpack(">H", await client.reader.readexactly(2))
                heard.append(read_answer(first, await client.reader.readexactly(size)))
            assert await client.reader.read() == b"", "nothing follows a close frame"
    except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
        heard.append(type(error).__name__)
    finally:
        client.writer.close()
    return heard


@pytest.mark.parametrize(("cut", "piece"), [(0, 0), (30, 0), (0, 7), (len(V1) - 1, 1_000)], ids=str)
async def test_each_case_is_answered_as_the_rfc_says(start_bridge, caplog, cut, piece):
    bridge = await start_bridge(max_connections_per_ip="0", ping_interval="0")
    wrong, names = {}, list(CASES)
    if piece:  # in small pieces those that are small
        names = [name for name in names if len(CASES[name][0]) < 40 * piece]
        # What comes late, behind a close frame, meets a closed socket.
        names = [name for name in names if not name.startswith("7.1 ")]
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        heard = await asyncio.gather(
            *(answers_to(bridge, CASES[name][0], cut, piece) for name in some)
        )
        answered = zip(some, heard, strict=True)
        wrong |= {name: answers for name, answers in answered if answers != CASES[name][1]}
    assert wrong == {}
    await all_released(bridge)
    assert not [record for record in caplog.records if record.exc_info and record.name != "asyncio"]


def test_there_are_more_than_300_cases():
    assert len(CASES) > 300
