"""Following another gateway's channel into our log: once, in order, verified, and never silently not."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from gateway.log.entry import Kind, decode, reading_body
from gateway.log.evidence import verify_evidence, write_evidence
from gateway.log.imported import evidence_of, imported_body, imports_in, verify_imported
from gateway.log.scan import segment_starts
from gateway.log.verify import INTACT, Demands, verify_segments
from gateway.upstream import position
from tests.honest_log import ORIGIN, HonestLog, MemoryKey
from tests.log_dir import KEY
from tests.metered_log import metered_log, reading
from tests.test_evidence_fields import LOG as CONCEALED_LOG
from tests.test_receiver_forget import long_log
from tests.upstream_side import Channel, NearSide, follow, imported_to, post_all, working
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


def test_every_entry_arrives_once_in_order_and_verbatim(channel: Channel, near: NearSide, log: HonestLog) -> None:
    """Our log then verifies, and each import proves itself with the other log's key."""
    post_all(channel, log, 0, SIZE)
    follow(channel, near, log, SIZE)
    assert near.entries(ORIGIN) == dict(enumerate(log.entries))
    assert all(verify_imported(found, [log.vkey]) for found in near.imports(ORIGIN))
    assert near.findings == []
    near.station.sign()
    near.station.log.close()
    report = verify_segments(near.station.directory, Demands(keys=(KEY,)))
    assert report.verdict == INTACT, report


def test_nothing_counts_before_a_checkpoint_covers_it(channel: Channel, near: NearSide, log: HonestLog) -> None:
    """Entries that only chain stay out; the checkpoint behind them lets them in."""
    channel.post(log, 0, 20, 20)
    channel.post(log, 20, 40)
    with working(channel.settings([log.vkey]), near, near.station.state / "upstream") as worker:
        until(lambda: worker.held == 40, "all is held")
        imported_to(near, ORIGIN, 20)
        channel.post(log, 40, 41, 40)
        imported_to(near, ORIGIN, 40)


@pytest.mark.parametrize("seed", range(6))
def test_a_death_at_any_hand_over_loses_and_repeats_nothing(
    channel: Channel, near: NearSide, log: HonestLog, seed: int
) -> None:
    """Before the append, or behind it when nobody was told; the file with the position there, old, broken or gone."""
    chance = random.Random(seed)
    place = near.station.state / "upstream" / "position"
    sent = 0
    while sent < SIZE:
        step = min(chance.randrange(10, 120), SIZE - sent)
        post_all(channel, log, sent, sent + step, step=chance.randrange(3, 40))
        sent += step
        near.dies_at, near.dies_behind = len(near.batches) + chance.randrange(3), chance.random() < 0.5
        batches = len(near.batches)
        with working(channel.settings([log.vkey]), near, near.station.state / "upstream") as worker:
            until(lambda: worker.held == sent, f"{sent} are held")  # noqa: B023  (called within the round)
            until(lambda: len(near.batches) > batches or not near.dies_behind, "a hand-over")  # noqa: B023
        if chance.random() < 0.3 and place.exists():
            place.write_bytes(b"" if chance.random() < 0.5 else place.read_bytes()[:-3])
        if chance.random() < 0.3:
            place.unlink(missing_ok=True)
        near.station.log.close()
        near.station.start()
    near.dies_at = None
    follow(channel, near, log, SIZE)
    assert near.entries(ORIGIN) == dict(enumerate(log.entries))
    assert near.findings == []


def test_what_a_power_cut_takes_from_our_log_comes_again(
    tmp_path: Path, channel: Channel, near: NearSide, log: HonestLog
) -> None:
    """Imports that were not durable are gone with the log's tail; the store still has what they held."""
    post_all(channel, log, 0, 100)
    follow(channel, near, log, 100)
    shutil.copytree(near.station.directory, tmp_path / "before")
    post_all(channel, log, 100, 200)
    follow(channel, near, log, 200)
    near.station.log.close()
    shutil.rmtree(near.station.directory)
    shutil.copytree(tmp_path / "before", near.station.directory)
    near.station.start()
    near.batches.clear()
    with working(channel.settings([log.vkey]), near, near.station.state / "upstream"):
        until(lambda: near.batches and near.batches[-1].imported.end_seq == 200, "what was lost")
    assert near.batches[0].imported.first_seq == 100
    assert near.entries(ORIGIN) == dict(enumerate(log.entries[:200]))


