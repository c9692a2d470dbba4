"""A receiver settles only what is signed, says what is wrong, and goes on with what is honest."""

from __future__ import annotations

import pytest

from gateway.channel import MAX_MESSAGE, Message, decode_message, encode_message
from gateway.log.entry import Kind
from gateway.receiver.receiver import Receiver
from gateway.receiver.run import Accepted, Finding, Missing, Outcome
from tests.honest_log import ORIGIN, HonestLog, MemoryKey

Summary = list[tuple[str, int, int | None]]


def summary(outcomes: list[Outcome]) -> Summary:
    """(accepted, from, to) and (kind, seq, to) of each outcome."""
    return [
        ("accepted" if item.anchored else "loose", item.from_seq, item.to_seq)
        if isinstance(item, Accepted)
        else (item.kind, item.seq, item.to_seq)
        for item in outcomes
    ]


@pytest.fixture
def log() -> HonestLog:
    return HonestLog().grow(60)


@pytest.fixture
def receiver(log: HonestLog) -> Receiver:
    return Receiver(keys=[log.vkey])


def state(receiver: Receiver) -> tuple[int, int, int]:
    return receiver.size, receiver.settled, receiver.verified


def test_an_honest_log_passes(log: HonestLog, receiver: Receiver) -> None:
    """Each message is accepted once, and what its checkpoint covers is settled."""
    assert summary(receiver.accept(log.message(0, 10))) == [("accepted", 0, 9)]
    assert state(receiver) == (10, 0, 0)
    assert summary(receiver.accept(log.message(10, 20, 15))) == [("accepted", 10, 19)]
    assert state(receiver) == (20, 15, 15)
    assert summary(receiver.accept(log.message(20, 30, 30))) == [("accepted", 20, 29)]
    assert summary(receiver.accept(log.message(30, 60))) == [("accepted", 30, 59)]
    assert summary(receiver.accept(log.message(60, 60, 60))) == [("accepted", 60, 59)]
    assert state(receiver) == (60, 60, 60)
    assert receiver.missing is None


def test_a_repeat_is_a_duplicate(log: HonestLog, receiver: Receiver) -> None:
    """One finding per message, with its range; what is new in it is accepted."""
    receiver.accept(log.message(0, 20, 10))
    assert summary(receiver.accept(log.message(5, 12, 10))) == [("duplicate", 5, 11)]
    assert summary(receiver.accept(log.message(15, 25, 25))) == [("duplicate", 15, 19), ("accepted", 20, 24)]
    assert summary(receiver.accept(log.message(25, 25, 25))) == [("accepted", 25, 24)]
    assert state(receiver) == (25, 25, 25)


def test_a_checkpoint_that_comes_with_a_repeat_counts(log: HonestLog, receiver: Receiver) -> None:
    """A message that was sent again with a checkpoint settles what it repeats."""
    receiver.accept(log.message(0, 20))
    assert summary(receiver.accept(log.message(0, 20, 20))) == [("duplicate", 0, 19), ("accepted", 20, 19)]
    assert state(receiver) == (20, 20, 20)


def test_a_gap_is_named_and_can_be_filled(log: HonestLog, receiver: Receiver) -> None:
    """Behind it entries are followed by their chain; when it is filled they are taken like any others."""
    receiver.accept(log.message(0, 10, 10))
    assert summary(receiver.accept(log.message(20, 30, 30))) == [("gap", 10, 19), ("loose", 20, 29)]
    assert summary(receiver.accept(log.message(30, 40))) == [("loose", 30, 39)]
    assert receiver.missing == Missing(from_seq=10, to_seq=40)
    assert state(receiver) == (10, 10, 10)
    assert summary(receiver.accept(log.message(10, 20))) == [("accepted", 10, 19)]
    assert summary(receiver.accept(log.message(20, 40))) == [("accepted", 20, 39)]
    assert state(receiver) == (40, 30, 30)
    assert receiver.missing is None


def test_a_late_start_follows_the_chain(log: HonestLog, receiver: Receiver) -> None:
    """Without the beginning nothing can be verified, and that is what is said; a broken chain still shows."""
    assert summary(receiver.accept(log.message(20, 30, 30))) == [("gap", 0, 19), ("loose", 20, 29)]
    assert summary(receiver.accept(log.message(30, 40, 40))) == [("loose", 30, 39)]
    other = log.branch(35, "x").grow(50)
    assert summary(receiver.accept(other.message(40, 45))) == [("fork", 39, None), ("loose", 40, 44)]
    assert receiver.verified == 0


