"""The code of docs/contract.md does what the page says."""

import asyncio
import re

import pytest
from google.protobuf import text_format

from example_tiers import ENVIRON, ROOT
from livequery.v1 import livequery_pb2 as pb
from ops_support import free_port
from viewers import SseViewer

TEXT = (ROOT / "docs" / "contract.md").read_text()


def test_the_conversation_is_of_messages_of_the_contract():
    [conversation] = re.findall(r"```textproto\n(.*?)```", TEXT, re.DOTALL)
    messages = [
        text_format.Parse(part, pb.SubscribeResponse()) for part in conversation.split("---\n")
    ]
    assert [message.WhichOneof("message") for message in messages] == ["started"] + ["batch"] * 5


@pytest.mark.interop
async def test_the_minimal_tier_serves_a_window_that_changes(run, http, tmp_path):
    [code] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    port = free_port()
    (tmp_path / "tier.py").write_text(code.replace(":50051", f":{port}"))
    tier = await asyncio.create_subprocess_exec("python", tmp_path / "tier.py", env=ENVIRON)
    viewer = SseViewer()
    try:
        bridge = await run("serve", "--upstream", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0")
        url = await bridge.listening()
        await viewer.open(http, url + "/api/v1/live", {"entity": "ticks", "limit": 3})
        async with asyncio.timeout(20):
            while viewer.updates < 2:
                assert viewer.ended is None
                await asyncio.sleep(0.05)
        assert viewer.by_id.ids == ["t0", "t1", "t2"]
    finally:
        await viewer.close()
        tier.kill()
        await tier.wait()
