"""Faults to plant in the model tier: one class each, with the rule that must find it."""

import asyncio
import contextlib
import math
from dataclasses import dataclass, field

import grpc
from hyperframe.frame import GoAwayFrame
from model_tier import INVALID, ModelTier, Refusal, ResumingTier, Subscription

from livequery.v1 import livequery_pb2 as pb
from scripted_tier import value

FAULTS = []
ENTER, LEAVE, MOVE, UPDATE, RESET = (
    pb.DELTA_OP_ENTER,
    pb.DELTA_OP_LEAVE,
    pb.DELTA_OP_MOVE,
    pb.DELTA_OP_UPDATE,
    pb.DELTA_OP_RESET,
)


@dataclass
class Fault:
    """`rule` must be found; `also` may be found beside it, because it follows from it."""

    tier: type
    rule: str
    also: tuple[str, ...] = ()
    times: dict = field(default_factory=dict)

    @property
    def name(self):
        return self.tier.__name__


def plant(rule, *, also=(), **times):
    def decorate(tier):
        FAULTS.append(Fault(tier, rule, also, times))
        return tier

    return decorate


def snapshot_of(deltas):
    return deltas and deltas[0].op == RESET


class Deltas(ModelTier):
    """`spoil(deltas)` changes a snapshot's or a change's deltas in place, before numbering."""

    def batches(self, subscription, deltas, complete):
        deltas = list(deltas)
        if snapshot_of(deltas):
            self.spoil_snapshot(deltas)
        elif not subscription.streamed:
            self.spoil_change(deltas)
        return [(deltas, complete)]

    def spoil_snapshot(self, deltas):
        pass

    def spoil_change(self, deltas):
        pass


class Messages(ModelTier):
    """`spoil(subscription, message)` changes a message in place, behind numbering."""

    def messages(self, subscription, message):
        self.spoil(subscription, message)
        return [message]


# ---------------------------------------------------------------- the service


@plant("service")
class NoService(ModelTier):
    served = False


@plant("compression")
class Gzip(ModelTier):
    compression = grpc.Compression.Gzip


@plant("message-size")
class HugeRow(ModelTier):
    def batches(self, subscription, deltas, complete):
        if complete and subscription.id == "s4":  # one is enough
            deltas[-1].row = b'"%b"' % (b"x" * (4 << 20))
        return [(deltas, complete)]


@plant("message-kind")
class EmptyMessage(ModelTier):
    def messages(self, subscription, message):
        return [message, pb.SubscribeResponse()]


# ---------------------------------------------------------------- started


@plant("started-first")
class BatchBeforeStarted(ModelTier):
    def started(self, subscription, request, resumed):
        subscription.state["held"] = super().started(subscription, request, resumed)
        return subscription.out.get_nowait()

    async def conversation(self, subscription, request):
        yield subscription.state["held"]
        async for message in super().conversation(subscription, request):
            yield message


@plant("started-once")
class StartedTwice(ModelTier):
    def messages(self, subscription, message):
        again = pb.SubscribeResponse(started=pb.Started(subscription_id=subscription.id))
        return [again, message]


@plant("started-time", started=0.3)
class StartedNever(ModelTier):
    async def before_started(self, request):
        await asyncio.sleep(60)


@plant("subscription-id")
class NoSubscriptionId(ModelTier):
    # Its calls are known by another name than the one it says.
    def started(self, subscription, request, resumed):
        message = super().started(subscription, request, resumed)
        message.started.subscription_id = ""
        return message

    async def reanchor(self, request):
        raise Refusal(grpc.StatusCode.UNIMPLEMENTED)


@plant("subscription-id-unique")
class SameSubscriptionId(ModelTier):
    def started(self, subscription, request, resumed):
        message = super().started(subscription, request, resumed)
        message.started.subscription_id = "the-one"
        return message

    async def reanchor(self, request):
        raise Refusal(grpc.StatusCode.UNIMPLEMENTED)


@plant("resumed-unasked")
class ResumedUnasked(ModelTier):
    def started(self, subscription, request, resumed):
        return super().started(subscription, request, not request.HasField("resume"))


@plant("effective-query")
class LargerLimit(ModelTier):
    def started(self, subscription, request, resumed):
        message = super().started(subscription, request, resumed)
        message.started.effective_query.limit += 1
        return message


# ---------------------------------------------------------------- snapshots


@plant("snapshot-reset")
class NoReset(Deltas):
    numbered = False

    def spoil_snapshot(self, deltas):
        if deltas[0].reset.reason != pb.RESET_REASON_REANCHOR:
            del deltas[0]


