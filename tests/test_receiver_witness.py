"""The far side under a policy: whose word counts, what is kept of it, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.log.cosignature import cosignatures
from gateway.log.policy import Policy, parse_policy
from gateway.receiver.receiver import Receiver
from gateway.receiver.store import ReceiverStore
from tests.honest_log import HonestLog
from tests.test_cosignature import KEY, TIME_S, cosigned
from tests.test_receiver import summary


@pytest.fixture
def log() -> HonestLog:
    return HonestLog().grow(60)


@pytest.fixture
def policy(log: HonestLog) -> Policy:
    lines = [f"log {log.vkey.text}", f"witness w {KEY.text}", "quorum w", "fresh 60", ""]
    return parse_policy("\n".join(lines).encode(), "p")


@pytest.fixture
def receiver(policy: Policy) -> Receiver:
    return Receiver(keys=policy.keys, policy=policy)


def witnessed(receiver: Receiver, now_s: int = TIME_S) -> tuple[bool, int]:
    found = receiver.witnessed(now_s)
    assert found is not None
    return found.met, found.size


def test_a_cosigned_checkpoint_counts_once_the_entries_have_its_root(log: HonestLog, receiver: Receiver) -> None:
    """Before the entries, with them, and after them; until it is too old."""
    assert receiver.accept_checkpoint(cosigned(log.note(20))) == []
    assert witnessed(receiver) == (False, 0)
    receiver.accept(log.message(0, 20))
    assert witnessed(receiver) == (True, 20)
    receiver.accept(log.message(20, 40, 40))
    assert witnessed(receiver) == (True, 20)
    assert receiver.accept_checkpoint(cosigned(log.note(40))) == []
    assert witnessed(receiver) == (True, 40)
    assert witnessed(receiver, TIME_S + 61) == (False, 40)


def test_a_witnesss_line_is_not_lost_when_the_bare_checkpoint_came_first(log: HonestLog, receiver: Receiver) -> None:
    """Both wait for the entries."""
    receiver.accept_checkpoint(log.note(20))
    receiver.accept_checkpoint(cosigned(log.note(20)))
    receiver.accept(log.message(0, 20))
    assert witnessed(receiver) == (True, 20)


def test_a_wrong_cosignature_is_a_bad_signature(log: HonestLog, receiver: Receiver) -> None:
    """Evidence of tampering, and the checkpoint settles nothing."""
    receiver.accept(log.message(0, 20))
    line = cosigned(log.note(10)).split(b"\n\n")[1].splitlines(keepends=True)[-1]
    (finding,) = receiver.accept_checkpoint(log.note(20) + line)
    assert (finding.kind, finding.benign, receiver.settled) == ("bad-signature", False, 0)


def test_the_store_keeps_the_cosigned_checkpoint(log: HonestLog, policy: Policy, tmp_path: Path) -> None:
    """So that it can be judged later, and after a restart; a line of nobody in the policy is not worth a write."""
    store = ReceiverStore(tmp_path)
    receiver = Receiver(keys=policy.keys, policy=policy, store=store)
    receiver.accept(log.message(0, 20, 20))
    receiver.commit()
    bare = store.segments.newest_checkpoint
    assert summary(receiver.accept_checkpoint(cosigned(log.note(20), name="stranger.example"))) == []
    receiver.commit()
    assert store.segments.newest_checkpoint == bare
    receiver.accept_checkpoint(cosigned(log.note(20)))
    receiver.commit()
    store.close()
    store = ReceiverStore(tmp_path)
    again = Receiver(keys=policy.keys, policy=policy, store=store)
    assert witnessed(again) == (True, 20)
    assert store.segments.newest_checkpoint is not None
    assert cosignatures(store.segments.newest_checkpoint, [KEY])
    store.close()
