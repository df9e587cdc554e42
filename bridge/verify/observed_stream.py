"""One Subscribe stream, read in the background and judged as it comes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

from livequery.v1 import livequery_pb2 as pb

from .calls import CallEnd, CallFailedError
from .rows import Row
from .stream_judge import StreamJudge


class ObservedStream:
    """Reads `messages` until they end or `close`; `on_message` is called after each and at the end.

    Attributes: `end` is how the tier ended the call, None while it is open or once we closed it.
    `count` is the number of messages, `batches` of those that change the window.
    `longest_silence` is the longest time between two messages.
    """

    def __init__(
        self,
        messages: AsyncIterator[pb.SubscribeResponse],
        judge: StreamJudge,
        *,
        on_message: Callable[[], None],
    ) -> None:
        self.judge = judge
        self.end: CallEnd | None = None
        self.count = 0
        self.batches = 0
        self._clock = asyncio.get_running_loop().time
        self.last_at = self._clock()
        self.longest_silence = 0.0
        self._messages = messages
        self._on_message = on_message
        self._task = asyncio.create_task(self._read())

    @property
    def started(self) -> pb.Started | None:
        """The stream's `started`, once it has come."""
        return self.judge.started

    @property
    def rows(self) -> Sequence[Row]:
        """The window as the stream told it so far."""
        return self.judge.window.rows

    @property
    def ids(self) -> list[str]:
        """The window's ids, in order."""
        return [row.id for row in self.rows]

    @property
    def whole(self) -> bool:
        """Whether the window is complete."""
        return self.judge.window.complete

    @property
    def void(self) -> bool:
        """Whether a bare reset took the window: only a new stream brings another."""
        return self.judge.window.void

    @property
    def doubt(self) -> str:
        """The rule that the window broke, if any."""
        return self.judge.window.doubt

    @property
    def silence(self) -> float:
        """Seconds since the last message."""
        return self._clock() - self.last_at

    @property
    def position(self) -> pb.ResumePosition:
        """Where a call that goes on would begin."""
        started = self.started or pb.Started()
        return pb.ResumePosition(
            subscription_id=started.subscription_id,
            epoch=self.judge.numbering.epoch,
            seq=self.judge.numbering.seq,
            route=started.route,
        )

    async def close(self) -> None:
        """Cancel the call and wait until that is done; idempotent."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if isinstance(self._messages, AsyncGenerator):
            await self._messages.aclose()
        if not self._task.cancelled():
            self._task.result()  # a fault of the kit's own is not kept quiet

    async def _read(self) -> None:
        try:
            async for message in self._messages:
                now = self._clock()
                if self.count:
                    self.longest_silence = max(self.longest_silence, now - self.last_at)
                self.last_at = now
                self.count += 1
                self.judge.feed(message)
                self.batches += message.WhichOneof("message") == "batch"
                self._on_message()
            self.end = CallEnd("OK")
        except CallFailedError as failed:
            self.end = failed.end
        self._on_message()
