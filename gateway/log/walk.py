"""The state of a check that goes through a log's entries from the first on, whatever form the log is in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.errors import ConfigError, MalformedError, TamperError
from gateway.log.entry import NO_PREV, Kind, parse
from gateway.log.nodes import RUN
from gateway.log.note import Checkpoint, of_origin, parse_checkpoint, verify_checkpoint
from gateway.log.plain import is_plain_reading
from gateway.log.policy import Policy
from gateway.log.tree import Frontier, leaf_hash
from gateway.log.vkey import VerifierKey
from gateway.log.witnessing import Witnessed, Witnessing

INTACT, TORN, UNSIGNED, TAMPERED = "intact", "torn", "unsigned", "tampered"
#: Sound and signed, but not cosigned as the policy demands.
UNWITNESSED = "unwitnessed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check found."""

    verdict: str
    origin: str
    #: Entries checked, the tree's size.
    size: int
    root: bytes
    #: Checkpoints whose signatures and roots were checked.
    checkpoints: int
    #: Size that the newest checkpoint covers.
    signed_size: int
    first_bad_seq: int | None
    reason: str | None
    #: Entries that were pruned, as manifest entries say.
    pruned: int = 0
    #: What the witnesses say; None without a policy, or where the check did not come so far.
    witnessed: Witnessed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What the verifier holds in its own hand."""

    #: Empty: the keys that the log itself names are used, which proves consistency but not whose log it is.
    keys: Sequence[VerifierKey] = ()
    quorum: int | None = None
    #: Checkpoints from elsewhere that the log must extend.
    known: Sequence[bytes] = ()
    #: Which witnesses must have cosigned, and the verifier's clock in seconds since 1970. Its keys stand above.
    policy: Policy | None = None
    now_s: int = 0


@dataclass(slots=True, kw_only=True)
class Walk:
    """The state of a check that goes through a log from entry 0 on; also for logs in other forms than segments."""

    demands: Demands
    origin: str = ""
    tree: Frontier = field(default_factory=Frontier)
    #: Leaf hash of the entry before; None where that was pruned.
    prev: bytes | None = NO_PREV
    keys: Sequence[VerifierKey] = ()
    checkpoints: int = 0
    signed_size: int = 0
    #: (segment file, offset) of each recovery entry.
    cuts: set[tuple[str, int]] = field(default_factory=set)
    #: First seqs of the runs of 256 entries that are not there, and (first seq, seq behind) of each manifest entry.
    missing: list[int] = field(default_factory=list)
    manifests: list[tuple[int, int]] = field(default_factory=list)
    #: Sizes of the checkpoints that somebody kept elsewhere.
    known: set[int] = field(default_factory=set)
    witnessing: Witnessing | None = None

    def __post_init__(self) -> None:
        if self.demands.policy is not None:
            self.witnessing = Witnessing(self.demands.policy)

    def begin(self, origin: str, first: bytes | None) -> None:
        """Takes the log's origin and its first entry, and sees whether they are what is asked for."""
        self.origin, self.keys = origin, self.demands.keys
        for key in self.keys:
            if not of_origin(origin, key.name):
                raise TamperError(f"this is the log {origin!r}, the key is that of {key.name!r}", seq=0)
        policy = self.demands.policy
        if policy is not None and not of_origin(origin, policy.origin):
            raise TamperError(f"this is the log {origin!r}, the policy is for {policy.origin!r}", seq=0)
        if first is None:
            return
        items = _parsed(first, 0)
        if items[1] != Kind.GENESIS or items[9][0] != origin:
            raise TamperError(f"entry 0 is not the genesis entry of {origin!r}", seq=0)
        if not self.keys:
            try:
                self.keys = [VerifierKey.parse(text) for text in items[9][4]]
            except MalformedError as error:
                raise TamperError(f"entry 0: {error}", seq=0) from error

    def entries(self, batch: Iterable[bytes]) -> list[bytes]:
        """Checks entries that follow; returns their leaf hashes. The tree does not grow yet."""
        seq, prev, leaves = self.tree.size, self.prev, []
        recovery, manifest = int(Kind.RECOVERY), int(Kind.MANIFEST)
        for data in batch:
            if prev is not None and is_plain_reading(data, seq, prev):
                prev = leaf_hash(data)
                leaves.append(prev)
                seq += 1
                continue
            try:
                _, kind, said, before, _, _, _, _, _, body = parse(data)
            except MalformedError as error:
                raise TamperError(f"entry {seq}: {error}", seq=seq) from error
            if said != seq:
                raise TamperError(f"entry {seq} says that it is entry {said}", seq=seq)
            if before != prev and prev is not None:
                raise TamperError(f"entry {seq} does not name the entry before it", seq=seq)
            if kind == recovery:
                self.cuts.add((body[0], body[1]))
            elif kind == manifest:
                self.manifests.append((body[0], body[1]))
            prev = leaf_hash(data)
            leaves.append(prev)
            seq += 1
        self.prev = prev
        return leaves

    def grow(self, leaves: list[bytes], roots: dict[int, list[Checkpoint]]) -> None:
        """Adds leaves to the tree and compares it with the checkpoints of every size passed."""
        done = 0
        base = self.tree.size
        for size in sorted(size for size in roots if base <= size <= base + len(leaves)):
            self.tree.extend(leaves[done : size - base])
            done = size - base
            for checkpoint in roots.pop(size):
                if checkpoint.root != self.tree.root():
                    raise wrong_root(checkpoint, self.signed_size)
            self.signed_size = max(self.signed_size, size)
        self.tree.extend(leaves[done:])

    def skip(self, value: bytes, roots: dict[int, list[Checkpoint]]) -> None:
        """Adds a run of 256 entries that is not there by the hash over it; ``require_manifests`` judges later.

        The log's own checkpoints within the run are passed over. Raises ConfigError for one from elsewhere.
        """
        self.grow([], roots)
        start = self.tree.size
        self.tree.append_run(value)
        for size in [size for size in roots if start < size < self.tree.size]:
            del roots[size]
            if size in self.known:
                raise ConfigError(
                    f"the known checkpoint of size {size} cannot be compared: the entries around it, from {start} on, "
                    "were pruned; take one of a size that is a multiple of 256, or the log from its archive"
                )
        self.missing.append(start)
        self.prev = None

    def require_manifests(self) -> None:
        """Raises TamperError for entries that are missing without a manifest entry that says so."""
        for start in self.missing:
            if not any(first <= start < end for first, end in self.manifests):
                raise TamperError(f"entry {start} is missing, and no manifest entry says that it was pruned", seq=start)

    def checkpoint(self, note: bytes, seq: int, *, counted: bool = True) -> Checkpoint:
        """Verifies signatures and origin of a checkpoint that stands before entry *seq*; ``grow`` compares its root."""
        try:
            checkpoint = self._opened(note)
        except (TamperError, MalformedError) as error:
            raise TamperError(f"a checkpoint behind entry {seq - 1}: {error}", seq=seq) from error
        self.checkpoints += counted and bool(self.keys)
        if self.witnessing is not None:
            self.witnessing.see(checkpoint)
        return checkpoint

    def _opened(self, note: bytes) -> Checkpoint:
        if self.keys:
            return verify_checkpoint(note, origin=self.origin, keys=self.keys, quorum=self.demands.quorum)
        # Nobody was named: the genesis entry is broken, or was written while the key was away.
        checkpoint = parse_checkpoint(note)
        if checkpoint.origin != self.origin:
            raise TamperError(f"the checkpoint is of the log {checkpoint.origin!r}, not of {self.origin!r}")
        return checkpoint

    def intact(self) -> Report:
        """The result of a check that found nothing wrong: what is left to see is whether it was witnessed."""
        if self.witnessing is None:
            return self.report(INTACT)
        try:
            witnessed = self.witnessing.judge(self.tree.size, self.demands.now_s)
        except TamperError as error:
            return self.report(TAMPERED, None, str(error))
        verdict = INTACT if witnessed.met else UNWITNESSED
        return replace(self.report(verdict, None, witnessed.reason or None), witnessed=witnessed)

    def report(self, verdict: str, first_bad_seq: int | None = None, reason: str | None = None) -> Report:
        """The result so far."""
        return Report(
            verdict=verdict,
            origin=self.origin,
            size=self.tree.size,
            root=self.tree.root(),
            checkpoints=self.checkpoints,
            signed_size=self.signed_size,
            first_bad_seq=first_bad_seq,
            reason=reason,
            pruned=RUN * len(self.missing),
        )


def _parsed(data: bytes, seq: int) -> list[Any]:
    try:
        return parse(data)
    except MalformedError as error:
        raise TamperError(f"entry {seq}: {error}", seq=seq) from error


def wrong_root(checkpoint: Checkpoint, seq: int) -> TamperError:
    """The entries contradict the checkpoint; *seq* is the first one that may be wrong."""
    return TamperError(f"the entries do not have the root of the checkpoint of size {checkpoint.size}", seq=seq)
