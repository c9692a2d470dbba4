"""A receiver lives through rotations, with the old key alone, and no forger can make one up."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.channel import Message, encode_message
from gateway.receiver.receiver import Receiver
from gateway.receiver.run import Finding, Missing, Outcome
from gateway.receiver.store import ReceiverStore
from tests.honest_log import ORIGIN, MemoryKey
from tests.rotated import FIRST, SECOND, STRANGER, THIRD, RotatedLog, resigned, revocation, rotation, vkey


def rotated(flavour: str = "") -> RotatedLog:
    """80 entries; the second key follows at entry 20, the third at entry 50."""
    log = RotatedLog(flavour=flavour)
    log.grow(20)
    log.rotate(SECOND)
    log.grow(50)
    log.rotate(THIRD)
    return log.grow(80)  # type: ignore[return-value]


def kinds(outcomes: list[Outcome]) -> list[str]:
    return [item.kind for item in outcomes if isinstance(item, Finding)]


def state(receiver: Receiver) -> tuple[int, int, int]:
    return receiver.size, receiver.settled, receiver.verified


def message(log: RotatedLog, first: int, end: int, note: bytes | None) -> bytes:
    return encode_message(
        Message(origin=ORIGIN, first_seq=first, entries=tuple(log.entries[first:end]), checkpoint=note)
    )


@pytest.mark.parametrize("step", [1, 7, 20, 21, 80])
def test_the_old_key_is_enough(step: int) -> None:
    """Whatever the messages' bounds: all is settled, and nothing is found wrong."""
    log, receiver = rotated(), Receiver(keys=[vkey(FIRST)])
    for first in range(0, 80, step):
        end = min(first + step, 80)
        assert kinds(receiver.accept(log.message(first, end, end))) == []
    assert state(receiver) == (80, 80, 80)


def test_entries_first_and_the_checkpoint_long_after() -> None:
    """Both rotations are pending when a checkpoint of the third key settles all at once."""
    log, receiver = rotated(), Receiver(keys=[vkey(FIRST)])
    receiver.accept(log.message(0, 80))
    assert kinds(receiver.accept_checkpoint(log.note(30))) == []
    assert state(receiver) == (80, 30, 30)
    assert kinds(receiver.accept_checkpoint(log.note(80))) == []
    assert state(receiver) == (80, 80, 80)


def test_a_checkpoint_by_a_key_not_known_yet_waits() -> None:
    """The retained checkpoint comes first: it is neither believed nor called false, and says what is missing."""
    log, receiver = rotated(), Receiver(keys=[vkey(FIRST)])
    receiver.accept(log.message(0, 10, 10))
    assert kinds(receiver.accept_checkpoint(log.note(70))) == []
    assert receiver.missing == Missing(from_seq=10, to_seq=70)
    assert kinds(receiver.accept(log.message(10, 80))) == []
    assert state(receiver) == (80, 70, 70)


def test_a_strangers_checkpoint_waits_no_longer_than_its_entries() -> None:
    """When they are there and explain nothing, it is a bad signature."""
    log, receiver = rotated(), Receiver(keys=[vkey(FIRST)])
    assert kinds(receiver.accept_checkpoint(log.note(15, key=STRANGER))) == []
    assert kinds(receiver.accept(log.message(0, 15))) == ["bad-signature"]
    assert state(receiver) == (15, 0, 0)
    assert kinds(receiver.accept_checkpoint(log.note(10, key=STRANGER))) == ["bad-signature"]


@pytest.mark.parametrize(
    ("size", "key"), [(60, SECOND), (60, FIRST), (30, FIRST), (20, SECOND), (50, THIRD), (80, STRANGER)]
)
def test_a_key_that_is_not_valid_there_settles_nothing(size: int, key: MemoryKey) -> None:
    """With the entries, and before them: bad signature either way, and the honest checkpoint counts."""
    log = rotated()
    early, late = Receiver(keys=[vkey(FIRST)]), Receiver(keys=[vkey(FIRST)])
    assert kinds(early.accept(message(log, 0, 80, log.note(size, key=key)))) == ["bad-signature"]
    assert early.settled == 0
    before = kinds(late.accept_checkpoint(log.note(size, key=key)))
    after = kinds(late.accept(log.message(0, 80)))
    assert before + after == ["bad-signature"]
    assert late.settled == 0
    for receiver in (early, late):
        assert kinds(receiver.accept_checkpoint(log.note(80))) == []
        assert state(receiver) == (80, 80, 80)


