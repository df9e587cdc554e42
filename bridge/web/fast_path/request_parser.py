"""RequestParser: requests for a stream or a WebSocket, from the first bytes of a connection.

Only a request that came whole, in plain form, for one of the two paths and from an allowed origin
is parsed here. aiohttp serves every other one, right or wrong. Clients of one page send the same
bytes, but for a few lines: those are judged each time, the rest once (`request_template`). Those of
WebSockets differ in their key at least, so it is cut out first (`upgrade_key`).
"""

from collections.abc import Set as AbstractSet
from typing import Final

from msgspec.structs import replace
from multidict import CIMultiDictProxy

from bridge.core.errors import Failed
from bridge.core.query_parser import MAX_BYTES
from bridge.web.auth.presented import bearer_token
from bridge.web.client_address import FORWARDED_FIELDS, client_address
from bridge.web.origin_check import check_request_origin
from bridge.web.parse_cache import MAX_LENGTH
from bridge.web.settings import WebSettings
from bridge.web.stream_log import ClientProtocol, new_request_id, request_id_of
from bridge.web.stream_parameters import NO_PARAMETERS, StreamParameters, parse_parameters
from bridge.web.stream_request import (
    WEBSOCKET_KEY,
    StreamRequest,
    sse_protocol,
    ws_protocol,
)
from bridge.web.ws.handshake import is_valid_key, is_valid_upgrade

from .request_head import RequestHead, parse_request
from .request_template import RequestTemplates, with_own, without
from .upgrade_key import cut_key

# A query of 16 KiB may triple in a URL; other lines have the limit of a header field.
MAX_LINE: Final = 64 * 1024
MAX_HEADER: Final = 8 * 1024
MAX_HEADERS: Final = 64
"""aiohttp's limits, which hold for every request."""
MAX_ACCEPTED: Final = 1024
"""Requests with an accepted token that are recalled whole."""
_KEY: Final = WEBSOCKET_KEY.lower()
_OWN: Final = ("last-event-id", _KEY)
"""Fields that are a client's own, beside those that tell who it is."""
_BEARER_ALONE: Final = frozenset({"authorization"})


