"""A real gRPC server whose every word is the test's."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc
from served_tier import ServedTier

END = object()


def value(item):
    if item is None:
        return pb.Value(null_value=0)
    if isinstance(item, bool):
        return pb.Value(bool_value=item)
    if isinstance(item, int):
        return pb.Value(int_value=item)
    if isinstance(item, float):
        return pb.Value(double_value=item)
    return pb.Value(string_value=item)


def cursor(*items):
    return pb.Cursor(values=[value(item) for item in items])


def enter(agg_id, new, *, old=-1, version=1, row=None, stream_id="", cur=None):
    return pb.LiveDelta(
        op=pb.DELTA_OP_ENTER,
        agg_id=agg_id,
        version=version,
        row=row if row is not None else b'{"id":"%b"}' % agg_id.encode(),
        old_index=old,
        new_index=new,
        cursor=cursor(*(cur or (agg_id,))),
        stream_id=stream_id,
    )


def leave(agg_id, old, *, stream_id=""):
    return pb.LiveDelta(
        op=pb.DELTA_OP_LEAVE, agg_id=agg_id, old_index=old, new_index=-1, stream_id=stream_id
    )


def update(agg_id, at, *, version=2, row=b'{"n":2}', stream_id=""):
    return pb.LiveDelta(
        op=pb.DELTA_OP_UPDATE,
        agg_id=agg_id,
        version=version,
        row=row,
        old_index=at,
        new_index=at,
        cursor=cursor(agg_id),
        stream_id=stream_id,
    )


def reset(reason=pb.RESET_REASON_INITIAL, **info):
    return pb.LiveDelta(op=pb.DELTA_OP_RESET, reset=pb.ResetInfo(reason=reason, **info))


class Refusal(Exception):  # noqa: N818 - what it is
    """What a call is aborted with."""

    def __init__(self, code, details="", *, reason="", field="", retry=None, localized="") -> None:
        super().__init__(code, details)
        packed = []
        if reason or field:
            packed.append(
                error_details_pb2.ErrorInfo(
                    domain="livequery.v1", reason=reason, metadata={"field": field} if field else {}
                )
            )
        if retry is not None:
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromMilliseconds(int(retry * 1000))
            packed.append(info)
        if localized:
            packed.append(error_details_pb2.LocalizedMessage(locale="en", message=localized))
        status = status_pb2.Status(code=code.value[0], message=details)
        for message in packed:
            wrapped = any_pb2.Any()
            wrapped.Pack(message)
            status.details.append(wrapped)
        self.status = rpc_status.to_status(status)


class Call:
    """One Subscribe call, from the tier's side."""

    def __init__(self, request, context, number) -> None:
        self.request = request
        self.metadata = dict(context.invocation_metadata())
        self.peer = context.peer()
        self.caller = context.auth_context().get("x509_common_name", [b""])[0].decode()
        self.id = f"sub-{number}"
        self.out = asyncio.Queue()
        self.over = asyncio.Event()
        self.epoch = 0
        self.seq = 1

    def start(self, **started):
        started = {"subscription_id": self.id, **started}
        self.out.put_nowait(pb.SubscribeResponse(started=pb.Started(**started)))

    def resume(self, **started):
        """Grant what the request offers: go on in the numbers of the call that was lost."""
        offer = self.request.resume
        self.epoch, self.seq = offer.epoch, offer.seq + 1
        self.start(subscription_id=offer.subscription_id, resumed=True, **started)

    def send(self, *deltas, complete=False, **batch):
        if any(delta.op == pb.DELTA_OP_RESET for delta in deltas):
            self.epoch += 1
        fields = {"epoch": self.epoch, "first_seq": self.seq, "snapshot_complete": complete}
        fields.update(batch)
        self.out.put_nowait(pb.SubscribeResponse(batch=pb.DeltaBatch(deltas=deltas, **fields)))
        self.seq += len(deltas)

    def snapshot(self, *ids, **info):
        self.send(
            reset(**info), *(enter(agg_id, at) for at, agg_id in enumerate(ids)), complete=True
        )

    def end(self):
        self.out.put_nowait(END)

    def fail(self, code=grpc.StatusCode.UNAVAILABLE, details="", **more):
        self.out.put_nowait(Refusal(code, details, **more))


class ScriptedTier(ServedTier, livequery_pb2_grpc.LiveQueryServiceServicer):
    """A tier of the contract; `reanchored` and `described` answer the other two methods."""

    options = (
        *ServedTier.options,
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
    )

    def __init__(self) -> None:
        super().__init__()
        self.reanchors = []
        self.reanchored = None
        self.described = None  # a DescribeResponse, a Refusal, or a coroutine function of either
        self.describes = []  # the metadata of each Describe
        self.opened_at = []

    def add_to(self, server):
        livequery_pb2_grpc.add_LiveQueryServiceServicer_to_server(self, server)

    async def Subscribe(self, request, context) -> AsyncIterator[pb.SubscribeResponse]:  # noqa: N802 - the service says so
        call = Call(request, context, next(self.numbers))
        self.opened += 1
        self.opened_at.append(time.monotonic())
        self.open[call.id] = call
        try:
            if self.rows is not None:
                call.start()
                call.snapshot(*self.rows)
            else:
                self.calls.put_nowait(call)
            while (item := await call.out.get()) is not END:
                if isinstance(item, Refusal):
                    await context.abort_with_status(item.status)
                yield item
        finally:
            call.over.set()
            del self.open[call.id]

    async def Reanchor(self, request, context):  # noqa: N802 - the service says so
        self.reanchors.append(request)
        if self.reanchored is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no")
        answer = self.reanchored(self.open.get(request.subscription_id), request)
        if isinstance(answer, Refusal):
            await context.abort_with_status(answer.status)
        if asyncio.iscoroutine(answer):
            answer = await answer
        return answer or pb.ReanchorResponse()

    async def Describe(self, _, context):  # noqa: N802 - the service says so
        self.describes.append(dict(context.invocation_metadata()))
        answer = await self.described() if callable(self.described) else self.described
        if answer is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no")
        if isinstance(answer, Refusal):
            await context.abort_with_status(answer.status)
        return answer


@contextlib.asynccontextmanager
async def scripted_process(source):
    """A tier by a script of the test's, in a process of its own; yields (process, address)."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        yield child, (await child.stdout.readline()).decode().strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.stdout.read()
        await child.wait()
