"""Following another gateway's channel into our log: whose word counts, and what is found wrong is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.errors import ConfigError, TamperError
from gateway.log.entry import Kind, decode, definition_body
from gateway.log.evidence import verify_evidence, write_evidence
from gateway.log.imported import evidence_of, verify_imported
from gateway.log.vkey import VerifierKey
from tests.honest_log import ORIGIN, HonestLog, MemoryKey
from tests.metered_log import MAIN, metered_log
from tests.rotated import FIRST, SECOND, THIRD, RotatedLog, vkey
from tests.upstream_side import Channel, NearSide, follow, post_all, working
from tests.whole import until

SIZE = 400
#: The station of these tests has the same origin as the log that is followed; it is another log all the same.


@pytest.fixture(scope="module")
def log() -> HonestLog:
    return metered_log(SIZE)


@pytest.fixture
def channel(tmp_path: Path) -> Channel:
    return Channel(tmp_path / "channel")


@pytest.fixture
def near(tmp_path: Path) -> NearSide:
    return NearSide(tmp_path / "state")


def test_another_past_in_a_new_store_never_gets_in(
    tmp_path: Path, channel: Channel, near: NearSide, log: HonestLog
) -> None:
    """A signed fork, shown to a far side that has forgotten: our own log contradicts it."""
    post_all(channel, log, 0, 200)
    follow(channel, near, log, 200)
    shutil.rmtree(near.station.state / "upstream")
    fork = log.branch(150, "fork").grow(300)
    other = Channel(tmp_path / "other")
    post_all(other, fork, 0, 300)
    with pytest.raises(TamperError, match="do not go on from those in our log"):
        follow(other, near, log, 300)
    assert near.entries(ORIGIN) == dict(enumerate(log.entries[:200]))


def test_the_keys_of_a_rotated_log_are_followed(channel: Channel, near: NearSide) -> None:
    """Pinned is the first key; the statements are among what is kept, so that a stranger can follow them too."""
    log = RotatedLog(key=FIRST)
    log.append(Kind.DEFINITION, definition_body(MAIN))
    log.grow(30)
    log.rotate(SECOND)
    log.grow(60)
    log.rotate(THIRD)
    log.grow(100)
    post_all(channel, log, 0, 100, step=10)
    with working(channel.settings([vkey(FIRST)], ["main"]), near, near.station.state / "upstream") as worker:
        until(lambda: worker.verified == 100, "all is verified")
        until(lambda: near.batches and near.batches[-1].imported.end_seq > 60, "the second rotation")
    assert near.findings == []
    kinds = [decode(data).kind for data in near.entries(ORIGIN).values()]
    assert kinds == [Kind.GENESIS, Kind.DEFINITION, Kind.KEY, Kind.KEY]
    imports = near.imports(ORIGIN)
    statements = [decode(data).body[1].encode() for data in near.entries(ORIGIN).values() if data[2] == Kind.KEY]
    assert all(verify_imported(found, [vkey(FIRST)], statements) for found in imports)
    data = write_evidence(evidence_of(imports, [0, 30], statements))
    assert verify_evidence(data, [vkey(FIRST)]).signed_by == (vkey(THIRD),)


def test_with_two_keys_both_must_have_signed(channel: Channel, near: NearSide, log: HonestLog) -> None:
    """A checkpoint by one of the two settles nothing: whoever stole the file key has not stolen the other."""
    second = MemoryKey(5)
    pins = [log.vkey, VerifierKey.of(ORIGIN, second.public_key)]
    both = RotatedLog(key=log.key)
    both.entries, both.leaves = log.entries, log.leaves
    post_all(channel, log, 0, 100)
    with working(channel.settings(pins), near, near.station.state / "upstream"):
        until(lambda: near.findings, "a finding")
        assert {finding.kind for finding in near.findings} == {"bad-signature"}
        assert near.batches == []
        note = both.note(100, second)
        channel.folder.joinpath("checkpoint").write_bytes(note)
        until(lambda: near.batches and near.batches[-1].imported.end_seq == 100, "what both have signed")
    assert verify_imported(near.imports(ORIGIN)[-1], pins)


def test_a_wrong_key_lets_nothing_in(channel: Channel, near: NearSide, log: HonestLog) -> None:
    """Every checkpoint is a finding, and no entry of ours says anything of the other log."""
    post_all(channel, log, 0, 100)
    stranger = VerifierKey.of(ORIGIN, MemoryKey(9).public_key)
    with working(channel.settings([stranger]), near, near.station.state / "upstream") as worker:
        until(lambda: worker.held == 100 and near.findings, "all was looked at")
    assert {finding.kind for finding in near.findings} == {"bad-signature"}
    assert near.batches == []


def test_a_tampered_message_is_a_finding_and_the_honest_one_is_taken(
    channel: Channel, near: NearSide, log: HonestLog
) -> None:
    """One bit on the way; what comes again as it should be goes in."""
    channel.post(log, 0, 100, 100)
    data = bytearray(log.message(100, 120, 120))
    data[len(data) // 2] ^= 1
    channel.put(100, bytes(data))
    with working(channel.settings([log.vkey]), near, near.station.state / "upstream"):
        until(lambda: near.findings, "a finding")
        post_all(channel, log, 100, 200)
        until(lambda: near.batches and near.batches[-1].imported.end_seq == 200, "the rest")
    assert near.entries(ORIGIN) == dict(enumerate(log.entries[:200]))
    assert any(not finding.benign for finding in near.findings)


def test_a_fork_is_a_finding_and_stays_out(channel: Channel, near: NearSide, log: HonestLog) -> None:
    """The other gateway was set back to an old card and went on: signed, and still another history."""
    post_all(channel, log, 0, 200)
    fork = log.branch(150, "rolled back").grow(300)
    follow(channel, near, log, 200)
    post_all(channel, fork, 150, 300, step=25)
    with working(channel.settings([log.vkey]), near, near.station.state / "upstream"):
        until(lambda: any(finding.kind == "fork" for finding in near.findings), "the fork")
    assert near.entries(ORIGIN) == dict(enumerate(log.entries[:200]))
    assert list((near.station.state / "upstream" / "evidence").iterdir())


def test_a_gap_is_a_finding_and_nothing_behind_it_counts(channel: Channel, near: NearSide, log: HonestLog) -> None:
    """A directory cannot be asked; once what was missing is there, all goes in."""
    post_all(channel, log, 0, 100)
    post_all(channel, log, 120, 200)
    with working(channel.settings([log.vkey]), near, near.station.state / "upstream"):
        until(lambda: any(finding.kind == "gap" for finding in near.findings), "the gap")
        assert not near.batches or near.batches[-1].imported.end_seq <= 100
        # A repetition is named behind what is there.
        channel.put(200, log.message(100, 200, 200))
        until(lambda: near.batches and near.batches[-1].imported.end_seq == 200, "all of it")


def test_another_log_s_store_is_refused(channel: Channel, near: NearSide, log: HonestLog) -> None:
    """An upstream whose key was changed to that of another gateway needs a name of its own."""
    post_all(channel, log, 0, 100)
    follow(channel, near, log, 100)
    other = VerifierKey.of("other.example", MemoryKey(3).public_key)
    with (
        pytest.raises(ConfigError, match="holds the log"),
        working(channel.settings([other]), near, near.station.state / "upstream"),
    ):
        until(lambda: near.stopping.wait(0.3) or True, "its end")
