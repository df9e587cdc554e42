"""A small tier in memory that does all the contract asks, with places to plant faults in."""

import asyncio
import itertools
import json

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from livequery.v1 import livequery_pb2 as pb
from livequery.v1 import livequery_pb2_grpc
from scripted_tier import cursor

COLUMNS = ("id", "n", "label")
COMPARISONS = {
    pb.OPERATOR_EQ: lambda held, asked: held == asked[0],
    pb.OPERATOR_NE: lambda held, asked: held != asked[0],
    pb.OPERATOR_GT: lambda held, asked: held > asked[0],
    pb.OPERATOR_GTE: lambda held, asked: held >= asked[0],
    pb.OPERATOR_LT: lambda held, asked: held < asked[0],
    pb.OPERATOR_LTE: lambda held, asked: held <= asked[0],
    pb.OPERATOR_IN: lambda held, asked: held in asked,
    pb.OPERATOR_NOT_IN: lambda held, asked: held not in asked,
    pb.OPERATOR_IS_NULL: lambda held, _: held is None,
    pb.OPERATOR_IS_NOT_NULL: lambda held, _: held is not None,
}
INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


class Refusal(Exception):  # noqa: N818 - what it is
    """What a call is aborted with; without a reason it has no details."""

    def __init__(self, code, *, reason="", field="", domain="livequery.v1"):
        super().__init__(code, field)
        self.field = field
        status = status_pb2.Status(code=code.value[0], message="for the log")
        if reason:
            packed = any_pb2.Any()
            packed.Pack(
                error_details_pb2.ErrorInfo(domain=domain, reason=reason, metadata={"field": field})
            )
            status.details.append(packed)
        self.status = rpc_status.to_status(status)


def reset(reason=pb.RESET_REASON_INITIAL, rows=0, request_id=""):
    info = pb.ResetInfo(reason=reason, row_count=rows, request_id=request_id)
    return pb.LiveDelta(op=pb.DELTA_OP_RESET, reset=info)


class Subscription:
    """One subscription: what it shows, what it was sent, and the call that carries it."""

    def __init__(self, identifier, query):
        self.id = identifier
        self.query = query
        self.window = []
        self.out = asyncio.Queue()
        self.epoch = 0
        self.seq = 0
        self.sent = []  # (epoch, number, delta)
        self.live = False
        self.state = {}

    @property
    def streamed(self):
        return self.query.mode == pb.MODE_STREAMED


