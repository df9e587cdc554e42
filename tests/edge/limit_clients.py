"""Clients that only want to know whether they are served, by every way into the bridge."""

import json
from urllib.parse import urlencode

import aiohttp

from patience import patient

ODD = {"Proxy-Connection": "keep-alive"}
"""A header that leaves a request to aiohttp."""


def query(number=0, *, limit=3, entity="flights", conditions=1):
    """A query; those of different numbers are different."""
    where = [{"column": "n", "op": "eq", "value": number}] * conditions
    return {"entity": entity, "where": where, "limit": limit}


class Ways:
    """Opens streams; `served` if the window came, else the status or the close code."""

    def __init__(self, http, bridge) -> None:
        self._http = http
        self._url = bridge.base
        self._held = []

    async def sse(self, asked, **headers):
        response = await self._http.post(self._url, data=json.dumps(asked), headers=headers)
        if response.status != 200:
            self.refusal = response
            return response.status
        self._held.append(response.close)
        await response.content.readuntil(b"event: reset")
        return "served"

    async def window(self, asked, **headers):
        parameters = {"query": json.dumps(asked)}
        url = f"{self._url}/window?{urlencode(parameters)}"
        async with self._http.get(url, headers=headers) as response:
            if response.status == 200:
                return "served"
            self.refusal = response
            return response.status

    async def core(self, asked, **headers):
        try:
            socket = await self._http.ws_connect(f"{self._url}/ws", headers=headers)
        except aiohttp.WSServerHandshakeError as error:
            return error.status
        await socket.send_str(json.dumps({"action": "subscribe", "query": asked}))
        message = await socket.receive(timeout=patient(5))
        if message.type is not aiohttp.WSMsgType.TEXT:
            return socket.close_code
        self._held.append(socket._response.close)
        return "served"

    async def v1(self, asked, *, token=None, **headers):
        try:
            socket = await self._http.ws_connect(
                f"{self._url}/ws", protocols=["livequery.v1"], headers=headers
            )
        except aiohttp.WSServerHandshakeError as error:
            return error.status
        if token is not None:
            await socket.send_str(json.dumps({"action": "authenticate", "token": token}))
            if (await socket.receive(timeout=patient(5))).type is not aiohttp.WSMsgType.TEXT:
                return socket.close_code
        outcome = await self.subscribe(socket, "s", asked)
        if outcome == "served":
            self._held.append(socket._response.close)
        else:
            await socket.close()
        return outcome

    async def subscribe(self, socket, name, asked):
        """Subscribe on an open v1 socket."""
        await socket.send_str(json.dumps({"action": "subscribe", "sub": name, "query": asked}))
        while (message := await socket.receive(timeout=patient(5))).type is aiohttp.WSMsgType.TEXT:
            told = json.loads(message.data)
            if told["type"] == "ready" and told["sub"] == name:
                return "served"
            if told["type"] == "error":
                return told["status"]
        return socket.close_code

    async def open(self, way, asked, **headers):
        """Open by the name of a way: `sse`, `core`, `v1` or `window`; `odd …` by aiohttp."""
        odd = way.startswith("odd ")
        return await getattr(self, way.removeprefix("odd "))(
            asked, **headers, **(ODD if odd else {})
        )

    def close_one(self):
        """End the stream that was opened last."""
        self._held.pop()()

    def close(self):
        """End all."""
        while self._held:
            self.close_one()


WAYS = ("sse", "odd sse", "core", "odd core", "v1", "odd v1")
