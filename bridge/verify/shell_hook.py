"""Shell hooks: the user's commands that change a row or stop the tier."""

import asyncio
import contextlib
import os
import signal
import tempfile

from .session import Hook

COMMAND_SECONDS = 30.0


class HookFailedError(Exception):
    """A command failed or took too long; the message names its option."""


def shell_hook(option: str, command: str | None) -> Hook | None:
    """Return what runs the command of an option; None where it was not given."""
    if command is None:
        return None

    async def run() -> None:
        await _run_shell(option, command)

    return run


async def _run_shell(option: str, command: str) -> None:
    """Run a command to its end. Raises HookFailedError.

    Children that it leaves behind are not waited for, unless it takes too long: then the whole
    process group is killed.
    """
    # A file: a child left behind would keep a pipe open.
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_shell(
            command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                await process.wait()
        except TimeoutError:
            raise HookFailedError(f"{option} took over {COMMAND_SECONDS:g} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):  # it ended in this moment
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()[-300:]
            raise HookFailedError(f"{option} ended with {process.returncode}: {said}")
