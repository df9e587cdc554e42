"""A loop in Python that only writes a window: the practical limit for a late joiner."""

import sys
from contextlib import ExitStack

from bench.process import SERVER_CORE, process

from .bridge import clean_environ
from .peer import Job, Running, get


class LoopPeer:
    """uvloop, a protocol of four lines, and the bytes."""

    name = "uvloop"
    transports = ("sse",)

    def start(self, job: Job, stack: ExitStack) -> Running:
        """Start the loop."""
        plan = job.plan
        command = (sys.executable, "-m", "bench.loop", str(plan.rows), str(plan.size))
        child = stack.enter_context(
            process(*command, core=SERVER_CORE, name="loop", environ=clean_environ())
        )
        return Running(port=child.port(), request=get("/"), rows=plan.rows, servers=[child])