class RequestParser:
    """One for all connections of a listener."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._stream_path = settings.base_path
        self._websocket_path = f"{settings.base_path}/ws"
        path = settings.base_path.encode()
        self._starts = tuple(
            b"%b %b%b" % (method, path, after)
            for method in (b"GET", b"POST")
            for after in (b"?", b" ", b"/ws ", b"/ws?")
        )
        self._upgrade_start = b"GET %b/ws" % path
        proxied = FORWARDED_FIELDS if settings.trusted_proxies else ()
        personal = ("Cookie", "Authorization", "X-Request-Id", *settings.forward, *proxied)
        self._personal = frozenset(name.lower() for name in personal)
        self._templates = RequestTemplates(self._personal.union(_OWN))
        self.accepted: dict[bytes, StreamRequest] = {}
        """Requests whose token was accepted; those for a WebSocket without their key."""

    def remember(self, data: bytes, accepted: StreamRequest) -> None:
        """Recall a request that was accepted from now on, if its sole token was what is needed.

        Whoever shows that token again has it judged again. What was not accepted is never kept.
        """
        if accepted.sole_token is None or accepted.recalled:
            return
        if len(data) > MAX_LENGTH or "Last-Event-ID" in accepted.headers:
            return
        if accepted.protocol.transport == "ws":
            cut = cut_key(data)
            if cut is None:
                return
            data, _ = cut
        if len(self.accepted) >= MAX_ACCEPTED:
            del self.accepted[next(iter(self.accepted))]
        self.accepted[data] = replace(accepted, websocket_key="", recalled=True)

    def parse(self, data: bytes, peer: str) -> StreamRequest | None:
        """Parse what came from the address `peer`; None where aiohttp is to serve it."""
        if data.startswith(self._upgrade_start):
            upgrade = self._recall_upgrade(data, peer)
            if upgrade is not None:
                return upgrade
        else:
            before = self.accepted.get(data) or self._templates.find(data)
            if before is not None:
                return replace(before, request_id=new_request_id(), remote=peer)
        if not data.startswith(self._starts):
            return None
        cut = self._templates.cut(data)
        if cut is not None:
            template = self._templates.find(cut.rest)
            if template is not None:
                return self._recall(template, cut.own, peer)
        request = self._parse(data, peer)
        if request is not None and cut is not None and not request.parameters.secret:
            self._templates.remember(cut, request)
        return request

    def _recall_upgrade(self, data: bytes, peer: str) -> StreamRequest | None:
        """Return an upgrade that is like one before but for its key; None where there is none."""
        cut = cut_key(data)
        if cut is None:
            return None
        rest, key = cut
        before = self.accepted.get(rest) or self._templates.find(rest)
        if before is None or not is_valid_key(key):
            return None
        return replace(before, request_id=new_request_id(), remote=peer, websocket_key=key)

    def _recall(
        self, template: StreamRequest, own: list[tuple[str, str]], peer: str
    ) -> StreamRequest | None:
        """Return a request like one that came before; what is its client's own is judged anew."""
        key = ""
        if template.protocol.transport == "ws":
            # The template is a right upgrade but for this.
            keys = [value for name, value in own if name.lower() == _KEY]
            if len(keys) != 1 or not is_valid_key(keys[0]):
                return None
            [key], own = keys, [(name, value) for name, value in own if name.lower() != _KEY]
        headers = with_own(template.headers, own)
        personal = self._personal.intersection([name.lower() for name, _ in own])
        return replace(
            template,
            headers=headers,
            request_id=request_id_of(headers),
            remote=client_address(peer, headers, self._settings.trusted_proxies),
            websocket_key=key,
            anonymous=not personal,
            sole_token=_sole_token(personal, headers),
        )

    def _parse(self, data: bytes, peer: str) -> StreamRequest | None:
        head = parse_request(data)
        if head is None:
            return None
        path, _, query_string = head.target.partition("?")
        if path == self._websocket_path:
            if not head.upgrade or not is_valid_upgrade(head.headers):
                return None
            parameters = parse_parameters(query_string) if query_string else NO_PARAMETERS
            return self._request(head, ws_protocol(head.headers), parameters, peer)
        if path != self._stream_path or head.upgrade:
            return None
        if head.body is not None and len(head.body) > MAX_BYTES:
            return None
        parameters = parse_parameters(query_string)
        return self._request(head, sse_protocol(parameters), parameters, peer)

    def _request(
        self,
        head: RequestHead,
        protocol: ClientProtocol,
        parameters: StreamParameters,
        peer: str,
    ) -> StreamRequest | None:
        headers, key = head.headers, ""
        if protocol.transport == "ws":
            key = headers[WEBSOCKET_KEY]
            headers = without(headers, WEBSOCKET_KEY)
        try:
            foreign_origin = check_request_origin(headers, self._settings)
        except Failed:
            return None
        personal = self._personal.intersection([name.lower() for name in headers])
        return StreamRequest(
            request_id=request_id_of(headers),
            protocol=protocol,
            parameters=parameters,
            headers=headers,
            body=head.body,
            chunked=True,
            keep_alive=head.keep_alive,
            remote=client_address(peer, headers, self._settings.trusted_proxies),
            foreign_origin=foreign_origin,
            websocket_key=key,
            anonymous=not parameters.secret and not personal,
            sole_token=None if parameters.secret else _sole_token(personal, headers),
        )


def _sole_token(personal: AbstractSet[str], headers: CIMultiDictProxy[str]) -> str | None:
    """Return the token in a header; `personal`: all fields that tell who asks."""
    return bearer_token(headers["Authorization"]) if personal == _BEARER_ALONE else None