def test_a_second_gap_is_another_finding(log: HonestLog, receiver: Receiver) -> None:
    """Each hole is named once."""
    receiver.accept(log.message(0, 5))
    assert summary(receiver.accept(log.message(10, 12))) == [("gap", 5, 9), ("loose", 10, 11)]
    assert summary(receiver.accept(log.message(20, 22))) == [("gap", 12, 19), ("loose", 20, 21)]
    assert receiver.missing == Missing(from_seq=5, to_seq=22)


@pytest.mark.parametrize("forged_first", [True, False])
def test_a_forged_entry_that_chains_does_not_last(log: HonestLog, receiver: Receiver, forged_first: bool) -> None:
    """Whoever may write to the broker can make an entry that chains: the signed checkpoint tells which is true."""
    receiver.accept(log.message(0, 10, 10))
    forged = log.branch(10, "forged").grow(20)
    first, second = (forged, log) if forged_first else (log, forged)
    assert summary(receiver.accept(first.message(10, 15))) == [("accepted", 10, 14)]
    assert summary(receiver.accept(second.message(10, 14))) == [("fork", 10, None)]
    assert receiver.settled == 10
    switched = [("accepted", 10, 19)] if forged_first else [("duplicate", 10, 14), ("accepted", 15, 19)]
    assert summary(receiver.accept(log.message(10, 20, 20)))[-len(switched) :] == switched
    assert state(receiver) == (20, 20, 20)
    assert summary(receiver.accept(log.message(20, 30, 30))) == [("accepted", 20, 29)]
    assert summary(receiver.accept(forged.message(15, 20))) == [("fork", 15, None)]


def test_a_message_against_its_own_checkpoint_is_not_taken(log: HonestLog, receiver: Receiver) -> None:
    """A forged last entry under a genuine checkpoint: refused, and the honest message is taken after it."""
    receiver.accept(log.message(0, 10, 10))
    forged = log.branch(19, "forged").grow(20)
    message = decode_message(forged.message(10, 20))
    message = Message(origin=ORIGIN, first_seq=10, entries=message.entries, checkpoint=log.note(20))
    assert summary(receiver.accept(encode_message(message))) == [("fork", 20, None)]
    assert state(receiver) == (10, 10, 10)
    assert receiver.missing == Missing(from_seq=10, to_seq=20)
    assert summary(receiver.accept(log.message(10, 20, 20))) == [("accepted", 10, 19)]
    assert state(receiver) == (20, 20, 20)


def test_a_forged_beginning_is_overruled_by_the_whole(log: HonestLog, receiver: Receiver) -> None:
    """Forged pending entries dispute the next checkpoint; asking for the disputed range again settles it."""
    receiver.accept(log.message(0, 10, 10))
    receiver.accept(log.branch(10, "forged").grow(15).message(10, 15))
    assert summary(receiver.accept(log.message(15, 20, 20))) == [("fork", 14, None)]
    assert receiver.missing == Missing(from_seq=10, to_seq=20)
    assert summary(receiver.accept(log.message(10, 20, 20))) == [("fork", 10, None), ("accepted", 10, 19)]
    assert state(receiver) == (20, 20, 20)
    assert receiver.missing is None


def test_two_signed_histories_are_a_fork(log: HonestLog, receiver: Receiver) -> None:
    """Where the signer itself signed two logs, the first one stays, and every contradiction is named."""
    other = log.branch(10, "other").grow(40)
    receiver.accept(log.message(0, 20, 20))
    assert summary(receiver.accept_checkpoint(other.note(20))) == [("fork", 20, None)]
    assert summary(receiver.accept_checkpoint(other.note(15))) == [("fork", 15, None)]
    assert summary(receiver.accept(other.message(10, 30, 30))) == [("fork", 10, None)]
    assert summary(receiver.accept(log.message(20, 25, 25))) == [("accepted", 20, 24)]
    assert state(receiver) == (25, 25, 25)