def test_a_lost_store_is_filled_again_and_nothing_comes_twice(channel: Channel, near: NearSide, log: HonestLog) -> None:
    """Our log alone tells how far it is."""
    post_all(channel, log, 0, 200)
    follow(channel, near, log, 200)
    shutil.rmtree(near.station.state / "upstream")
    post_all(channel, log, 200, SIZE)
    follow(channel, near, log, SIZE)
    assert near.entries(ORIGIN) == dict(enumerate(log.entries))


def test_a_new_epoch_of_our_log_goes_on_where_the_old_one_was(
    tmp_path: Path, channel: Channel, near: NearSide, log: HonestLog
) -> None:
    """The file says how far the closed log was."""
    post_all(channel, log, 0, 200)
    follow(channel, near, log, 200)
    place = near.station.state / "upstream" / "position"
    known = position.load(place)
    assert known is not None
    position.save(place, position.Position(log="example.org/before", seq=9, hash=bytes(32), tree=known.tree))
    fresh = NearSide(tmp_path / "fresh")
    shutil.copytree(near.station.state / "upstream", fresh.station.state / "upstream")
    post_all(channel, log, 200, SIZE)
    with working(channel.settings([log.vkey]), fresh, fresh.station.state / "upstream"):
        until(lambda: sum(len(batch.imported.items) for batch in fresh.batches) == SIZE - 200, "the rest")
    assert fresh.batches[0].imported.first_seq == 200
    assert verify_imported(fresh.batches[0].imported, [log.vkey])


def test_only_the_chosen_meters_are_kept_and_still_proved(channel: Channel, near: NearSide, log: HonestLog) -> None:
    """Of the others only hashes come, so that our log accounts for every entry; imports wait for what is wanted."""
    post_all(channel, log, 0, SIZE)
    with working(channel.settings([log.vkey], ["roof"]), near, near.station.state / "upstream"):
        until(lambda: near.batches and near.batches[-1].imported.end_seq >= SIZE - 7, "the readings")
    kept = near.entries(ORIGIN)
    kinds = {decode(data).kind for data in kept.values()}
    assert kinds == {Kind.GENESIS, Kind.DEFINITION, Kind.READING}
    wanted = [seq for seq in range(3, SIZE) if decode(log.entries[seq]).body[0] == 2]
    assert [seq for seq in kept if decode(kept[seq]).kind is Kind.READING] == wanted
    assert {decode(data).body[0] for data in kept.values() if decode(data).kind is Kind.DEFINITION} == {"roof"}
    assert {news.meter for batch in near.batches for news in batch.news} == {"roof"}
    data = write_evidence(evidence_of(near.imports(ORIGIN), wanted[5:9]))
    assert len(verify_evidence(data, [log.vkey]).entries) == 5


def test_a_log_without_the_chosen_meter_costs_little(channel: Channel, near: NearSide) -> None:
    """Nothing to keep but the genesis entry: hashes wait until there are as many as an entry takes."""
    log = HonestLog().grow(1200)
    post_all(channel, log, 0, 1200, step=100)
    with working(channel.settings([log.vkey], ["roof"]), near, near.station.state / "upstream") as worker:
        until(lambda: worker.verified == 1200, "all is verified")
        until(lambda: len(near.batches) == 2, "two imports")
    assert [len(batch.imported.entries) for batch in near.batches] == [1, 0]
    assert all(len(entry.data) < 20_000 for entry in near.station.log.last_entries(2))


