"""Judges a stream's numbers: epochs, sequences, heartbeats' positions. Pure."""

from livequery.v1 import livequery_pb2 as pb

from . import rules
from .ledger import Ledger


class NumberingJudge:
    """Follows `epoch` and `first_seq` of one stream.

    Either may be 0 throughout: the tier does not number then. With `after`, the stream goes on at
    that position.
    """

    def __init__(self, ledger: Ledger, after: pb.ResumePosition | None = None) -> None:
        self._ledger = ledger
        self._resumed = after is not None
        self._first = True
        self._batches = 0
        self.epoch = after.epoch if after else 0
        self.next_seq = after.seq + 1 if after else 1
        self.numbered = self._resumed
        self._waiting = False

    @property
    def seq(self) -> int:
        """The number of the last delta; 0 where the tier does not number."""
        return self.next_seq - 1 if self.numbered else 0

    def batch(self, batch: pb.DeltaBatch, *, snapshot: bool) -> None:
        """Judge a batch; `snapshot` says whether one was under way when it came."""
        if not batch.deltas:
            return
        self._judge_epoch(batch, snapshot=snapshot)
        self._judge_seq(batch)
        self._first = False
        self._batches += 1

    def heartbeat(self, beat: pb.Heartbeat) -> None:
        """Judge a heartbeat's position against what has come."""
        if beat.last_seq and self.numbered:
            self._ledger.check(
                rules.HEARTBEAT_POSITION,
                beat.last_seq < self.next_seq,
                f"last_seq of at most {self.seq}, the last delta sent",
                f"last_seq {beat.last_seq}",
            )
        if beat.epoch and self.epoch:
            self._ledger.check(
                rules.HEARTBEAT_POSITION,
                beat.epoch == self.epoch,
                f"epoch {self.epoch}",
                f"epoch {beat.epoch}",
            )

    def _judge_epoch(self, batch: pb.DeltaBatch, *, snapshot: bool) -> None:
        begins = batch.deltas[0].op == pb.DELTA_OP_RESET
        if self._first and not self._resumed:
            self.epoch = batch.epoch
            if batch.epoch:
                self._ledger.ok(rules.EPOCH)
            return
        if not self.epoch and not batch.epoch:
            return
        expected = self.epoch + 1 if begins else self.epoch
        what = f"epoch {expected}" + (" at a reset" if begins else "")
        late = not begins and snapshot and 0 < batch.epoch < self.epoch
        if not late:  # deltas from before a reset may still arrive while its snapshot does
            self._ledger.check(rules.EPOCH, batch.epoch == expected, what, f"epoch {batch.epoch}")
        self.epoch = max(self.epoch, batch.epoch)

    def _judge_seq(self, batch: pb.DeltaBatch) -> None:
        if self._first and not self._resumed:
            self.numbered = batch.first_seq > 0
        elif not self.numbered and not batch.first_seq:
            return
        if self.numbered or batch.first_seq:
            hint = ""
            if self._batches > 0 and batch.first_seq == self._batches + 1:
                hint = " (does it count batches?)"
            rule = rules.RESUME_NUMBERS if self._resumed and self._first else rules.FIRST_SEQ
            self._ledger.check(
                rule,
                batch.first_seq == self.next_seq,
                f"first_seq {self.next_seq}",
                f"first_seq {batch.first_seq}{hint}",
            )
            self.next_seq = batch.first_seq + len(batch.deltas)
