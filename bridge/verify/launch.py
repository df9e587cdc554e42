"""From the command's options to a report: addresses, TLS, the query, the user's commands."""

import time
from dataclasses import dataclass

from bridge.core.address import parse_address
from bridge.core.errors import Failed
from bridge.core.query_parser import parse_query
from bridge.tls.contexts import TlsFiles
from bridge.upstream.protobuf_conversion import query_to_pb
from livequery.v1 import livequery_pb2 as pb

from .call_metadata import Mask, parse_metadata
from .calls import CallFailedError, Target, TierClient
from .credentials import TierCredentials, load_credentials
from .describe import describe, query_for
from .report import Report
from .rules import BY_ID, Rule
from .runner import verify
from .session import RefusedError
from .shell_hook import HookFailedError, shell_hook

EXAMPLE = '{"entity":"flights","sort":[{"column":"est_dep"}],"limit":10}'
DESCRIBE_SECONDS = 5.0


class LaunchError(ValueError):
    """A mistake in usage; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """The command's options, as given."""

    upstream: str
    query: str | None = None
    write_command: str | None = None
    stop_command: str | None = None
    only: str = ""
    metadata: tuple[str, ...] = ()
    upstream_tls: bool = False
    upstream_ca: str | None = None
    upstream_cert: str | None = None
    upstream_key: str | None = None
    upstream_server_name: str | None = None


async def judge(options: VerifyOptions) -> Report:
    """Run the kit; raises LaunchError for what the user has to mend."""
    began = time.monotonic()
    target = _target(options)
    mask = Mask(target.metadata)
    only = chosen_rules(options.only)
    query = await _query(target, options.query)
    try:
        ledger = await verify(
            target,
            query,
            only=only,
            mask=mask,
            write=shell_hook("--write-command", options.write_command),
            stop=shell_hook("--stop-command", options.stop_command),
        )
    except HookFailedError as failed:
        raise LaunchError(mask(str(failed))) from None
    except RefusedError as refused:
        hint = " or --metadata" if refused.end.code == "UNAUTHENTICATED" else ""
        raise LaunchError(mask(f"{refused}; give another --query{hint}")) from None
    return Report(target.address, ledger, time.monotonic() - began)


def chosen_rules(text: str) -> list[Rule]:
    """Read --only; raises LaunchError for an identifier that is no rule's."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in BY_ID]:
        raise LaunchError(f"--only: no rule {', '.join(unknown)} (see --list)")
    return [BY_ID[name] for name in names]


def _target(options: VerifyOptions) -> Target:
    try:
        parse_address(options.upstream)
        metadata = parse_metadata(options.metadata)
        tls = _tls(options)
    except ValueError as error:
        raise LaunchError(str(error)) from None
    return Target(options.upstream, tls, options.upstream_server_name or "", metadata)


def _tls(options: VerifyOptions) -> TierCredentials | None:
    files = TlsFiles(ca=options.upstream_ca, cert=options.upstream_cert, key=options.upstream_key)
    if options.upstream_tls or options.upstream_server_name or files.paths:
        return load_credentials(files)
    return None


async def _query(target: Target, text: str | None) -> pb.LiveQuery:
    """Read --query, or make a query of what the tier describes."""
    if text is None:
        return await _described_query(target)
    try:
        query = query_to_pb(parse_query(text))
    except Failed as failed:
        raise LaunchError(f"--query: {failed.field}: {failed}") from None
    if query.mode == pb.MODE_STREAMED:
        raise LaunchError("--query: mode 0 is needed; streamed mode is judged beside it")
    return query


async def _described_query(target: Target) -> pb.LiveQuery:
    client = TierClient(target)
    try:
        query = query_for(await describe(client, DESCRIBE_SECONDS))
    except CallFailedError as failed:
        raise LaunchError(
            f"--query is needed: the tier's Describe says {failed.end.code}."
            f" For the embedded tier: --query '{EXAMPLE}'"
        ) from None
    finally:
        await client.close()
    if query is None:
        raise LaunchError("--query is needed: the tier's Describe names no entity")
    return query
