"""The writer: groups commits, signs what is durable, and goes on while the key store or the disk is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.errors import LogUnavailable, SignerError
from gateway.log.entry import ALARM, INFORMATION, WARNING, Kind, decode
from gateway.log.log import Declared, Log, open_log
from gateway.log.note import checkpoint_text, parse_checkpoint
from gateway.pace import Policy
from gateway.task import Progress
from gateway.writer import Writer

DECLARED = Declared(origin="example.org/writer", software="test", commit_ms=0, commit_entries=1, vkeys=())
SLOW = Policy(commit_ms=3_600_000, commit_entries=4, checkpoint_ms=3_600_000, checkpoint_entries=10**6)


class HandSigner:
    """A signer that is away when told so, and remembers what it was asked to sign."""

    def __init__(self) -> None:
        self.away = False
        self.signed: list[int] = []

    def sign_checkpoint(self, origin: str, size: int, root: bytes) -> bytes:
        if self.away:
            raise SignerError("the token was pulled out")
        self.signed.append(size)
        return checkpoint_text(origin, size, root) + b"\n\xe2\x80\x94 example.org/writer AAAAAAA=\n"


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return open_log(tmp_path / "log", DECLARED, SystemClock(), bytes(16))[0]


def writer(log: Log, signer: HandSigner, policy: Policy = SLOW) -> tuple[Writer, asyncio.Queue[int]]:
    """A writer, and the durable sizes that it tells."""
    told: asyncio.Queue[int] = asyncio.Queue()
    return Writer(log, signer, policy, SystemClock(), lambda: told.put_nowait(log.durable_size)), told


async def test_a_full_group_is_committed_and_a_small_one_waits(log: Log) -> None:
    """Four entries make a group here; an alarm makes one at once."""
    found, told = writer(log, HandSigner())
    task = asyncio.create_task(found.run_commits(Progress(0)))
    start = log.size
    for number in range(4):
        assert log.durable_size == start
        found.append(Kind.EVENT, ["code", INFORMATION, "test", str(number)])
    async with asyncio.timeout(10):
        assert await told.get() == start + 4
    found.event("code", INFORMATION, "test", "not urgent")
    assert told.empty()
    found.event("code", ALARM, "test", "urgent")
    async with asyncio.timeout(10):
        assert await told.get() == start + 6
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_only_what_is_durable_is_signed(log: Log) -> None:
    """An entry that a power cut could cost is in no checkpoint."""
    signer = HandSigner()
    found, _ = writer(log, signer)
    durable = log.durable_size
    found.append(Kind.EVENT, ["code", INFORMATION, "test", "not durable yet"])
    assert await found.checkpoint()
    assert signer.signed == [durable]
    await found.finish()
    assert signer.signed == [durable, log.size]
    assert log.newest_checkpoint is not None
    assert parse_checkpoint(log.newest_checkpoint).size == log.size


async def test_readings_go_on_while_the_key_store_is_away(log: Log) -> None:
    """They are durable, said to be unsigned, and covered by the first checkpoint after."""
    signer = HandSigner()
    found, _ = writer(log, signer)
    signer.away = True
    for number in range(5):
        found.append(Kind.EVENT, ["code", INFORMATION, "test", str(number)])
        assert await found.commit()
        assert not await found.checkpoint()
    assert "pulled out" in found.troubles["key"]
    assert log.newest_checkpoint is None
    signer.away = False
    assert await found.checkpoint()
    assert found.troubles == {}
    # One event when it went, covered, and one when it came back.
    assert signer.signed == [log.size - 1]
    told = [decode(data).body[:2] for data in log.read(0, log.size) if decode(data).kind is Kind.EVENT]
    assert [said for said in told if said[0].startswith("key-")] == [["key-away", WARNING]]
    await found.commit()
    told = [decode(data).body[:2] for data in log.read(0, log.size) if decode(data).kind is Kind.EVENT]
    assert told[-1] == ["key-back", INFORMATION]


async def test_a_disk_that_takes_nothing_is_a_trouble_until_it_does(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing raises in the tasks; status says what is wrong; the loss is named afterwards."""
    found, _ = writer(log, HandSigner())
    clock = SystemClock()

    def failing(*_: object, **__: object) -> None:
        raise LogUnavailable("the log cannot be written: Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(log, "append", failing)
        patch.setattr(log, "commit", failing)
        with pytest.raises(LogUnavailable):
            found.append(Kind.EVENT, ["code", INFORMATION, "test", "lost"])
        found.lost("main", clock(), "Input/output error")
        found.lost("main", clock(), "Input/output error")
        found.event("code", ALARM, "test", "said in the system log only")
        assert not await found.commit()
        assert "Input/output error" in found.troubles["log"]
    found.append(Kind.EVENT, ["code", INFORMATION, "test", "back"])
    assert await found.commit()
    assert found.troubles == {}
    gaps = [entry for entry in map(decode, log.read(0)) if entry.kind is Kind.GAP]
    assert [(entry.body[0], entry.body[3]) for entry in gaps] == [("main", 2)]


async def test_what_a_witness_said_stays_with_a_checkpoint_that_is_signed_again(log: Log) -> None:
    """An idle log signs the same text again; once it grows, the line of the old text is not carried on."""
    found, _ = writer(log, HandSigner())
    assert await found.checkpoint()
    bare = log.newest_checkpoint
    assert bare is not None
    cosigned = bare + b"\xe2\x80\x94 witness.example AAAAAAA=\n"
    assert await found.keep(cosigned)
    assert await found.checkpoint()
    assert log.newest_checkpoint == cosigned
    found.append(Kind.EVENT, ["code", INFORMATION, "test", "more"])
    await found.commit()
    assert await found.checkpoint()
    assert b"witness.example" not in (log.newest_checkpoint or b"")