@plant("snapshot-enters")
class UpdateInSnapshot(Deltas):
    def spoil_snapshot(self, deltas):
        last = deltas[-1]
        if last.op == ENTER and last.old_index == -1:
            extra = pb.LiveDelta()
            extra.CopyFrom(last)
            extra.op = UPDATE
            deltas.append(extra)
            deltas[0].reset.ClearField("row_count")


@plant("snapshot-indexes", also=("streamed-indexes",))
class IndexesFromOne(Deltas):
    def spoil_snapshot(self, deltas):
        for delta in deltas[1:]:
            delta.new_index += 1


@plant("snapshot-complete", snapshot=0.3)
class NeverComplete(ModelTier):
    def batches(self, subscription, deltas, complete):
        return [(deltas, False)]


@plant("complete-misplaced")
class AlwaysComplete(ModelTier):
    def batches(self, subscription, deltas, complete):
        return [(deltas, True)]


@plant("snapshot-limit")
class RowTooMany(ModelTier):
    def select(self, query):
        wider = pb.LiveQuery()
        wider.CopyFrom(query)
        wider.limit += 1
        return super().select(wider)


@plant("row-count")
class WrongRowCount(Deltas):
    def spoil_snapshot(self, deltas):
        deltas[0].reset.row_count += 1


@plant("row-id")
class RowWithoutId(Deltas):
    def spoil_snapshot(self, deltas):
        deltas[-1].agg_id = ""


@plant("row-id-unique", also=("row-count",))
class SameIdTwice(Deltas):
    def spoil_snapshot(self, deltas):
        deltas[-1].agg_id = deltas[1].agg_id


@plant("row-json")
class NaNInRow(Deltas):
    def spoil_snapshot(self, deltas):
        deltas[-1].row = b'{"n":NaN}'


@plant("row-json")
class RowInLatin1(Deltas):
    def spoil_change(self, deltas):
        deltas[0].row = '{"label":"größer"}'.encode("latin-1")


@plant("cursor-arity")
class CursorWithoutId(Deltas):
    def spoil_snapshot(self, deltas):
        for delta in deltas[1:]:
            del delta.cursor.values[-1]


@plant("cursor-values")
class InfiniteCursor(Deltas):
    def spoil_snapshot(self, deltas):
        deltas[-1].cursor.values[0].CopyFrom(value(math.inf))


@plant("sort-order")
class Unsorted(ModelTier):
    def select(self, query):
        return super().select(query)[::-1]


@plant("snapshot-stream-id")
class StreamIdInSnapshot(Deltas):
    def spoil_snapshot(self, deltas):
        for delta in deltas[1:]:
            delta.stream_id = "1-1"


# ---------------------------------------------------------------- changes


@plant("delta-op")
class MatchInMaintained(Deltas):
    def spoil_change(self, deltas):
        if deltas[0].op == UPDATE:
            deltas[0].op = pb.DELTA_OP_MATCH


@plant("delta-id")
class LeaveOfStranger(Deltas):
    def spoil_change(self, deltas):
        if deltas[0].op == LEAVE:
            deltas[0].agg_id = "stranger"


@plant("delta-id")
class EnterAgain(Deltas):
    def spoil_change(self, deltas):
        if deltas[0].op == UPDATE:
            deltas[0].op, deltas[0].old_index = ENTER, -1


@plant("delta-index")
class IndexesOfTheWindowBefore(Deltas):
    def spoil_change(self, deltas):
        if deltas[0].op == ENTER and len(deltas) > 1:
            deltas[1].old_index -= 1


@plant("delta-index", also=("sort-order",))
class MoveBeyondTheEnd(Deltas):
    def spoil_change(self, deltas):
        if deltas[0].op == MOVE:
            deltas[0].new_index = 5


@plant("group-whole")
class ForgottenLeave(Deltas):
    def spoil_change(self, deltas):
        if deltas[0].op == ENTER:
            del deltas[1:]


@plant("group-whole")
class ChangeInTwoBatches(ModelTier):
    def batches(self, subscription, deltas, complete):
        if snapshot_of(deltas):
            return [(deltas, complete)]
        return [([delta], False) for delta in deltas]


@plant("stream-id")
class StreamIdWithNewline(Deltas):
    def spoil_change(self, deltas):
        for delta in deltas:
            delta.stream_id += "\n"


@plant("stream-id")
class StreamIdUsedAgain(Deltas):
    def batches(self, subscription, deltas, complete):
        made = super().batches(subscription, deltas, complete)
        if not snapshot_of(deltas):
            subscription.state["turn"] = subscription.state.get("turn", 0) + 1
            for delta in made[0][0]:
                delta.stream_id = f"{subscription.state['turn'] % 2}-0"
        return made