FORGED = {
    "signed by the old key alone": lambda seq: resigned(rotation(seq, FIRST, STRANGER), FIRST),
    "signed by the new key alone": lambda seq: resigned(rotation(seq, FIRST, STRANGER), STRANGER),
    "of another seq": lambda seq: rotation(seq + 1, FIRST, STRANGER),
    "replayed from another log": lambda seq: rotation(seq, FIRST, STRANGER, origin="meters.example.org/roof-8"),
    "no statement at all": lambda _seq: b"nonsense",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_forged_rotation_is_refused_with_its_message(forge: object) -> None:
    """Nothing of it is taken, its forger's checkpoint is judged when entries are there, and the honest log goes on."""
    honest, receiver = rotated(), Receiver(keys=[vkey(FIRST)])
    receiver.accept(honest.message(0, 20, 20))
    forger = RotatedLog()
    forger.grow(20)
    forger.rotate(STRANGER, forge(20))  # type: ignore[operator]
    forger.grow(30)
    assert "bad-signature" in kinds(receiver.accept(message(forger, 20, 30, forger.note(30))))
    assert state(receiver) == (20, 20, 20)
    assert kinds(receiver.accept(honest.message(20, 80, 80))) == ["bad-signature"]
    assert state(receiver) == (80, 80, 80)


def test_a_genuine_rotation_in_a_false_place_changes_nothing() -> None:
    """A statement that a power cut cost the log its entry for, put into a forged entry: the honest log goes on."""
    lost = rotation(15, FIRST, SECOND)
    honest, receiver = rotated(), Receiver(keys=[vkey(FIRST)])
    forger = RotatedLog()
    forger.grow(15)
    forger.rotate(SECOND, lost)
    receiver.accept(honest.message(0, 10, 10))
    receiver.accept(message(forger, 10, 16, None))
    assert kinds(receiver.accept(honest.message(10, 20, 20))) == ["duplicate", "fork"]
    assert state(receiver) == (20, 20, 20)
    assert kinds(receiver.accept(honest.message(20, 80, 80))) == []


def test_a_restart_goes_on_with_the_keys_it_knew(tmp_path: Path) -> None:
    """Settled rotations, pending ones, and a store whose list of them was lost."""
    log = rotated()
    for number, (upto, lose) in enumerate([(30, False), (60, False), (60, True), (80, True)]):
        folder = tmp_path / str(number)
        receiver = Receiver(keys=[vkey(FIRST)], store=ReceiverStore(folder))
        receiver.accept(log.message(0, upto, upto - 5))
        receiver.commit()
        receiver._store.close()  # type: ignore[union-attr]
        if lose:
            (folder / "keys").unlink()
        again = Receiver(keys=[vkey(FIRST)], store=ReceiverStore(folder))
        assert state(again) == (upto, upto - 5, upto - 5)
        outcomes = again.accept(log.message(upto - 5, 80, 80))
        assert set(kinds(outcomes)) <= {"duplicate"}
        assert state(again) == (80, 80, 80)
        again._store.close()  # type: ignore[union-attr]


def test_a_store_can_be_followed_on_with_the_newest_key(tmp_path: Path) -> None:
    """What is settled links it to the first one; another log's key is refused."""
    log = rotated()
    receiver = Receiver(keys=[vkey(FIRST)], store=ReceiverStore(tmp_path))
    receiver.accept(log.message(0, 60, 60))
    receiver.commit()
    receiver._store.close()  # type: ignore[union-attr]
    again = Receiver(keys=[vkey(THIRD)], store=ReceiverStore(tmp_path))
    assert kinds(again.accept(log.message(60, 80, 80))) == []
    assert again.settled == 80
    again._store.close()  # type: ignore[union-attr]


def test_the_newest_key_needs_the_statements_to_follow_from_the_start() -> None:
    """With them it is as good as the first one; without them the old checkpoints are by nobody it knows."""
    log = rotated()
    told = Receiver(keys=[vkey(THIRD)], statements=log.statements)
    assert kinds(told.accept(log.message(0, 15, 15))) == []
    assert kinds(told.accept(log.message(15, 80, 80))) == []
    assert state(told) == (80, 80, 80)
    alone = Receiver(keys=[vkey(THIRD)])
    (finding,) = alone.accept(log.message(0, 15, 15))[:1]
    assert isinstance(finding, Finding)
    assert "--rotation" in finding.text


def test_a_revocation_in_the_log_raises_no_false_alarm() -> None:
    """The revoked key's checkpoints that came in time, and come again, stand for what is settled."""
    log = RotatedLog()
    log.grow(20)
    log.rotate(SECOND)
    log.revoke(FIRST, 5)
    log.grow(40)
    receiver = Receiver(keys=[vkey(FIRST)])
    for first in range(0, 40, 10):
        assert kinds(receiver.accept(log.message(first, first + 10, first + 10))) == []
    assert state(receiver) == (40, 40, 40)
    assert kinds(receiver.accept(log.message(0, 10, 10))) == ["duplicate"]
    assert kinds(receiver.accept(message(log, 40, 40, log.note(40, key=FIRST)))) == ["bad-signature"]


def test_who_was_told_of_a_revocation_settles_nothing_by_that_key() -> None:
    """Its checkpoints wait for one that is trusted."""
    log = RotatedLog()
    log.grow(20)
    log.rotate(SECOND)
    log.grow(40)
    told = [*log.statements, revocation(30, SECOND, FIRST, 5)]
    receiver = Receiver(keys=[vkey(FIRST)], statements=told)
    assert kinds(receiver.accept(log.message(0, 15, 15))) == []
    assert receiver.settled == 0
    assert kinds(receiver.accept(log.message(15, 30, 30))) == []
    assert receiver.settled == 30


def test_without_keys_statements_are_not_judged() -> None:
    """Nothing is verified then; a log with a false one is followed like any other."""
    log = RotatedLog()
    log.grow(20)
    log.rotate(STRANGER, b"nonsense")
    log.grow(30)
    receiver = Receiver()
    assert kinds(receiver.accept(log.message(0, 30, 30))) == []
    assert receiver.size == 30
