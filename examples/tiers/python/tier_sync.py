"""A tier on grpcio's synchronous server: python tier_sync.py --listen 127.0.0.1:50051.

Each stream holds a thread for as long as it lives: `--max-workers` bounds the streams. One more is
accepted by gRPC, and waits without a word for a thread.
"""

import argparse
import itertools
import signal
import threading
from concurrent import futures
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

    def Subscribe(self, request, context):
        try:
            query = Query(request.query)
        except CallError as error:
            context.abort(error.code, str(error))
        wish = request.heartbeat_interval.ToTimedelta().total_seconds() or 15
        interval = min(max(wish, 1), 60)
        started = pb.Started(subscription_id=f"s{next(self._names)}")
        started.heartbeat_interval.FromMilliseconds(int(interval * 1000))
        yield pb.SubscribeResponse(started=started)

        event = threading.Event()
        context.add_callback(event.set)  # a cancelled call is the unsubscribe
        subscription = self._table.subscribe(query, event.set)
        last_seq = 0
        try:
            while context.is_active():
                silent = not event.wait(interval)
                event.clear()
                while subscription.pending:
                    batch = subscription.pending.popleft()
                    last_seq = batch.first_seq + len(batch.deltas) - 1
                    yield pb.SubscribeResponse(batch=batch)
                if subscription.end:
                    context.abort(subscription.end.code, str(subscription.end))
                if silent:
                    beat = pb.Heartbeat(epoch=1, last_seq=last_seq)
                    beat.at.GetCurrentTime()
                    yield pb.SubscribeResponse(heartbeat=beat)
        finally:
            self._table.unsubscribe(subscription)


def credentials(options: argparse.Namespace) -> grpc.ServerCredentials:
    cert, key = Path(options.cert).read_bytes(), Path(options.key).read_bytes()
    ca = Path(options.client_ca).read_bytes() if options.client_ca else None
    return grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=ca is not None)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="127.0.0.1:50051")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--client-ca", help="who must have signed the client's certificate")
    parser.add_argument("--changes-per-second", type=float, default=1)
    parser.add_argument("--max-workers", type=int, default=100, help="bounds the streams")
    parser.add_argument("--compression", choices=("none", "deflate", "gzip"), default="none")
    options = parser.parse_args()

    table = Table()
    server = grpc.server(
        futures.ThreadPoolExecutor(options.max_workers),
        options=[("grpc.so_reuseport", 0)],
        compression={
            "none": None,
            "deflate": grpc.Compression.Deflate,
            "gzip": grpc.Compression.Gzip,
        }[options.compression],
    )
    livequery_pb2_grpc.add_LiveQueryServiceServicer_to_server(Tier(table), server)
    # Watch streams of the health service would hold a thread each, too.
    checks = health.HealthServicer(
        experimental_non_blocking=True, experimental_thread_pool=futures.ThreadPoolExecutor(1)
    )
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    if options.cert:
        port = server.add_secure_port(options.listen, credentials(options))
    else:
        port = server.add_insecure_port(options.listen)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    checks.set("livequery.v1.LiveQueryService", health_pb2.HealthCheckResponse.SERVING)
    print(f"listening on {options.listen.rpartition(':')[0]}:{port}", flush=True)
    run(table, options.changes_per_second)

    stop.wait()
    checks.enter_graceful_shutdown()  # first: nobody is sent here any more
    table.stop()
    server.stop(2).wait()


main()
