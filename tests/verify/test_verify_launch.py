"""From options to a report: addresses, TLS, and a query made of what a tier describes."""

from pathlib import Path

import grpc
import pytest
from model_tier import ModelTier

from bridge.verify.launch import LaunchError, VerifyOptions, judge
from bridge.verify.report import Report
from house_fixtures import authority  # noqa: F401 - a fixture

THINGS = '{"entity":"things","sort":[{"column":"n"}],"limit":5}'
ONLY = "service,compression,snapshot-indexes,describe"
COLUMN = b"\x0a\x01n\x20\x01"  # name "n", sortable
ENTITY = b"\x0a\x06things\x12\x05" + COLUMN


def verdicts(report: Report):
    return {outcome.rule.id: outcome.verdict.value for outcome in report.ledger.outcomes()}


ALL_OK = dict.fromkeys(ONLY.split(","), "ok")


async def test_without_a_query_one_is_made_of_what_the_tier_describes(start):
    tier = ModelTier()
    tier.describes = b"\x0a%c" % len(ENTITY) + ENTITY
    await start(tier)
    assert verdicts(await judge(VerifyOptions(upstream=tier.address, only=ONLY))) == ALL_OK


async def test_a_query_that_the_tier_refuses_is_a_mistake_in_usage(start):
    tier = await start(ModelTier())
    query = '{"entity":"nothings","limit":5}'
    with pytest.raises(LaunchError, match="NOT_FOUND"):
        await judge(VerifyOptions(upstream=tier.address, query=query))


async def test_a_write_command_that_fails_is_a_mistake_in_usage(start):
    tier = await start(ModelTier())
    with pytest.raises(LaunchError, match="ended with 3: no such table"):
        await judge(
            VerifyOptions(
                upstream=tier.address,
                query=THINGS,
                only="window-kept",
                write_command="echo no such table >&2; exit 3",
            )
        )


async def test_a_tier_at_a_unix_socket_is_reached(start, tmp_path):
    tier = await start(ModelTier(), where=f"unix:{tmp_path}/tier.sock")
    report = await judge(VerifyOptions(upstream=tier.address, query=THINGS, only=ONLY))
    assert verdicts(report) == ALL_OK


async def test_a_tier_that_wants_client_certificates_is_reached(start, authority):
    cert, key = authority.issue("tier", 1)
    mine, my_key = authority.issue("verify", 2)
    read = lambda path: Path(path).read_bytes()  # noqa: E731
    credentials = grpc.ssl_server_credentials(
        [(read(key), read(cert))], read(authority.ca), require_client_auth=True
    )
    tier = await start(ModelTier(), credentials=credentials)
    options = {"upstream": tier.address, "query": THINGS, "only": ONLY}
    report = await judge(
        VerifyOptions(**options, upstream_ca=authority.ca, upstream_cert=mine, upstream_key=my_key)
    )
    assert verdicts(report) == ALL_OK
    plain = await judge(VerifyOptions(**options))
    assert verdicts(plain)["service"] == "failed"
    assert "TLS on one side" in "\n".join(plain.text())
