"""Engine: h2, set up for what we ask of it."""

from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from .stream_buffer import WINDOW

_MAX_HEADERS: Final = 64 * 1024


class H2Engine(H2Connection):
    """A client that wants no pushes, and headers as bytes."""

    # h2 remembers how streams ended, for frames that cross a reset: a few thousand are enough.
    MAX_CLOSED_STREAMS = 4096

    def __init__(self) -> None:
        # A header that is odd is its call's trouble and not the connection's.
        super().__init__(H2Configuration(header_encoding=None, validate_inbound_headers=False))
        self.local_settings = Settings(
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADERS,
            }
        )