class ModelTier(livequery_pb2_grpc.LiveQueryServiceServicer):
    """Entity `things`, sorted by `id`, `n` or `label`. `change` makes one change."""

    numbered = True
    promise = False
    compression = None
    served = True
    refuses_late = False
    interceptors = ()

    def __init__(self):
        self.rows = {}
        self.versions = itertools.count(1)
        for n in range(9):
            self.put(f"t{n}", n=10 * n, label="new")
        self.subscriptions = {}
        self.names = itertools.count(1)
        self.stamps = itertools.count(1)
        self.script = itertools.cycle(self.changes())
        self.ending = asyncio.Event()
        self.describes = None

    async def start(self, where="127.0.0.1:0", credentials=None):
        self.server = grpc.aio.server(
            compression=self.compression, options=self.options(), interceptors=self.interceptors
        )
        if self.served:
            livequery_pb2_grpc.add_LiveQueryServiceServicer_to_server(self, self.server)
        if self.describes is not None:
            handler = grpc.unary_unary_rpc_method_handler(self.describe)
            methods = {"Describe": handler}
            self.server.add_registered_method_handlers("livequery.v1.LiveQueryService", methods)
        if credentials is None:
            port = self.server.add_insecure_port(where)
        else:
            port = self.server.add_secure_port(where, credentials)
        await self.server.start()
        self.address = where if where.startswith("unix:") else f"127.0.0.1:{port}"
        return self

    def options(self):
        return (("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1))

    async def stop(self):
        self.ending.set()
        await self.server.stop(0.2)

    async def describe(self, _, context):
        return self.describes

    # ---------------------------------------------------------------- the table

    def put(self, agg_id, **values):
        row = {**self.rows.get(agg_id, {}), "id": agg_id, **values}
        row["version"] = next(self.versions)
        self.rows[agg_id] = row

    def changes(self):
        """Yield changes: each a function that makes one and returns the row's id."""
        yield lambda: self.set("t1", label="updated")
        yield lambda: self.set("t1", n=25)  # within the window
        yield lambda: self.set("t9", n=5, label="new")  # in at the top, one is pushed out
        yield lambda: self.drop("t9")  # one is promoted
        yield lambda: self.set("t0", n=1000)  # out of sight
        yield lambda: self.set("t0", n=0)  # and back
        yield lambda: self.set("t2", label="updated")
        yield lambda: self.set("t1", n=10)

    def set(self, agg_id, **values):
        self.put(agg_id, **values)
        return agg_id

    def drop(self, agg_id):
        del self.rows[agg_id]
        return agg_id

    async def change(self):
        agg_id = next(self.script)()
        stamp = f"{next(self.stamps)}-0"
        for subscription in list(self.subscriptions.values()):
            self.publish(subscription, agg_id, stamp)
        await asyncio.sleep(0)

    def order(self, query):
        def key(row):
            return [(-row[k.column] if k.desc else row[k.column]) for k in query.sort] + [row["id"]]

        return key

    def select(self, query):
        """Return the rows of a query's window; they are copies."""
        key = self.order(query)
        kept = (row for row in self.rows.values() if self.matches(row, query.where))
        rows = sorted(map(dict, kept), key=key)
        if query.cursor.values:
            kinds = [v.WhichOneof("kind") for v in query.cursor.values]
            values = [getattr(v, k) for v, k in zip(query.cursor.values, kinds, strict=True)]
            names = [k.column for k in query.sort] + ["id"]
            anchor = key(dict(zip(names, values, strict=True)))
            rows = [row for row in rows if self.after(key(row), anchor)]
        return rows[: query.limit]

    def after(self, row, anchor):
        return row > anchor

    def matches(self, row, where):
        return all(self.holds(row, condition) for condition in where)

    def holds(self, row, condition):
        if condition.WhichOneof("kind") == "or_group":
            return any(self.holds(row, each) for each in condition.or_group.conditions)
        comparison = condition.comparison
        held = row[comparison.column]
        values = [comparison.value, *comparison.list.values]
        asked = [getattr(v, v.WhichOneof("kind")) for v in values if v.WhichOneof("kind")]
        return COMPARISONS[comparison.operator](held, asked)

    # ---------------------------------------------------------------- deltas

    def delta(self, op, row, old, new, subscription, stamp=""):
        names = [k.column for k in subscription.query.sort] + ["id"]
        return pb.LiveDelta(
            op=op,
            agg_id=row["id"],
            version=row["version"],
            row=json.dumps({name: row[name] for name in COLUMNS}).encode(),
            old_index=old,
            new_index=new,
            cursor=cursor(*(row[name] for name in names)),
            stream_id=stamp,
        )

    def publish(self, subscription, agg_id, stamp):
        if not subscription.live:
            return
        if subscription.streamed:
            deltas = self.streamed_change(subscription, agg_id, stamp)
        else:
            before, after = subscription.window, self.select(subscription.query)
            subscription.window = after
            deltas = self.script_of(before, after, agg_id, subscription, stamp)
        if deltas:
            self.send(subscription, deltas)

    def streamed_change(self, subscription, agg_id, stamp):
        row = self.rows.get(agg_id)
        if row is None:
            delta = pb.LiveDelta(op=pb.DELTA_OP_UNMATCH, agg_id=agg_id, stream_id=stamp)
        else:
            delta = self.delta(pb.DELTA_OP_MATCH, row, 0, 0, subscription, stamp)
        return [delta]

    def script_of(self, before, after, agg_id, subscription, stamp):
        def make(op, row, old, new):
            return self.delta(op, row, old, new, subscription, stamp)

        old = {row["id"]: at for at, row in enumerate(before)}
        new = {row["id"]: at for at, row in enumerate(after)}
        deltas = []
        if agg_id in old and agg_id in new:
            was, now = before[old[agg_id]], after[new[agg_id]]
            if was == now:
                return []
            key = self.order(subscription.query)
            op = pb.DELTA_OP_UPDATE if key(was) == key(now) else pb.DELTA_OP_MOVE
            return [make(op, now, old[agg_id], new[agg_id])]
        if agg_id in old:
            deltas.append(make(pb.DELTA_OP_LEAVE, before[old[agg_id]], old[agg_id], -1))
        deltas += [make(pb.DELTA_OP_ENTER, after[new[i]], -1, new[i]) for i in new if i not in old]
        if agg_id in new:
            gone = [i for i in old if i not in new]
            deltas += [make(pb.DELTA_OP_LEAVE, before[old[i]], len(after), -1) for i in gone]
        return deltas

    def snapshot(self, subscription, reason=pb.RESET_REASON_INITIAL, request_id=""):
        rows = subscription.window = self.select(subscription.query)
        enters = [
            self.delta(pb.DELTA_OP_ENTER, row, -1, at, subscription) for at, row in enumerate(rows)
        ]
        subscription.live = False
        self.send(subscription, [reset(reason, len(rows), request_id), *enters], complete=True)
        subscription.live = True

    def send(self, subscription, deltas, *, complete=False):
        for part, last in self.batches(subscription, deltas, complete):
            if part and part[0].op == pb.DELTA_OP_RESET:
                subscription.epoch += 1
            batch = pb.DeltaBatch(deltas=part, snapshot_complete=last)
            if self.numbered:
                batch.epoch, batch.first_seq = subscription.epoch, subscription.seq + 1
            for delta in part:
                subscription.seq += 1
                subscription.sent.append((subscription.epoch, subscription.seq, delta))
            subscription.out.put_nowait(pb.SubscribeResponse(batch=batch))

    def batches(self, subscription, deltas, complete):
        """Return (deltas, complete) pairs to send: where faults in deltas are planted."""
        return [(deltas, complete)]

    def messages(self, subscription, message):
        """Return the messages to send for one: where faults in messages are planted."""
        return [message]

    # ---------------------------------------------------------------- the service

    def judge(self, query):
        if query.entity != "things":
            raise self.refusal(MISSING, "UNKNOWN_ENTITY", "entity")
        self.judge_where(query.where, "where")
        for at, key in enumerate(query.sort):
            if key.column not in COLUMNS:
                raise self.refusal(INVALID, "UNKNOWN_COLUMN", f"sort[{at}].column")
        if query.limit < 1:
            raise self.refusal(INVALID, "BAD_LIMIT", "limit")
        if query.cursor.values and len(query.cursor.values) != len(query.sort) + 1:
            raise self.refusal(INVALID, "BAD_CURSOR", "cursor.values")

    def judge_where(self, where, path):
        for at, condition in enumerate(where):
            if condition.WhichOneof("kind") == "or_group":
                self.judge_where(condition.or_group.conditions, f"{path}[{at}].or")
            elif condition.comparison.column not in COLUMNS:
                raise self.refusal(INVALID, "UNKNOWN_COLUMN", f"{path}[{at}].column")
            elif condition.comparison.operator not in pb.Operator.values():
                raise self.refusal(INVALID, "UNKNOWN_OPERATOR", f"{path}[{at}].op")

    def refusal(self, code, reason, field):
        return Refusal(code, reason=reason, field=field)

    async def Subscribe(self, request, context):  # noqa: N802 - the service says so
        try:
            self.judge(request.query)
        except Refusal as refusal:
            if self.refuses_late:
                yield pb.SubscribeResponse(started=pb.Started(subscription_id=self.name()))
            await context.abort_with_status(refusal.status)
        await self.before_started(request)
        subscription, resumed = self.resumed(request), True
        if subscription is None:
            subscription, resumed = self.subscribe(request), False
        self.subscriptions[subscription.id] = subscription
        try:
            yield self.started(subscription, request, resumed)
            async for message in self.conversation(subscription, request):
                yield message
            if (goodbye := self.goodbye()) is not None:
                await context.abort(*goodbye)
        finally:
            self.gone(subscription)

    def subscribe(self, request):
        subscription = Subscription(self.name(), request.query)
        self.snapshot(subscription)
        return subscription

    def name(self):
        return f"s{next(self.names)}"

    async def before_started(self, request):
        """Do nothing: where delays are planted."""

    def goodbye(self):
        return grpc.StatusCode.UNAVAILABLE, "stopping"

    def gone(self, subscription):
        """Forget a subscription; one that resumes keeps it."""
        self.subscriptions.pop(subscription.id, None)

    def resumed(self, request):
        """Return the subscription that goes on; None for a new one."""
        return

    def started(self, subscription, request, resumed):
        started = pb.Started(
            subscription_id=subscription.id,
            route=b"here",
            effective_query=request.query,
            resumed=resumed,
        )
        if self.promise:
            started.heartbeat_interval.CopyFrom(request.heartbeat_interval)
        return pb.SubscribeResponse(started=started)

    async def conversation(self, subscription, request):
        wish = request.heartbeat_interval or duration_pb2.Duration()
        interval = wish.seconds + wish.nanos / 1e9
        while not self.ending.is_set():
            get = asyncio.ensure_future(subscription.out.get())
            end = asyncio.ensure_future(self.ending.wait())
            try:
                done, _ = await asyncio.wait(
                    [get, end],
                    timeout=interval if self.promise else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                message = get.result() if get in done else None
            finally:
                for task in (get, end):
                    task.cancel()
            if message is None and not self.ending.is_set():
                message = self.heartbeat(subscription)
            if message is not None:
                for each in self.messages(subscription, message):
                    yield each

    def heartbeat(self, subscription):
        beat = pb.Heartbeat(epoch=subscription.epoch, last_seq=subscription.seq)
        return pb.SubscribeResponse(heartbeat=beat)

    async def Reanchor(self, request, context):  # noqa: N802 - the service says so
        try:
            return await self.reanchor(request)
        except Refusal as refusal:
            await context.abort_with_status(refusal.status)

    async def reanchor(self, request):
        subscription = self.subscriptions.get(request.subscription_id)
        if subscription is None:
            raise self.refusal(MISSING, "UNKNOWN_SUBSCRIPTION", "subscription_id")
        query = pb.LiveQuery()
        query.CopyFrom(subscription.query)
        query.cursor.CopyFrom(request.cursor)
        query.limit = request.limit or query.limit
        self.judge(query)
        subscription.query = query
        self.snapshot(subscription, pb.RESET_REASON_REANCHOR, request.request_id)
        return pb.ReanchorResponse(epoch=subscription.epoch, effective_query=query)


class ResumingTier(ModelTier):
    """One that goes on where a lost call was left."""

    def __init__(self):
        super().__init__()
        self.kept = {}

    def gone(self, subscription):
        # Still in `subscriptions`: what changes goes on being appended.
        self.kept[subscription.id] = subscription

    def resumed(self, request):
        offer = request.resume
        subscription = self.kept.get(offer.subscription_id)
        if subscription is None or not self.grants(subscription, request, offer):
            return None
        self.kept.pop(subscription.id)
        subscription.out = asyncio.Queue()
        first = offer.seq + 1
        rest = [delta for _, number, delta in subscription.sent if number >= first]
        if rest:
            batch = pb.DeltaBatch(epoch=offer.epoch, first_seq=first, deltas=rest)
            subscription.out.put_nowait(pb.SubscribeResponse(batch=batch))
        return subscription

    def grants(self, subscription, request, offer):
        return (
            subscription.query == request.query
            and subscription.epoch == offer.epoch
            and offer.seq <= subscription.seq
        )