def test_concealed_readings_are_told_as_such(channel: Channel, near: NearSide) -> None:
    """The root comes, no value does, and the meter counts as there."""
    log = CONCEALED_LOG
    channel.post(log, 0, log.size, log.size)
    follow(channel, near, log, log.size)
    news = [item for batch in near.batches for item in batch.news]
    concealed = [entry for entry in map(decode, near.entries(ORIGIN).values()) if entry.kind is Kind.CONCEALED]
    assert concealed
    assert len(news) >= len(concealed)
    assert all(item.error == "" for item in news)


def test_nothing_is_kept_twice(channel: Channel, near: NearSide, monkeypatch: pytest.MonkeyPatch) -> None:
    """What our log holds durably goes from the store, in which there is then about one segment; a restart goes on."""
    monkeypatch.setattr("gateway.upstream.worker._SAVE_S", 0.0)
    log = long_log(metered_log(3), 5000)
    post_all(channel, log, 0, 4000, step=200)
    follow(channel, near, log, 4000)
    stored = near.station.state / "upstream"
    assert len(segment_starts(stored)) <= 2
    assert segment_starts(stored)[0] > 1000
    known = position.load(stored / "position")
    assert known is not None
    assert known.meters == {1: ("main", "eastron-sdm120"), 2: ("roof", "sunspec-203")}
    log.append(Kind.READING, reading_body(1, reading(5000, 2)))
    post_all(channel, log, 4000, log.size, step=200)
    follow(channel, near, log, log.size)
    assert near.entries(ORIGIN) == dict(enumerate(log.entries))
    # Its definition is long gone from the store, and still known.
    assert [news.meter for news in near.batches[-1].news] == ["main"]
    assert near.findings == []


def test_while_our_log_takes_nothing_the_channel_waits(channel: Channel, near: NearSide, log: HonestLog) -> None:
    """Back pressure: nothing is dropped, nothing is queued, and a stop is not held up."""
    near.open.clear()
    post_all(channel, log, 0, 200)
    with working(channel.settings([log.vkey]), near, near.station.state / "upstream") as worker:
        until(lambda: worker.verified > 0, "something is verified")
        assert near.batches == []
        near.open.set()
        imported_to(near, ORIGIN, 200)
        near.open.clear()
        post_all(channel, log, 200, SIZE)
    near.open.set()
    follow(channel, near, log, SIZE)
    assert near.entries(ORIGIN) == dict(enumerate(log.entries))


def test_an_entry_too_large_for_one_of_ours_leaves_its_hash(channel: Channel, near: NearSide) -> None:
    """It is told, and what follows is not held up."""
    log = HonestLog()
    log.append(Kind.BEACON, ["x", bytes(65_400)])
    log.grow(10)
    channel.post(log, 0, 10, 10)
    follow(channel, near, log, 10)
    assert [seq for batch in near.batches for seq in batch.too_large] == [1]
    assert sorted(near.entries(ORIGIN)) == [0, *range(2, 10)]


def test_our_imports_can_be_imported_again(tmp_path: Path, channel: Channel, near: NearSide, log: HonestLog) -> None:
    """Roof to house to grid: the roof's entry is proved out of the grid's log, with the roof's key alone."""
    post_all(channel, log, 0, 200)
    follow(channel, near, log, 200)
    house = HonestLog(origin="house.example", key=MemoryKey(4))
    for batch in near.batches:
        house.append(Kind.IMPORTED, imported_body(batch.imported))
    grid, street = NearSide(tmp_path / "grid"), Channel(tmp_path / "street")
    street.post(house, 0, house.size, house.size)
    with working(street.settings([house.vkey]), grid, tmp_path / "grid" / "upstream"):
        imported_to(grid, "house.example", house.size)
    roof = list(imports_in(grid.entries("house.example").values(), ORIGIN))
    assert len(verify_evidence(write_evidence(evidence_of(roof, [100])), [log.vkey]).entries) >= 1
