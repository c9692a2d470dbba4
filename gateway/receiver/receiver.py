"""The far side of a channel: believes only what chains, and settles only what a signed checkpoint covers.

A receiver needs the log's public keys and nothing else. Every message goes through the same questions:

1.  Is it a message (``gateway/channel.py``), of this log, and are its entries entries (``gateway/log/entry.py``) that
    carry the seqs they should and chain among themselves? If not, nothing of it is taken: *malformed*,
    *wrong-origin*, *bad-chain*.
2.  Entries below the settled size are compared with what was settled: the same bytes are a *duplicate*, others are a
    *fork*, and none of the entries is taken.
3.  Entries above must chain to an entry that is held. If they begin beyond the last one: *gap*. If they chain to
    another entry than the one held: *fork*, not taken. If they differ from pending ones: *fork*, and both are kept.
4.  The checkpoint, and that of the retained topic: *malformed*, *wrong-origin*, *bad-signature*. The keys are those
    valid at its position: rotations in the log are followed (``gateway/receiver/keys.py``).
5.  The checkpoint's root against the tree over the entries. The branch with that root is settled up to the
    checkpoint's size. If entries reach that size and none has the root: *fork* (other entries were signed than
    were received), or *bad-root* without keys; entries of the same message are then not taken. A checkpoint of a
    settled size is compared as well; two signed roots for one size are a *fork*. A checkpoint above all entries
    waits for them. One so old that its tree is not known any more (only without a store) is an *old-checkpoint*.

So what is settled has been signed by every key, and nothing unsettles it. After a finding the receiver goes on: what
was refused is taken when it comes again as it should be. When the bounds of ``gateway/receiver/branches.py`` are
reached, further pending entries are refused: *full*.

Behind a gap entries are followed, but only by their chain: without the entries before there is no tree, so they
are not stored, and no checkpoint can settle them before the gap is filled. ``missing`` says what to ask for.

Without keys everything but the signatures is checked; that shows mistakes, not fraud. Nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.channel import Message, decode_message
from gateway.errors import MalformedError, TamperError
from gateway.log.entry import NO_PREV, parse
from gateway.log.note import VerifierKey
from gateway.log.policy import Policy
from gateway.log.tree import Frontier
from gateway.log.witnessing import Witnessed
from gateway.receiver.branches import Branches
from gateway.receiver.claimed import ClaimedGenesis
from gateway.receiver.judge import Judge
from gateway.receiver.keys import Keys
from gateway.receiver.loose import Loose
from gateway.receiver.notes import Notes
from gateway.receiver.run import (
    Accepted,
    Finding,
    Missing,
    Outcome,
    RefusedError,
    Run,
    another_log,
    check_genesis,
    check_run,
    span,
)
from gateway.receiver.settled import Settled
from gateway.receiver.store import ReceiverStore


class Receiver:
    """One channel's far side. Call ``commit`` before a message counts as received.

    *origin* is the log to follow; by default the name of the first key, of the log in the store, or what the channel
    says first. *statements* are key statements. Raises ConfigError for another log's store, TamperError for a changed.
    """

    def __init__(
        self,
        *,
        keys: Sequence[VerifierKey] = (),
        origin: str | None = None,
        store: ReceiverStore | None = None,
        policy: Policy | None = None,
        statements: Sequence[bytes] = (),
    ) -> None:
        self.origin = origin or (keys[0].name if keys else None)
        #: What the retained genesis entry says: nothing to rely on.
        self.claimed = ClaimedGenesis()
        #: Behind the last pending entry that somebody contradicted; below the settled size it no longer counts.
        self._doubted = 0
        self._store = store
        if store is not None:
            self.origin = self.origin or store.origin
            if self.origin is not None:
                store.begin(self.origin)
        self._settled = Settled(store)
        self._branches = Branches(*_edge(store))
        quorum = policy.key_quorum if policy else None
        self._keys = Keys(keys, self.origin, self._branches, statements, quorum)
        self._notes = Notes(self._keys, policy)
        fork = "fork" if keys else "bad-root"
        self._decide = Judge(self._branches, self._notes, self._settled, self._keys, fork=fork)
        self._loose = Loose()
        self._restore()

    @property
    def size(self) -> int:
        """Entries held without a hole from 0 on, settled or pending."""
        return self._branches.size

    @property
    def settled(self) -> int:
        """Entries that a signed checkpoint covers."""
        return self._branches.settled

    @property
    def verified(self) -> int:
        """Size of the newest checkpoint that fits the entries."""
        return self._decide.verified

    @property
    def missing(self) -> Missing | None:
        """Entries that were named by a message or a checkpoint, and are not held; or all that is in dispute."""
        settled, end = self.settled, max(self._loose.end, self._notes.farthest)
        if max(self._decide.disputed, self._doubted) > settled:
            # Something pending may be false: only a new copy of all that is pending can tell.
            return Missing(from_seq=settled, to_seq=max(self._decide.disputed, self._doubted, end))
        end = end if end > self.size else self._notes.hinted
        return Missing(from_seq=self.size, to_seq=end) if end > self.size else None

    def witnessed(self, now_s: int) -> Witnessed | None:
        """What the policy's witnesses say of the entries held; None without a policy."""
        witnessing = self._notes.witnessing
        return witnessing.judge(self.size, now_s) if witnessing is not None else None

    def accept(self, data: bytes) -> list[Outcome]:
        """Judges one message on the ``entries`` topic. Raises LogUnavailable or OSError when the store fails."""
        try:
            return self._accept(decode_message(data), data)
        except MalformedError as error:
            return [Finding(kind="malformed", seq=self.size, text=str(error))]

    def accept_checkpoint(self, note: bytes) -> list[Outcome]:
        """Judges the retained checkpoint. One that comes before the channel has named its log is left for later."""
        if self.origin is None:
            return []
        verified, self._decide.switched = self.verified, None
        findings = self._judge(note, None)
        self._settled.keep_evidence(findings, note, None, self.origin, self._branches)
        return self._announce(None, findings, moved=self.verified != verified)

    def accept_genesis(self, data: bytes) -> list[Outcome]:
        """Judges the retained genesis entry: it names the log, and is held against the entry 0 that the messages bring.

        It is not itself taken for that entry, since nothing covers it yet.
        """
        try:
            entry = check_genesis(data)
        except RefusedError as refusal:
            return [refusal.finding]
        self._pin(entry.body[0])
        if entry.body[0] != self.origin:
            return [Finding(kind="wrong-origin", seq=0, text=another_log(entry.body[0], self.origin))]
        self.claimed.take(entry)
        return list(self.claimed.compare(self._first_leaf()))

    def _first_leaf(self) -> bytes | None:
        if self.settled:
            return self._settled.leaves(0, 1)[0]
        return self._branches.main.leaf(0) if self.size else None

    def entry(self, seq: int) -> bytes | None:
        """The settled entry *seq*; None when it is not settled, or there is no store."""
        return self._store.entry(seq) if self._store is not None and 0 <= seq < self.settled else None

    def commit(self) -> None:
        """What was accepted so far survives a crash from here on, if there is a store."""
        if self._store is not None:
            self._store.commit(self._branches.oldest_place)

    def _restore(self) -> None:
        """Takes up what the store holds. Raises TamperError where its checkpoint does not fit."""
        store = self._store
        if store is None or store.origin is None:
            return
        self._keys.restore(store.statements(self.settled))
        note = store.segments.newest_checkpoint
        if note is not None:
            try:
                checkpoint = self._notes.open(note, store.origin, self.settled)
            except RefusedError as refusal:
                raise TamperError(f"{store.directory}: its newest checkpoint: {refusal}") from refusal
            root = self._settled.root_at(checkpoint.size) if checkpoint and checkpoint.size <= self.settled else None
            if checkpoint is None or checkpoint.root != root:
                raise TamperError(f"{store.directory}: its entries do not have the root that its checkpoint states")
            self._decide.verified = checkpoint.size
            self._notes.see(checkpoint)
        for place, data in store.spool.replay():
            self._replay(store.origin, place, data)

    def _replay(self, origin: str, place: int, data: bytes) -> None:
        try:
            message = Message(origin=origin, first_seq=parse(data)[2], entries=(data,), checkpoint=None)
            run = check_run(message)
            fit = self._branches.fit(run.first, run.prev, run.leaves)
            if fit is not None and not fit.common:
                self._keys.learn(run, fit)
                self._branches.grow(fit, run.leaves, [place])
        except (MalformedError, RefusedError):
            return

    def _accept(self, message: Message, data: bytes) -> list[Outcome]:
        self._pin(message.origin)
        if message.origin != self.origin:
            return [Finding(kind="wrong-origin", seq=message.first_seq, text=another_log(message.origin, self.origin))]
        verified, self._decide.switched = self.verified, None
        findings: list[Finding] = []
        run: Run | None = None
        try:
            run = self._take(check_run(message), findings)
        except RefusedError as refusal:
            findings.append(refusal.finding)
            if refusal.finding.kind == "fork":
                self._doubted = max(self._doubted, refusal.finding.seq + 1)
        findings += self._judge(message.checkpoint, run)
        if run is not None and run.branch is not None and self._branches.has(run.branch):
            self._settled.keep_pending(run.branch, self.settled, run)
        self._loose.close(self.size)
        self._settled.keep_evidence(findings, data, message, message.origin, self._branches)
        findings += self.claimed.compare(self._first_leaf())
        moved = self.verified != verified or not (message.entries or findings)
        return self._announce(run, findings, moved=moved)

    def _pin(self, origin: str) -> None:
        if self.origin is None:
            self.origin = origin
            if self._store is not None:
                self._store.begin(origin)

    def _take(self, run: Run, findings: list[Finding]) -> Run | None:
        """Steps 2 and 3. Returns the part of the run that is new, if any. Raises RefusedError."""
        known = min(max(self.settled - run.first, 0), len(run.entries))
        unchecked = self._settled.compare(run, known)
        rest = run.without(known) if known < len(run.entries) else None
        self._make_room(len(run.entries))
        fit = self._branches.fit(rest.first, rest.prev, rest.leaves) if rest else None
        if rest is not None and fit is None:
            return self._loose.follow(rest, self.size, findings)
        common = known + (fit.common if fit else 0)
        if common:
            text = f"{span(run.first, run.first + common)} came again"
            text += f"; {unchecked} of them too old to be compared" if unchecked else ", the same"
            findings.append(Finding(kind="duplicate", seq=run.first, to_seq=run.first + common - 1, text=text))
        if rest is None or fit is None or fit.common == len(rest.entries):
            return None
        if not self._branches.room(fit, len(rest.entries)) or self._settled.full:
            raise RefusedError("full", rest.first, "too many entries wait for a signed checkpoint; ask for these later")
        if fit.index + fit.common < len(fit.branch):
            seq = rest.first + fit.common
            text = f"another entry {seq} than the one that came before it; a signed checkpoint will tell which is true"
            findings.append(Finding(kind="fork", seq=seq, text=text))
        self._keys.learn(rest, fit)
        rest.added = len(rest.entries) - fit.common
        rest.branch, before = self._branches.grow(fit, rest.leaves, [-1 - index for index in range(len(rest.entries))])
        rest.before = self.settled + before
        return rest

    def _make_room(self, count: int) -> None:
        """Near the bounds, what is contradicted goes first; what is dropped can be asked for again."""
        if self._branches.roomy(count) and not self._settled.full:
            return
        if max(self._decide.disputed, self._doubted) > self.settled:
            self._branches.clear()
        else:
            self._branches.drop_rivals()
        self._settled.compact(self._branches)

    def _judge(self, note: bytes | None, run: Run | None) -> list[Finding]:
        """Steps 4 and 5, for the checkpoint *note* and those that waited for the entries of *run*."""
        assert self.origin is not None
        findings: list[Finding] = []
        # Those put aside come last: by then the entries that explain them may be settled.
        for text in [note, *self._notes.reached(self._branches)]:
            own = None
            try:
                own = self._notes.open(text, self.origin, self.size) if text is not None else None
            except RefusedError as refusal:
                findings.append(refusal.finding)
            findings += self._decide.judge(own, run)
        return findings

    def _announce(self, run: Run | None, findings: list[Finding], *, moved: bool) -> list[Outcome]:
        """The findings, and then what was accepted, if anything was."""
        switched = self._decide.switched
        if switched is not None:
            return [*findings, self._accepted(switched, self.size, ())]
        if run is not None and run.added and (run.branch is self._branches.main or not run.anchored):
            entries = run.entries[len(run.entries) - run.added :]
            return [*findings, self._accepted(run.end - run.added, run.end, entries, anchored=run.anchored)]
        return [*findings, self._accepted(self.size, self.size, ())] if moved else list(findings)

    def _accepted(self, first: int, end: int, entries: tuple[bytes, ...], *, anchored: bool = True) -> Accepted:
        return Accepted(
            from_seq=first,
            to_seq=end - 1,
            size=self.size,
            verified=self.verified,
            anchored=anchored,
            entries=entries,
        )


def _edge(store: ReceiverStore | None) -> tuple[Frontier, bytes]:
    """The tree over the settled entries and the last one's leaf hash."""
    if store is None or store.origin is None:
        return Frontier(), NO_PREV
    return store.segments.tree.copy(), store.segments.last_hash
