"""What scripted tiers of every protocol share: a server on a real port, and the calls it gets."""

import asyncio
import itertools

import grpc

from patience import patiently


class ServedTier:
    """`next_call` hands a test each call; `rows` answers them without one."""

    options = (("grpc.so_reuseport", 0),)

    def __init__(self) -> None:
        self.calls = asyncio.Queue()
        self.rows = None
        self.opened = 0
        self.open = {}
        self.numbers = itertools.count(1)
        self.address = ""

    def add_to(self, server):
        """Add the service to a server that is about to start."""
        raise NotImplementedError

    async def start(self, port=0, *, options=(), credentials=None):
        self._server = grpc.aio.server(options=(*self.options, *options))
        self.add_to(self._server)
        where = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(where)
        else:
            self.port = self._server.add_secure_port(where, credentials)
        await self._server.start()
        self.address = f"127.0.0.1:{self.port}"
        return self

    async def stop(self):
        await self._server.stop(0)

    async def next_call(self):
        async with patiently(5):
            return await self.calls.get()
