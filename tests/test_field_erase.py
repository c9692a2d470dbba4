"""Erasing fields: what is asked for goes, the rest stays, the log does not change; and requests survive any crash."""

from __future__ import annotations

import contextlib
import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LogUnavailable, MalformedError
from gateway.fields import requests
from gateway.fields.erase import Erased, erase
from gateway.fields.files import files_of, load
from gateway.fields.keeper import DAY_MS, ERASED, FieldKeeper, begin
from gateway.fields.requests import BEGUN, DONE, LOGGED, Request
from gateway.log.entry import Kind, decode
from gateway.pace import Policy
from gateway.reading import Moment
from gateway.writer import Writer
from tests.concealed import BODY, METER, MOMENT, ConcealingStation, found

POLICY = Policy(commit_ms=10_000, commit_entries=64, checkpoint_ms=10_000, checkpoint_entries=64)


class SetClock:
    """A wall clock set by hand."""

    def __init__(self, wall_ms: int, quality: str = "S") -> None:
        self.wall_ms = wall_ms
        self.quality = quality

    def __call__(self) -> Moment:
        return Moment(boottime_ns=0, wall_ms=self.wall_ms, quality=self.quality, error_ms=5)


class NoSigner:
    def sign_checkpoint(self, origin: str, size: int, root: bytes) -> bytes:
        raise AssertionError("nothing is signed here")


@pytest.fixture
def station(tmp_path: Path) -> ConcealingStation:
    """Twenty commits of eight concealed readings, over several files; a second passes between two readings."""
    made = ConcealingStation(tmp_path)
    made.start()
    for _ in range(20):
        made.conceal(8)
        made.log.commit()
        made.store.prepare()
    assert len(files_of(made.fields)) > 2
    return made


def wall_ms(station: ConcealingStation, seq: int) -> int:
    return decode(station.entries()[seq]).moment.wall_ms


def gone(station: ConcealingStation) -> set[int]:
    return {seq for seq, value in found(station).items() if value != seq}


def test_what_is_before_the_time_goes_and_nothing_else(station: ConcealingStation) -> None:
    """Whole files, and a part of one; every proof about the log survives, byte for byte."""
    before = station.entries()
    seqs = list(found(station))
    until_ms = wall_ms(station, seqs[100])
    erased = erase([station.store.roll()], None, until_ms)
    assert erased == Erased(count=100, from_seq=seqs[0], to_seq=seqs[99])
    assert gone(station) == set(seqs[:100])
    assert station.entries() == before
    station.sign()
    assert station.verify().verdict == "intact"
    assert erase([station.store.roll()], None, until_ms) == Erased()
    station.conceal(3)
    station.log.commit()
    assert gone(station) == set(seqs[:100])


def test_only_the_meter_that_was_named_is_erased(station: ConcealingStation) -> None:
    """The other's records stay, in the same files."""
    assert erase([station.store.roll()], "somebody else", 2**62) == Erased()
    assert gone(station) == set()
    assert erase([station.store.roll()], METER.name, 2**62).count == len(found(station))
    assert gone(station) == set(found(station))
    assert files_of(station.fields) == []


def test_no_byte_of_an_erased_record_is_left_in_a_file(station: ConcealingStation) -> None:
    """Looked for in every file of the state directory, and in the blocks of the files that were given up."""
    secret = b"\xde\xad\xbe\xef load profile"
    station.store.keep(station.log.size, METER, MOMENT, [1, [], [[0, secret, 1, 0], *BODY[2][1:]]])
    files = station.store.roll()
    with contextlib.ExitStack() as stack:
        witnesses = [stack.enter_context(path.open("rb")) for path in files]
        assert any(secret in path.read_bytes() for path in files)
        erase([files], METER.name, MOMENT.wall_ms + 1)
        assert not any(secret in witness.read() for witness in witnesses)
    for path in station.state.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes()


def test_the_time_counts_not_the_order(station: ConcealingStation) -> None:
    """A record with an old date among new ones goes, unless a look at the oldest files is all that is wanted."""
    station.conceal(3)
    old = Moment(boottime_ns=0, wall_ms=5, quality="U", error_ms=-1)
    station.store.keep(station.log.size, METER, old, BODY)
    assert erase([station.store.roll()], None, 6, patient=False) == Erased()
    assert erase([station.store.roll()], None, 6).count == 1