def test_two_signed_roots_for_one_future_size_are_a_fork(log: HonestLog, receiver: Receiver) -> None:
    """Two checkpoints contradict each other before any entry is there."""
    other = log.branch(10, "other").grow(40)
    receiver.accept(log.message(0, 10, 10))
    assert receiver.accept_checkpoint(log.note(30)) == []
    assert summary(receiver.accept_checkpoint(other.note(30))) == [("fork", 30, None)]
    assert summary(receiver.accept(log.message(10, 30))) == [("accepted", 10, 29)]
    assert state(receiver) == (30, 30, 30)


def test_a_checkpoint_waits_for_its_entries(log: HonestLog, receiver: Receiver) -> None:
    """The retained checkpoint comes before the entries: it names what is missing, and settles them when they come."""
    receiver.accept(log.message(0, 1))
    assert receiver.accept_checkpoint(log.note(40)) == []
    assert receiver.missing == Missing(from_seq=1, to_seq=40)
    receiver.accept(log.message(1, 50))
    assert state(receiver) == (50, 40, 40)
    assert receiver.accept_checkpoint(log.note(30)) == []
    assert summary(receiver.accept_checkpoint(log.note(50))) == [("accepted", 50, 49)]


@pytest.mark.parametrize("part", ["message", "retained"])
def test_bad_signatures_are_named(log: HonestLog, receiver: Receiver, part: str) -> None:
    """A changed signature, and another key: for entries that are there, neither can be explained by what is missing."""
    stranger = MemoryKey(2)
    receiver.accept(log.message(0, 10))
    good = log.note(10)
    for note in (good[:-20] + b"AAAAA" + good[-15:], log.note(10, key=stranger)):
        outcomes = (
            receiver.accept_checkpoint(note)
            if part == "retained"
            else receiver.accept(encode_message(Message(origin=ORIGIN, first_seq=10, entries=(), checkpoint=note)))
        )
        assert [item.kind for item in outcomes if isinstance(item, Finding)] == ["bad-signature"]
    assert receiver.verified == 0


def test_every_key_must_have_signed(log: HonestLog) -> None:
    """Two keys given, one signature: nothing is settled."""
    second = HonestLog(key=MemoryKey(2)).vkey
    receiver = Receiver(keys=[log.vkey, second])
    assert summary(receiver.accept(log.message(0, 10, 10))) == [("bad-signature", 10, None), ("accepted", 0, 9)]
    assert receiver.settled == 0


def test_another_log_is_refused(log: HonestLog, receiver: Receiver) -> None:
    """A genuine message of another log by the same key, and a checkpoint of it in a message of ours."""
    other = HonestLog(origin="meters.example.org/roof-8", key=log.key).grow(20)
    assert summary(receiver.accept(other.message(0, 10, 10))) == [("wrong-origin", 0, None)]
    message = Message(origin=ORIGIN, first_seq=0, entries=tuple(log.entries[:5]), checkpoint=other.note(5))
    assert summary(receiver.accept(encode_message(message))) == [("wrong-origin", 5, None), ("accepted", 0, 4)]
    renamed = Message(origin=ORIGIN, first_seq=0, entries=tuple(other.entries[:5]), checkpoint=None)
    assert summary(receiver.accept(encode_message(renamed))) == [("wrong-origin", 0, None)]
    assert summary(receiver.accept_genesis(other.entries[0])) == [("wrong-origin", 0, None)]


def test_a_new_epoch_is_explained(log: HonestLog, receiver: Receiver) -> None:
    """A log that was closed for cause goes on under another origin: the finding says so."""
    epoch = HonestLog(origin=f"{ORIGIN}/epoch-2", key=log.key).grow(5)
    (finding,) = receiver.accept(epoch.message(0, 5, 5))
    assert isinstance(finding, Finding)
    assert "closed that log for cause" in finding.text


@pytest.mark.parametrize("order", [(3, 2), (2, 2), (0, 1)])
def test_entries_out_of_order_in_a_message_are_refused(
    log: HonestLog, receiver: Receiver, order: tuple[int, int]
) -> None:
    """Swapped, repeated and left-out entries: nothing of the message is taken."""
    receiver.accept(log.message(0, 2, 2))
    entries = [log.entries[seq] for seq in (2, 3, 4, 5)]
    entries[0], entries[1] = log.entries[order[0]], log.entries[order[1]]
    message = Message(origin=ORIGIN, first_seq=2, entries=tuple(entries), checkpoint=None)
    assert [kind for kind, *_ in summary(receiver.accept(encode_message(message)))] == ["bad-chain"]
    assert state(receiver) == (2, 2, 2)


