"""Every example tier, judged by `livequery-bridge verify`."""

import json

import pytest

from example_tiers import EXAMPLES
from matrix import by_example
from test_interop_tiers import QUERY

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


@pytest.mark.parametrize("example", by_example(EXAMPLES))
async def test_no_rule_of_the_contract_fails(example, matrix, start_tier, run):
    cell = matrix.other(f"{example.name}: `livequery-bridge verify`")
    _, commands = await (await run("--help")).ended()
    if "\n  verify " not in commands:
        cell.missing = "`livequery-bridge verify`: this version has none"
        pytest.skip(cell.missing)
    tier = await start_tier(example, cell)
    await tier.rate(5)
    verify = await run(
        *("verify", "--upstream", tier.address, "--query", json.dumps(QUERY)),
        *("--stop-command", f"kill {tier.pid}"),
        # uvloop forks for the command, and gRPC's fork handlers crash one child in a hundred.
        environ={"GRPC_ENABLE_FORK_SUPPORT": "0"},
    )
    with cell.step("verify"):
        code, said = await verify.ended(within=120)
        failed = [line for line in said.splitlines() if line.startswith("FAILED")]
        assert code == 0, f"exit {code}: {failed or verify.err}"
    assert not cell.failed, cell.failed