def test_what_cannot_be_read_goes_with_what_is_as_old_as_its_file(station: ConcealingStation) -> None:
    """A broken block in a file that is old enough is not kept for ever."""
    path = station.store.roll()[0]
    data = bytearray(path.read_bytes())
    data[4096 + 20 : 4096 + 60] = bytes(40)
    path.write_bytes(data)
    os.utime(path, (1_000, 1_000))
    assert load(path).fault
    assert erase([[path]], "somebody else", 999_000).count == 0
    assert path.exists()
    assert erase([[path]], "somebody else", 1_001_000).count == 0
    assert not path.exists()
    assert gone(station)


def keeper_of(station: ConcealingStation, clock: SetClock, days: int = 400) -> tuple[FieldKeeper, Writer]:
    writer = Writer(station.log, NoSigner(), POLICY, clock, lambda: None)
    station.store.roll()
    return begin(station.state, writer, clock, lambda: days), writer


def events(station: ConcealingStation) -> list[list[object]]:
    entries = [decode(data) for data in station.entries()]
    return [entry.body for entry in entries if entry.kind is Kind.EVENT and entry.body[0].startswith("fields")]


async def test_a_request_is_fulfilled_and_the_log_says_so(station: ConcealingStation) -> None:
    """Which readings, of whom, until when, and what an erasure cannot reach."""
    seqs = list(found(station))
    keeper, _ = keeper_of(station, SetClock(2**41))
    until_ms = wall_ms(station, seqs[10])
    path = requests.place(station.state, Request(meter=METER.name, until_ms=until_ms))
    await keeper.fulfil(path)
    assert requests.read(path).state == LOGGED
    assert requests.read(path).count == 10
    assert gone(station) == set(seqs[:10])
    ((code, severity, subject, text),) = events(station)
    assert (code, severity, subject) == (ERASED, 0, METER.name)
    assert f"the fields of 10 readings, from entry {seqs[0]} to {seqs[9]}," in str(text)
    assert "flash may keep old blocks" in str(text)


@pytest.mark.parametrize("state", [BEGUN, DONE])
async def test_a_request_that_a_crash_interrupted_is_taken_up_where_it_was(
    station: ConcealingStation, state: str
) -> None:
    """Begun: erased again, and the event says that there was a run before. Done: only the event is missing."""
    seqs = list(found(station))
    keeper, _ = keeper_of(station, SetClock(2**41))
    request = Request(meter=None, until_ms=wall_ms(station, seqs[10])).begun()
    if state == DONE:
        request = request.done(Erased(count=7, from_seq=3, to_seq=9))
    path = requests.place(station.state, request)
    await keeper.fulfil(path)
    ((_, _, subject, text),) = events(station)
    assert subject == "all meters"
    assert ("interrupted" in str(text)) == (state == BEGUN)
    assert gone(station) == (set(seqs[:10]) if state == BEGUN else set())
    assert ("of 7 readings" in str(text)) == (state == DONE)


