"""Faults that a careful author makes: most windows are right, and some are not for long."""

import asyncio

from model_tier import ModelTier, ResumingTier
from planted_faults import ENTER, LEAVE, UPDATE, Deltas, plant, snapshot_of

from livequery.v1 import livequery_pb2 as pb

# ---------------------------------------------------------------- between snapshot and deltas


@plant(
    "opening", also=("window-kept", "reanchor-window", "slow-reader", "sort-order", "streamed-kept")
)
class ListensAfterReading(ModelTier):
    """The window is read first, and changes are listened for a moment later.

    But for the first stream: what is seen of it is enough to know the others by.
    """

    def snapshot(self, subscription, reason=pb.RESET_REASON_INITIAL, request_id=""):
        super().snapshot(subscription, reason, request_id)
        if self.subscriptions:
            subscription.live = False
            loop = asyncio.get_running_loop()
            loop.call_later(0.3, setattr, subscription, "live", True)

    async def change(self):
        await asyncio.sleep(0.03)  # a machine that is busy has opened a stream by then
        await super().change()


# ---------------------------------------------------------------- deltas that say less


@plant("window-kept", also=("slow-reader", "reanchor-window", "resume-honest"))
class UpdateWithoutRow(Deltas):
    def spoil_change(self, deltas):
        for delta in deltas:
            if delta.op == UPDATE:
                delta.row = b""


@plant("window-kept", also=("slow-reader", "reanchor-window", "resume-honest"))
class CursorOfAnotherColumn(Deltas):
    """A row that was updated carries a cursor that leads elsewhere."""

    def spoil_change(self, deltas):
        for delta in deltas:
            if delta.op == UPDATE:
                delta.cursor.values[0].int_value += 1


@plant("delta-id", also=("window-kept", "slow-reader", "reanchor-window", "resume-honest"))
class NobodyIsPromoted(Deltas):
    """What leaves leaves a hole: the next row is not brought in."""

    def spoil_change(self, deltas):
        if deltas[0].op == LEAVE:
            del deltas[1:]


@plant(
    "delta-index",
    also=(
        "delta-id",
        "window-kept",
        "slow-reader",
        "reanchor-window",
        "streamed-kept",
        "sort-order",
    ),
)
class BurstsAreMerged(ModelTier):
    """Of changes that follow each other at once, the last one alone is told."""

    def send(self, subscription, deltas, *, complete=False):
        loop = asyncio.get_running_loop()
        last, subscription.state["at"] = subscription.state.get("at", 0), loop.time()
        if not snapshot_of(deltas) and loop.time() - last < 0.01:
            return
        super().send(subscription, deltas, complete=complete)


@plant("window-kept", also=("slow-reader", "reanchor-window", "resume-honest"))
class ClosingOneClosesAll(ModelTier):
    """Equal queries share their changes; the first that is cancelled takes them from the others."""

    def gone(self, subscription):
        super().gone(subscription)
        for other in self.subscriptions.values():
            if other.query == subscription.query:
                other.live = False


# ---------------------------------------------------------------- queries


@plant("where")
class ConditionsAreIgnored(ModelTier):
    def matches(self, row, where):
        return True


@plant("where")
class OnlyTheFirstOfAList(ModelTier):
    def holds(self, row, condition):
        comparison = condition.comparison
        if comparison.operator == pb.OPERATOR_IN:
            del comparison.list.values[1:]
        return super().holds(row, condition)


@plant("where")
class OrIsAnd(ModelTier):
    def holds(self, row, condition):
        if condition.WhichOneof("kind") == "or_group":
            return all(self.holds(row, each) for each in condition.or_group.conditions)
        return super().holds(row, condition)


@plant("where")
class AtMostIsBelow(ModelTier):
    def holds(self, row, condition):
        if condition.comparison.operator == pb.OPERATOR_LTE:
            condition.comparison.operator = pb.OPERATOR_LT
        return super().holds(row, condition)


@plant("paging", also=("reanchor-window", "streamed-kept"))
class SmallerLimitInSecret(ModelTier):
    """It caps the limit, and does not say so."""

    def select(self, query):
        capped = pb.LiveQuery()
        capped.CopyFrom(query)
        capped.limit = min(query.limit, 4)
        return super().select(capped)


# ---------------------------------------------------------------- Reanchor, resume, streamed mode


@plant("reanchor-window", also=("reanchor-refuses",))
class FrozenOnceMoved(ModelTier):
    async def reanchor(self, request):
        response = await super().reanchor(request)
        self.subscriptions[request.subscription_id].live = False
        return response


@plant("delta-id", also=("delta-index", "reanchor-window", "reanchor-refuses"))
class MovedBackByTheNextChange(ModelTier):
    """The snapshot is of the new anchor, changes are of the old one."""

    async def reanchor(self, request):
        subscription = self.subscriptions.get(request.subscription_id)
        before = pb.LiveQuery()
        if subscription is not None:
            before.CopyFrom(subscription.query)
        response = await super().reanchor(request)
        subscription.query.limit = before.limit
        return response


@plant("snapshot-limit", also=("reanchor-window",))
class ReanchorKeepsTheLimit(ModelTier):
    async def reanchor(self, request):
        if len(request.cursor.values) < 3:
            request.limit = 0
        return await super().reanchor(request)


@plant("resume-numbers", also=("resume-honest", "delta-id", "delta-index", "first-seq"))
class ResumedWithTheLastAgain(ResumingTier):
    """It goes on at the position, the last delta before it included."""

    def resumed(self, request):
        if request.resume.seq:
            request.resume.seq -= 1
        return super().resumed(request)


@plant("streamed-kept")
class NeverUnmatched(ModelTier):
    """What was deleted stays in streamed sets."""

    def streamed_change(self, subscription, agg_id, stamp):
        if agg_id not in self.rows:
            return []
        return super().streamed_change(subscription, agg_id, stamp)


@plant("streamed-kept")
class MatchOfTheRowBefore(ModelTier):
    def streamed_change(self, subscription, agg_id, stamp):
        deltas = super().streamed_change(subscription, agg_id, stamp)
        for delta in deltas:
            if delta.op != pb.DELTA_OP_UNMATCH:
                delta.row = b'{"id":"%b","n":-1,"label":"before"}' % agg_id.encode()
        return deltas


# ---------------------------------------------------------------- order


@plant(
    "delta-index",
    also=(
        "cursor-round-trip",
        "sort-order",
        "paging",
        "number-kinds",
        "reanchor-window",
        "window-kept",
        "opening",
        "where",
        "slow-reader",
    ),
)
class TiesInAnyOrder(ModelTier):
    """Rows with equal sort keys come in another order at every read."""

    def __init__(self):
        super().__init__()
        for agg_id in self.rows:
            self.put(agg_id, n=int(agg_id[1:]) // 4)
        self.reads = 0

    def select(self, query):
        self.reads += 1
        rows = super().select(query)
        if self.reads % 2 and len(rows) > 2 and not query.cursor.values:
            rows[1], rows[2] = rows[2], rows[1]
        return rows


@plant("sort-order", also=("delta-index",))
class EnterOneTooFar(Deltas):
    def spoil_change(self, deltas):
        if deltas[0].op == ENTER and deltas[0].new_index == 0:
            deltas[0].new_index = 1