def test_a_log_begins_with_its_genesis_entry_and_has_no_other(log: HonestLog) -> None:
    """Without keys, too, a log that begins otherwise is none."""
    other = HonestLog()
    other.entries, other.leaves = [], []
    other.append(Kind.EVENT, ["test", 0, "log", "first"])
    assert summary(Receiver().accept(other.message(0, 1))) == [("bad-chain", 0, None)]
    log.append(Kind.GENESIS, [ORIGIN, "test 1", 1, 1, [], [], "again"])
    receiver = Receiver(keys=[log.vkey])
    assert summary(receiver.accept(log.message(0, 61))) == [("bad-chain", 60, None)]


def test_hostile_bytes_are_findings(log: HonestLog, receiver: Receiver) -> None:
    """Not a message, oversized, entries that are none, notes that are none: one finding each, and nothing else."""
    wrong = Message(origin=ORIGIN, first_seq=0, entries=(log.entries[0], b"\xff" * 40), checkpoint=None)
    for data in (b"", b"\x80", b"x" * (MAX_MESSAGE + 1), b"\x85\x01" + b"\x9b" * 100):
        assert [kind for kind, *_ in summary(receiver.accept(data))] == ["malformed"]
    assert summary(receiver.accept(encode_message(wrong))) == [("malformed", 1, None)]
    for data in (b"", b"x" * 70_000, log.entries[1]):
        assert summary(receiver.accept_genesis(data)) == [("malformed", 0, None)]
    for data in (b"", b"x" * 70_000, b"\xff\n\n\xff\n"):
        assert [kind for kind, *_ in summary(receiver.accept_checkpoint(data))] == ["malformed"]
    assert summary(receiver.accept(log.message(0, 5, 5))) == [("accepted", 0, 4)]


def test_the_retained_genesis_names_the_log_and_is_checked(log: HonestLog) -> None:
    """It pins the origin where nothing else does, in silence; another one than entry 0 is a fork, in either order."""
    receiver = Receiver()
    assert receiver.accept_genesis(log.entries[0]) == []
    assert (receiver.origin, receiver.claimed.vkeys) == (ORIGIN, (log.vkey.text,))
    assert summary(receiver.accept(log.message(0, 10, 10))) == [("accepted", 0, 9)]
    assert receiver.accept_genesis(log.entries[0]) == []
    other = HonestLog(key=MemoryKey(3))
    assert summary(receiver.accept_genesis(other.entries[0])) == [("fork", 0, None)]
    late = Receiver(keys=[log.vkey])
    assert late.accept_genesis(other.entries[0]) == []
    assert summary(late.accept(log.message(0, 10, 10))) == [("fork", 0, None), ("accepted", 0, 9)]


def test_without_keys_roots_are_compared_all_the_same(log: HonestLog) -> None:
    """It shows mistakes: a root that does not fit is named for what it is without a signature."""
    receiver = Receiver()
    assert summary(receiver.accept(log.message(0, 10, 10))) == [("accepted", 0, 9)]
    other = log.branch(12, "x").grow(20)
    message = Message(origin=ORIGIN, first_seq=10, entries=tuple(log.entries[10:20]), checkpoint=other.note(20))
    assert summary(receiver.accept(encode_message(message))) == [("bad-root", 20, None)]


def test_old_repeats_are_bounded_by_memory_not_by_trust(log: HonestLog) -> None:
    """Without a store only the last 4,096 are compared; older ones are said to be unchecked."""
    log.grow(5000)
    receiver = Receiver(keys=[log.vkey])
    for start in range(0, 5000, 1000):
        receiver.accept(log.message(start, start + 1000, start + 1000))
    (finding,) = receiver.accept(log.message(0, 1000))
    assert isinstance(finding, Finding)
    assert "904 of them too old to be compared" in finding.text
    assert summary(receiver.accept_checkpoint(log.note(500))) == [("old-checkpoint", 500, None)]
    assert receiver.accept_checkpoint(log.note(904)) == []


def test_the_origin_of_the_first_key_is_followed(log: HonestLog) -> None:
    """A key names its log; --origin may say otherwise."""
    assert Receiver(keys=[log.vkey]).origin == ORIGIN
    assert Receiver(keys=[log.vkey], origin="other.example").origin == "other.example"