@plant("version")
class VersionGoesBack(Deltas):
    def spoil_change(self, deltas):
        for delta in deltas:
            if delta.op in (UPDATE, MOVE):
                delta.version = 1


@plant("window-kept", also=("slow-reader",))
class LostUpdate(ModelTier):
    def batches(self, subscription, deltas, complete):
        lost = not snapshot_of(deltas) and deltas[0].op == UPDATE
        return [] if lost else [(deltas, complete)]


@plant("window-kept", also=("slow-reader",))
class StaleRowInUpdate(Deltas):
    def spoil_change(self, deltas):
        for delta in deltas:
            if delta.op == UPDATE:
                delta.row = b'{"id":"t1","n":-1,"label":"of another time"}'


@plant("reset-first")
class ResetInMidBatch(ModelTier):
    numbered = False

    def batches(self, subscription, deltas, complete):
        if not snapshot_of(deltas) or deltas[0].reset.reason != pb.RESET_REASON_REANCHOR:
            return [(deltas, complete)]
        first = pb.LiveDelta(op=LEAVE, agg_id="t0", old_index=0, new_index=-1)
        return [([first, *deltas], complete)]


@plant("reset-bare")
class BareResets(ModelTier):
    def batches(self, subscription, deltas, complete):
        if snapshot_of(deltas) or subscription.streamed or deltas[0].op != MOVE:
            return [(deltas, complete)]
        bare = pb.LiveDelta(
            op=RESET, reset=pb.ResetInfo(reason=pb.RESET_REASON_OVERFLOW, bare=True)
        )
        return [([bare], False)]


# ---------------------------------------------------------------- numbers


@plant("epoch")
class EpochTooLow(Messages):
    def spoil(self, subscription, message):
        batch = message.batch
        if batch.deltas and batch.deltas[0].op != RESET:
            batch.epoch -= 1

    def subscribe(self, request):
        subscription = Subscription(self.name(), request.query)
        subscription.epoch = 4
        self.snapshot(subscription)
        return subscription


@plant("epoch")
class EpochWithoutReset(Messages):
    def spoil(self, subscription, message):
        if message.batch.deltas and message.batch.deltas[0].op != RESET:
            subscription.state["more"] = more = subscription.state.get("more", 0) + 1
            message.batch.epoch += more


@plant("epoch", also=("reanchor-epoch",))
class EpochStaysAtReset(Messages):
    def spoil(self, subscription, message):
        if message.batch.deltas:
            message.batch.epoch = 1


@plant("first-seq")
class SeqCountsBatches(Messages):
    def spoil(self, subscription, message):
        if message.batch.deltas:
            subscription.state["batches"] = count = subscription.state.get("batches", 0) + 1
            message.batch.first_seq = count


@plant("first-seq")
class SeqHasGap(Messages):
    def spoil(self, subscription, message):
        if message.batch.deltas and message.batch.deltas[0].op == UPDATE:
            subscription.state["gap"] = 1
        if message.batch.deltas:
            message.batch.first_seq += subscription.state.get("gap", 0)


@plant("first-seq")
class SeqNotFromOne(Messages):
    def spoil(self, subscription, message):
        if message.batch.deltas:
            message.batch.first_seq += 6


@plant("heartbeat-position", heartbeat_wish=0.2)
class HeartbeatAhead(ModelTier):
    promise = True

    def heartbeat(self, subscription):
        message = super().heartbeat(subscription)
        message.heartbeat.last_seq += 1
        return message


@plant("heartbeat-time", heartbeat_wish=0.1)
class PromiseWithoutHeartbeats(ModelTier):
    def started(self, subscription, request, resumed):
        message = super().started(subscription, request, resumed)
        message.started.heartbeat_interval.CopyFrom(request.heartbeat_interval)
        return message


@plant("stays-open")
class EndsWithOk(ModelTier):
    async def conversation(self, subscription, request):
        count = 0
        async for message in super().conversation(subscription, request):
            yield message
            count += 1
            if count == 4:
                return

    def goodbye(self):
        return None


# ---------------------------------------------------------------- refusals


class Refusing(ModelTier):
    """`forgive` says which fields' refusals are forgotten."""

    forgive = ()

    def judge(self, query):
        try:
            super().judge(query)
        except Refusal as refusal:
            if refusal.field not in self.forgive:
                raise


@plant("status-entity")
class UnknownEntityServed(Refusing):
    forgive = ("entity",)


