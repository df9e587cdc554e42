"""Reader: the least that Python and grpc.aio can do with the tier's streams: read and count.

`python -m bench.reader PORT STREAMS PLAN BATCH`: what grpc.aio costs before there is any bridge.
A line on stdin is answered by what was read so far; the end of stdin is the end.
"""

import asyncio
import sys

import grpc
import uvloop

from livequery.v1 import livequery_pb2 as pb

_METHOD = "/livequery.v1.LiveQueryService/Subscribe"
# As a bridge on grpc.aio would have them.
_OPTIONS = (("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))


class Reader:
    """Counts the deltas of many streams."""

    def __init__(self) -> None:
        self.deltas = 0

    async def read(self, channel: grpc.aio.Channel, entity: str, batch: int) -> None:
        """Read one stream to its end."""
        method = channel.unary_stream(
            _METHOD,
            request_serializer=pb.SubscribeRequest.SerializeToString,
            response_deserializer=pb.SubscribeResponse.FromString,
        )
        request = pb.SubscribeRequest(query=pb.LiveQuery(entity=entity), max_batch_deltas=batch)
        call = method(request)
        try:
            while isinstance(response := await call.read(), pb.SubscribeResponse):
                self.deltas += len(response.batch.deltas)
        finally:
            call.cancel()


async def main(port: int, streams: int, plan: str, batch: int) -> None:
    """Read until stdin ends."""
    reader = Reader()
    ended = asyncio.get_running_loop().create_future()

    def answer() -> None:
        if sys.stdin.readline():
            sys.stdout.write(f'{{"deltas":{reader.deltas}}}\n')
            sys.stdout.flush()
        elif not ended.done():
            ended.set_result(None)

    asyncio.get_running_loop().add_reader(0, answer)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS) as channel:
        tasks = [
            asyncio.create_task(reader.read(channel, f"{plan},id={number:05d}", batch))
            for number in range(streams)
        ]
        await ended
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