async def test_a_log_that_takes_nothing_delays_the_event_not_the_erasure(
    station: ConcealingStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request stays, done but not logged, until the event is durable."""
    keeper, writer = keeper_of(station, SetClock(2**41))
    path = requests.place(station.state, Request(meter=None, until_ms=2**40))

    def failing(*_: object, **__: object) -> None:
        raise LogUnavailable("the log cannot be written: Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "append", failing)
        await keeper.fulfil(path)
    assert requests.read(path).state == DONE
    assert events(station) == []
    await keeper.fulfil(path)
    assert requests.read(path).state == LOGGED
    assert len(events(station)) == 1


async def test_a_request_that_is_none_is_said_once_and_left(station: ConcealingStation) -> None:
    """Whatever somebody puts there costs no task its life."""
    keeper, writer = keeper_of(station, SetClock(2**41))
    path = requests.place(station.state, Request(meter=None, until_ms=5))
    path.write_bytes(b"\xff{")
    await keeper.fulfil(path)
    await writer.commit()
    ((code, severity, _, text),) = events(station)
    assert (code, severity) == ("fields-not-erased", 2)
    assert "no request to erase fields" in str(text)
    assert gone(station) == set()


async def test_fields_that_are_too_old_go_day_by_day_once_the_clock_is_right(station: ConcealingStation) -> None:
    """Not by a clock that nobody vouches for; and one event for a day, not one for each look."""
    seqs = list(found(station))
    first_ms = wall_ms(station, seqs[0])
    clock = SetClock(first_ms + 3 * DAY_MS, quality="U")
    keeper, writer = keeper_of(station, clock, days=2)
    await keeper.erase_old()
    assert gone(station) == set()
    clock.quality = "S"
    await keeper.erase_old()
    assert gone(station) == set(seqs)
    await keeper.erase_old()
    await writer.commit()
    ((code, _, subject, text),) = events(station)
    assert (code, subject) == (ERASED, "all meters")
    assert f"of {len(seqs)} readings" in str(text)


async def test_nothing_younger_than_its_days_goes(station: ConcealingStation) -> None:
    """A day before its time everything is there."""
    clock = SetClock(wall_ms(station, next(iter(found(station)))) + 2 * DAY_MS)
    keeper, _ = keeper_of(station, clock, days=2)
    await keeper.erase_old()
    assert gone(station) == set()
    assert events(station) == []


def test_a_start_names_the_entries_that_survived_a_power_cut_without_their_fields(tmp_path: Path) -> None:
    """Not confirmed, kept by the disk all the same: nobody shall take them for erased."""
    station = ConcealingStation(tmp_path)
    station.start()
    station.conceal(3)
    station.log.commit()
    survivors = [station.log.size, station.log.size + 1]
    station.conceal(2)
    # The power goes: the log's block made it to the disk, the sidecar's did not.
    (path,) = files_of(station.fields)
    data = path.read_bytes()
    path.write_bytes(data[: 2 * 4096] + bytes(len(data) - 2 * 4096))
    station.log.close()
    again = ConcealingStation(tmp_path)
    again.start()
    again.log.commit()
    _, writer = keeper_of(again, SetClock(2**41))
    writer.log.commit()
    ((code, severity, _, text),) = events(again)
    assert (code, severity) == ("fields-broken", 1)
    assert f"2 entries from {survivors[0]} to {survivors[1]} were not confirmed" in str(text)
    again.stop()
    once_more = ConcealingStation(tmp_path)
    once_more.start()
    keeper_of(once_more, SetClock(2**41))
    once_more.log.commit()
    assert len(events(once_more)) == 1


def test_requests_come_back_as_they_were(tmp_path: Path) -> None:
    """Each in a file of its own; none where nobody has asked."""
    assert requests.pending(tmp_path) == []
    wanted = [Request(meter="flat-3", until_ms=5), Request(meter=None, until_ms=-1).begun().begun()]
    for request in wanted:
        requests.place(tmp_path, request)
    assert {requests.read(path) for path in requests.pending(tmp_path)} == set(wanted)
    assert wanted[1].again


@given(st.binary(max_size=80) | st.builds(lambda value: json.dumps(value).encode(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["meter", "until_ms", "state", "again", "count", "from_seq", "x"]), inner, max_size=6),
    max_leaves=9,
)))  # fmt: skip
def test_no_bytes_raise_anything_but_malformed(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever lies there, it is a request or a MalformedError."""
    path = tmp_path_factory.getbasetemp() / "request.json"
    path.write_bytes(data)
    with contextlib.suppress(MalformedError):
        assert requests.read(path).state in requests.STATES


def test_erasing_at_random_leaves_exactly_the_rest(tmp_path: Path) -> None:
    """Twenty erasures of random times between new readings, against a set of what should be gone."""
    rng = random.Random(11)
    station = ConcealingStation(tmp_path)
    station.start()
    expected: set[int] = set()
    for _ in range(20):
        station.conceal(rng.randrange(1, 30))
        station.log.commit()
        times = {seq: wall_ms(station, seq) for seq in found(station)}
        until_ms = rng.choice(list(times.values()))
        erase([station.store.roll()], None, until_ms)
        expected |= {seq for seq, at in times.items() if at < until_ms}
        assert gone(station) == expected
