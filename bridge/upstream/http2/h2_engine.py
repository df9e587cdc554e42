"""Engine: h2's connection state, set up for this client."""

from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from .stream_buffer import WINDOW

MAX_HEADER_LIST: Final = 64 * 1024
"""Bytes of the largest header list or trailers of a call, as RFC 9113, section 6.5.2 counts."""


class H2Engine(H2Connection):
    """A client without server push, with headers as bytes."""

    # h2's own limit ends the connection, because a header list that is not decoded to its end
    # leaves the compression state of all calls undefined. So it is well above MAX_HEADER_LIST,
    # which the session checks for each call.
    DEFAULT_MAX_HEADER_LIST_SIZE = 1024 * 1024

    # h2 remembers how streams ended, for frames that arrive after a reset. A few thousand are
    # enough; h2's default is 65,536.
    MAX_CLOSED_STREAMS = 4096

    def __init__(self) -> None:
        # An invalid header must fail its call and not the connection.
        super().__init__(H2Configuration(header_encoding=None, validate_inbound_headers=False))
        self.local_settings = Settings(
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST,
            }
        )
