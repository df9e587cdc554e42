"""FastPath: what the connections of one listener share."""

from collections.abc import Callable

from bridge.web.context import WebContext
from bridge.web.http.aiohttp_connection import AiohttpConnection
from bridge.web.http.registry import ConnectionRegistry

from .request_parser import RequestParser


class FastPath:
    """One for each listener of streams.

    `make_aiohttp_connection` makes the protocol of a connection that aiohttp shall serve; None: it
    serves no more.
    """

    def __init__(
        self,
        context: WebContext,
        make_aiohttp_connection: Callable[[], AiohttpConnection | None],
    ) -> None:
        self.context = context
        self.make_aiohttp_connection = make_aiohttp_connection
        self.registry = ConnectionRegistry()
        self.request_parser = RequestParser(context.settings)