@plant("status-column")
class UnknownColumnIsUnknown(ModelTier):
    def refusal(self, code, reason, field):
        if reason == "UNKNOWN_COLUMN":
            code = grpc.StatusCode.UNKNOWN
        return super().refusal(code, reason, field)


@plant("status-operator")
class UnknownOperatorServed(Refusing):
    forgive = ("where[0].op",)


@plant("status-cursor", also=("reanchor-refuses",))
class LongCursorIsInternal(ModelTier):
    def refusal(self, code, reason, field):
        if reason == "BAD_CURSOR":
            code = grpc.StatusCode.INTERNAL
        return super().refusal(code, reason, field)


@plant("status-limit")
class NoLimitIsEmptyWindow(Refusing):
    forgive = ("limit",)


@plant("status-first")
class StartedThenRefused(ModelTier):
    refuses_late = True


@plant("error-domain")
class OtherDomain(ModelTier):
    def refusal(self, code, reason, field):
        return Refusal(code, reason=reason, field=field, domain="example.com")


@plant("error-field")
class WrongField(ModelTier):
    def refusal(self, code, reason, field):
        return super().refusal(code, reason, "query")


@plant("error-details")
class NoDetails(ModelTier):
    def refusal(self, code, reason, field):
        return Refusal(code)


# ---------------------------------------------------------------- cursors


@plant("cursor-round-trip", also=("paging", "number-kinds", "reanchor-window"))
class AnchorIncluded(ModelTier):
    def after(self, row, anchor):
        return row >= anchor


@plant("paging", also=("cursor-round-trip", "number-kinds", "reanchor-window"))
class AnchorWithoutId(ModelTier):
    # Rows with the anchor's sort key are skipped.
    def __init__(self):
        super().__init__()
        for agg_id in self.rows:
            self.put(agg_id, n=int(agg_id[1:]) // 3)

    def after(self, row, anchor):
        return row[:-1] > anchor[:-1]


@plant("number-kinds")
class NumbersByKind(ModelTier):
    def select(self, query):
        if query.cursor.values and query.cursor.values[0].WhichOneof("kind") == "double_value":
            return []
        return super().select(query)


# ---------------------------------------------------------------- many streams


@plant("parallel", started=1.0, snapshot=1.0)
class FewAtATime(ModelTier):
    def __init__(self):
        super().__init__()
        self.places = asyncio.Semaphore(7)

    async def before_started(self, request):
        await self.places.acquire()

    def gone(self, subscription):
        super().gone(subscription)
        self.places.release()


@plant("cancel-frees")
class PlacesNeverGivenBack(ModelTier):
    def __init__(self):
        super().__init__()
        self.places = 44

    def judge(self, query):
        super().judge(query)
        self.places -= 1
        if self.places < 0:
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED)


@plant("slow-reader", also=("stays-open",))
class SlowReaderLosesBatches(ModelTier):
    """What was put off by flow control is thrown away."""

    async def conversation(self, subscription, request):
        first = True
        async for message in super().conversation(subscription, request):
            yield message
            if first and subscription.out.qsize() >= 2:
                while not subscription.out.empty():
                    subscription.seq -= len(subscription.out.get_nowait().batch.deltas)
            first = False


@plant("neighbours", also=("slow-reader", "window-kept"), started=0.7, snapshot=0.7)
class OneWriterForAll(ModelTier):
    """A reader that does not read holds up everybody."""

    def __init__(self):
        super().__init__()
        self.writer = asyncio.Lock()

    async def conversation(self, subscription, request):
        async for message in super().conversation(subscription, request):
            async with self.writer:
                yield message


# ---------------------------------------------------------------- Reanchor


@plant("reanchor")
class ReanchorFails(ModelTier):
    async def reanchor(self, request):
        raise Refusal(grpc.StatusCode.INTERNAL)


@plant("reanchor-reset")
class ReanchorWithoutReason(Deltas):
    def spoil_snapshot(self, deltas):
        deltas[0].reset.reason = pb.RESET_REASON_FAILOVER


@plant("reanchor-epoch")
class ReanchorOfOtherEpoch(ModelTier):
    async def reanchor(self, request):
        response = await super().reanchor(request)
        response.epoch += 1
        return response


@plant("reanchor-window")
class ReanchorStaysAtHead(ModelTier):
    async def reanchor(self, request):
        if len(request.cursor.values) < 3:
            request.ClearField("cursor")
        return await super().reanchor(request)


@plant("reanchor-refuses")
class ReanchorTakesAnyCursor(ModelTier):
    async def reanchor(self, request):
        if len(request.cursor.values) > 2:
            return pb.ReanchorResponse()
        return await super().reanchor(request)


