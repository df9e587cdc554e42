"""An HTTP/2 server whose frames the test writes, and a session connected to it in memory."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamReset
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame

from bridge.upstream.http2.keepalive import Keepalive
from bridge.upstream.http2.peer import Peer
from bridge.upstream.http2.session import Http2Session
from bridge.upstream.http2.stream_buffer import frame_message
from patience import patiently

ANSWER = [(":status", "200"), ("content-type", "application/grpc")]
PATH = "/livequery.v1.LiveQueryService/Subscribe"


def ok(*more):
    return [("grpc-status", "0"), *more]


class Server(H2Connection):
    """h2's server side; `settings` are the ones it sends first."""

    def __init__(self, **settings):
        config = H2Configuration(
            client_side=False, header_encoding="utf-8", validate_outbound_headers=False
        )
        super().__init__(config)
        if settings:
            named = {SettingCodes[name]: value for name, value in settings.items()}
            self.local_settings = Settings(client=False, initial_values=named)


class Pair:
    """A session and its peer, connected in memory. `settings_seen` and `closings` count callbacks."""

    def __init__(self, *, settings_sent=True, **settings):
        self.server = Server(**settings)
        self.requests = {}
        self.events = []
        self.to_server = []
        self.settings_seen = self.closings = 0
        self.peer = Peer("tier:1", Keepalive(ping_after=10, timeout=4))
        self.session = Http2Session(
            authority="tier:1",
            scheme="http",
            peer=self.peer,
            write=self.to_server.append,
            on_settings=lambda: setattr(self, "settings_seen", self.settings_seen + 1),
            on_going_away=lambda: None,
            on_close=lambda: setattr(self, "closings", self.closings + 1),
        )
        self.session.start()
        if settings_sent:
            self.server.initiate_connection()
            self.pump()

    def pump(self):
        """Carry bytes both ways until there are none."""
        while True:
            sent, self.to_server[:] = b"".join(self.to_server), []
            for event in self.server.receive_data(sent) if sent else ():
                self.events.append(event)
                if isinstance(event, RequestReceived):
                    self.requests[event.stream_id] = dict(event.headers)
            back = self.server.data_to_send()
            if back:
                self.session.receive_data(back)
            if not self.to_server:
                return

    def call(self, message=b"ask", metadata=()):
        """Begin a call; returns it and its stream."""
        call = self.session.start_call(PATH, message, metadata)
        self.pump()
        return call, self.server.highest_inbound_stream_id

    def answered(self):
        """Begin a call and answer it with headers; returns it and its stream."""
        call, stream = self.call()
        self.server.send_headers(stream, ANSWER)
        self.pump()
        return call, stream

    def say(self, stream, *messages, **more):
        self.server.send_data(stream, b"".join(map(frame_message, messages)), **more)
        self.pump()

    def end(self, stream, *trailers):
        self.server.send_headers(stream, [*trailers] or ok(), end_stream=True)
        self.pump()

    def raw(self, *frames):
        """Send frames past h2."""
        self.session.receive_data(
            b"".join(f.serialize() if isinstance(f, Frame) else f for f in frames)
        )

    def resets(self, stream):
        self.pump()
        return [
            event.error_code
            for event in self.events
            if isinstance(event, StreamReset) and event.stream_id == stream
        ]


async def drain(call):
    """Read to the end."""
    return [message async for message in until_end(call)]


async def until_end(call):
    async with patiently(5):
        while (message := await call.read()) is not None:
            yield message
