"""A tier on grpc.aio: python tier_aio.py --listen 127.0.0.1:50051. A stream costs a task."""

import argparse
import asyncio
import itertools
import signal
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from ticks import CallError, Query, Table, run

from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc


class Tier(livequery_pb2_grpc.LiveQueryServiceServicer):  # Reanchor: UNIMPLEMENTED, which is fine
    def __init__(self, table: Table) -> None:
        self._table = table
        self._names = itertools.count(1)

    async def Subscribe(self, request, context):
        try:
            query = Query(request.query)
        except CallError as error:
            await context.abort(error.code, str(error))
        wish = request.heartbeat_interval.ToTimedelta().total_seconds() or 15
        interval = min(max(wish, 1), 60)
        started = pb.Started(subscription_id=f"s{next(self._names)}")
        started.heartbeat_interval.FromMilliseconds(int(interval * 1000))
        yield pb.SubscribeResponse(started=started)

        event, loop = asyncio.Event(), asyncio.get_running_loop()
        subscription = self._table.subscribe(query, lambda: loop.call_soon_threadsafe(event.set))
        last_seq = 0
        try:  # a cancelled call is the unsubscribe: this is cancelled, too
            while True:
                try:
                    async with asyncio.timeout(interval):
                        await event.wait()
                except TimeoutError:
                    beat = pb.Heartbeat(epoch=1, last_seq=last_seq)
                    beat.at.GetCurrentTime()
                    yield pb.SubscribeResponse(heartbeat=beat)
                event.clear()
                while subscription.pending:
                    batch = subscription.pending.popleft()
                    last_seq = batch.first_seq + len(batch.deltas) - 1
                    yield pb.SubscribeResponse(batch=batch)
                if subscription.end:
                    await context.abort(subscription.end.code, str(subscription.end))
        finally:
            self._table.unsubscribe(subscription)


def credentials(options: argparse.Namespace) -> grpc.ServerCredentials:
    cert, key = Path(options.cert).read_bytes(), Path(options.key).read_bytes()
    ca = Path(options.client_ca).read_bytes() if options.client_ca else None
    return grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=ca is not None)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="127.0.0.1:50051")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--client-ca", help="who must have signed the client's certificate")
    parser.add_argument("--changes-per-second", type=float, default=1)
    parser.add_argument("--max-connection-age", type=float, default=0, help="seconds")
    parser.add_argument("--max-streams", type=int, default=0, help="on one connection")
    options = parser.parse_args()

    table = Table()
    limits = [("grpc.so_reuseport", 0)]
    if options.max_connection_age:
        limits.append(("grpc.max_connection_age_ms", int(options.max_connection_age * 1000)))
        limits.append(("grpc.max_connection_age_grace_ms", 1000))
    if options.max_streams:
        limits.append(("grpc.max_concurrent_streams", options.max_streams))
    server = grpc.aio.server(options=limits)
    livequery_pb2_grpc.add_LiveQueryServiceServicer_to_server(Tier(table), server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    if options.cert:
        port = server.add_secure_port(options.listen, credentials(options))
    else:
        port = server.add_insecure_port(options.listen)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    await checks.set("livequery.v1.LiveQueryService", health_pb2.HealthCheckResponse.SERVING)
    print(f"listening on {options.listen.rpartition(':')[0]}:{port}", flush=True)
    run(table, options.changes_per_second)

    await stop.wait()
    await checks.enter_graceful_shutdown()  # first: nobody is sent here any more
    table.stop()
    await server.stop(2)


asyncio.run(main())
