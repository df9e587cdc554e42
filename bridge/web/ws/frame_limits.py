"""Limits of what a WebSocket client may send, and of what is kept of it."""

import time
from typing import Final

from bridge.core.shared_rate import SharedRate

MAX_QUEUED: Final = 512 * 1024
"""Bytes of messages that may wait to be handled. While reading is paused, the client's leaving is
noticed only when something is written."""
MESSAGE_OVERHEAD: Final = 128
"""Bytes counted for each message beside its own, so that empty ones are counted too."""
LINGER: Final = 1.0
"""Seconds that a client which sent what is wrong has to read the close frame, and close."""
LINGER_BYTES: Final = 256 * 1024
"""Bytes that are dropped meanwhile: a flood is not read on."""
FRAMES_PER_TURN: Final = 4
"""Frames of one client that are read in a turn of the event loop: others have their turn, too."""
FRAMES_PER_SECOND: Final = 100.0
FRAME_BURST: Final = 1_000
"""Frames at once: more than a message of 64 KiB in fragments of 128 bytes."""
FRAMES: Final = SharedRate(rate=FRAMES_PER_SECOND, burst=FRAME_BURST, clock=time.monotonic)
"""Each client's allowance of frames, of whatever kind."""