@plant("reanchor-unknown")
class ReanchorOfNothing(ModelTier):
    async def reanchor(self, request):
        if request.subscription_id not in self.subscriptions:
            raise Refusal(INVALID)
        return await super().reanchor(request)


# ---------------------------------------------------------------- resume


@plant("resume-honest")
class ResumedWithHole(ResumingTier):
    def resumed(self, request):
        subscription = super().resumed(request)
        if subscription is not None and not subscription.out.empty():
            batch = subscription.out.get_nowait()
            subscription.seq -= len(batch.batch.deltas)
        return subscription


@plant("resume-id")
class ResumedUnderOtherId(ResumingTier):
    def started(self, subscription, request, resumed):
        message = super().started(subscription, request, resumed)
        if resumed:
            message.started.subscription_id += "-again"
        return message


@plant("resume-numbers")
class ResumedFromOne(ResumingTier):
    def resumed(self, request):
        subscription = super().resumed(request)
        if subscription is not None and not subscription.out.empty():
            message = subscription.out.get_nowait()
            message.batch.first_seq, subscription.seq = 1, len(message.batch.deltas)
            subscription.out.put_nowait(message)
        return subscription


@plant("resume-unknown")
class ResumesAnything(ResumingTier):
    def resumed(self, request):
        subscription = super().resumed(request)
        if subscription is None and request.HasField("resume") and request.query.limit == 5:
            subscription = Subscription(request.resume.subscription_id, request.query)
        return subscription


@plant("resume-query")
class ResumesOtherQuery(ResumingTier):
    def grants(self, subscription, request, offer):
        return subscription.epoch == offer.epoch and offer.seq <= subscription.seq


# ---------------------------------------------------------------- the rest


@plant("streamed-page")
class StreamedIsInternal(ModelTier):
    def judge(self, query):
        super().judge(query)
        if query.mode == pb.MODE_STREAMED:
            raise Refusal(grpc.StatusCode.INTERNAL)


@plant("streamed-indexes")
class StreamedPageWithoutIndexes(ModelTier):
    def batches(self, subscription, deltas, complete):
        if subscription.streamed and snapshot_of(deltas):
            for delta in deltas:
                delta.old_index = delta.new_index = 0
        return super().batches(subscription, deltas, complete)


PING = b"\0\0\x08\x06\0\0\0\0\0livequer"


class Relayed(ModelTier):
    """Behind a relay that answers a PING of the bridge's kind with `last_words`, and closes."""

    last_words = b""

    async def start(self, *where, **more):
        await super().start(*where, **more)
        host, port = self.address.split(":")
        tasks = self.relaying = set()

        async def carry(reader, writer, *, spoil=None):
            with contextlib.suppress(OSError):
                while data := await reader.read(65_536):
                    if spoil is not None and PING in data:
                        spoil.write(self.last_words)
                        await spoil.drain()
                        break
                    writer.write(data)
            writer.close()
            if spoil is not None:
                spoil.close()

        async def relay(reader, writer):
            tasks.add(asyncio.current_task())
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(carry(reader, up_writer, spoil=writer), carry(up_reader, writer))

        self.relay = await asyncio.start_server(relay, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self.relay.sockets[0].getsockname()[1]}"
        return self

    async def stop(self):
        self.relay.close()
        await super().stop()
        if self.relaying:
            await asyncio.wait(self.relaying, timeout=5)


def goaway(error, data=b""):
    return GoAwayFrame(
        0, last_stream_id=2**31 - 1, error_code=error, additional_data=data
    ).serialize()


@plant("pings", ping=0.02)
class PunishesPings(Relayed):
    last_words = goaway(11, b"too_many_pings")


@plant("goaway", ping=0.02)
class AgesWithoutAStatus(Relayed):
    """Its connections age, and it closes them with the streams that are on them."""

    last_words = goaway(0)


@plant("describe")
class DescribesOthers(ModelTier):
    def __init__(self):
        super().__init__()
        self.describes = b"\x0a\x06\x0a\x04cars"  # one entity, "cars"


@plant("described-rows")
class DescribesOtherTypes(ModelTier):
    def __init__(self):
        super().__init__()
        column = pb.Column(name="n", type=pb.COLUMN_TYPE_STRING)
        entity = pb.Entity(name="things", columns=[column])
        self.describes = pb.DescribeResponse(entities=[entity]).SerializeToString()


@plant("graceful-end")
class StopsWithInternal(ModelTier):
    def goodbye(self):
        return grpc.StatusCode.INTERNAL, "interrupted"
