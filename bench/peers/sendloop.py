"""A loop in C that only calls send(): the practical limit."""

from contextlib import ExitStack

from bench.paths import BIN
from bench.process import SERVER_CORE, process

from .peer import Job, Running, get, upgrade


class SendLoopPeer:
    """Makes the bytes once for each moment and sends them to every client."""

    name = "sendloop"
    transports = ("sse", "ws")

    def start(self, job: Job, stack: ExitStack) -> Running:
        """Start the loop."""
        child = stack.enter_context(
            process(
                BIN / "sendloop",
                "0",
                job.transport,
                job.plan.text,
                core=SERVER_CORE,
                name="sendloop",
            )
        )
        request = get("/") if job.transport == "sse" else upgrade("/")
        return Running(port=child.port(), request=request, servers=[child])
