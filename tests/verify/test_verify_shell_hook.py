"""Shell hooks: a command is waited for, its children are not, and nothing hangs."""

import asyncio
import time

import pytest

from bridge.verify import shell_hook
from bridge.verify.shell_hook import HookFailedError
from patience import patiently


async def test_a_child_that_a_command_leaves_behind_is_not_waited_for():
    hook = shell_hook.shell_hook("--stop-command", "sleep 30 & exit 0")
    async with patiently(10):
        await hook()


async def test_a_command_that_takes_too_long_is_ended_with_its_children(monkeypatch, tmp_path):
    monkeypatch.setattr(shell_hook, "COMMAND_SECONDS", 0.2)
    mark = tmp_path / "alive"
    hook = shell_hook.shell_hook("--stop-command", f"sleep 1; touch {mark}")
    began = time.monotonic()
    with pytest.raises(HookFailedError, match="--stop-command took over"):
        await hook()
    await asyncio.sleep(max(began + 1.5 - time.monotonic(), 0))
    assert not mark.exists()


async def test_a_command_that_fails_says_its_own_words():
    hook = shell_hook.shell_hook("--write-command", "echo no such row >&2; exit 3")
    with pytest.raises(HookFailedError, match="--write-command ended with 3: no such row"):
        await hook()
