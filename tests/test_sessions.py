"""Rents on a real node as sessions in a real log: the right registers, each once, whatever dies and goes back."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.chain import abi
from gateway.chain.sessions.book import text_of
from gateway.errors import UnavailableError
from gateway.log.entry import ALARM, INFORMATION, WARNING, decode
from gateway.log.view import LogView
from gateway.reading import Status
from tests.chain_nodes import Anvil
from tests.event_side import Killed, Kills
from tests.session_side import OBJECT, OTHER, T0, Site, Yard, value_at


@pytest.fixture
def yard() -> Iterator[Yard]:
    with Anvil(genesis_s=T0) as node:
        yield Yard(node)


@pytest.fixture
def site(tmp_path: Path, yard: Yard) -> Site:
    return Site(tmp_path, yard)


def register(site: Site, second: int) -> dict[str, object]:
    """What an entry holds of the register at that second: the value that the reading of that minute has."""
    wall_ms = (T0 + second // 60 * 60) * 1000
    view = LogView(site.station.directory)
    seq = next(
        entry.seq
        for entry in map(decode, view.entries())
        if entry.kind.text == "reading" and entry.moment.wall_ms == wall_ms
    )
    return {"seq": seq, "unit": "kWh", "value": value_at(T0 + second), "wall_ms": wall_ms}


def test_a_rent_and_its_return_are_one_session_with_the_registers_of_their_time(site: Site, yard: Yard) -> None:
    """Through the contract's own functions; another object's rents are not ours."""
    site.read_wallbox(0, 3600)
    asyncio.run(site.run())
    yard.at(595).rent(yard.bert, 595, 999, thing=OTHER)
    rent = abi.encode_call("rent(bytes32,uint32,address)", [OBJECT, 1800, "0x" + "00" * 20])
    opened = yard.at(600).call(yard.anna, rent, wei=1800)
    closed = yard.at(1505).call(yard.anna, abi.encode_call("returnObject(bytes32)", [OBJECT]))
    yard.confirm()
    asyncio.run(site.run())
    (_, _, _, first), (seq, code, severity, start), (_, _, _, end) = site.entries()
    assert first.items() >= {"chain": 246, "contract": yard.contract.address.lower(), "point": "import_total"}.items()
    assert (code, severity) == ("session-opened", INFORMATION)
    assert start["rent"] == f"{opened}:0"
    assert start["controller"] == yard.anna
    assert (start["from"], start["until"], start["amount"]) == (T0 + 600, T0 + 2400, "1800")
    assert start["start"] == register(site, 600)
    assert end["return"] == f"{closed}:0"
    assert (end["opened"], end["why"], end["paid_back"]) == (seq, "returned", "895")
    assert end["start"] == start["start"]
    assert end["end"] == register(site, 1505)
    assert site.state["open"] is None
    for _, _, _, facts in site.entries():
        block = yard.node.rpc("eth_getBlockByNumber", hex(facts["block"]), False)
        assert facts["hash"] == block["hash"]
        assert len(text_of(facts)) <= 1000
    assert len(text_of(end)) > 500


def test_weeks_later_the_registers_are_still_those_of_the_time(site: Site, yard: Yard) -> None:
    """The chain was away from the first day on; three weeks of readings are in the log when it comes back."""
    weeks = 21 * 86_400
    site.read_wallbox(0, 7200)
    asyncio.run(site.run())
    yard.at(3000).rent(yard.anna, 3000, 9000)
    yard.at(5000).give_back(yard.anna, 3000)
    for day in range(1, 21):
        yard.at(day * 86_400).rent(yard.bert, day * 86_400, day * 86_400 + 3600)
    yard.confirm(weeks)
    site.read_wallbox(7260, weeks, every_s=400)
    asyncio.run(site.run())
    assert site.codes() == ["listening", *["opened", "closed"] * 21]
    entries = site.entries()
    assert entries[1][3]["start"] == register(site, 3000)
    assert entries[2][3]["end"] == register(site, 5000)
    assert {facts["why"] for _, code, _, facts in entries[3:] if code == "session-closed"} == {"expired"}
    values = [facts["end"]["value"] for _, code, _, facts in entries if code == "session-closed"]
    assert len(set(values)) == 21
    assert values == sorted(values, key=float)


def test_a_meter_that_said_nothing_good_leaves_no_value_and_why(site: Site, yard: Yard) -> None:
    """Nothing is read at the start, and at the end the meter does not answer."""
    asyncio.run(site.run())
    yard.at(600).rent(yard.anna, 600, 9000)
    yard.at(7000).give_back(yard.anna, 600)
    site.read_wallbox(6000, 7200, status=Status.TIMEOUT)
    yard.confirm()
    asyncio.run(site.run())
    _, opened, closed = site.entries()
    assert opened[3]["start"] == {"reason": "nothing was read in the 900 s before"}
    assert set(closed[3]["end"]) == {"reason"}
    assert closed[3]["end"]["reason"].endswith("says timeout")
    assert "no good value in the 900 s before" in closed[3]["end"]["reason"]


def test_an_expired_session_and_a_return_without_a_rent_are_told(site: Site, yard: Yard) -> None:
    """By the chain's clock: as long as its confirmed blocks are of earlier times, a return may still come."""
    site.read_wallbox(0, 3600)
    asyncio.run(site.run())
    yard.at(600).rent(yard.anna, 600, 1200)
    yard.confirm(1190)
    asyncio.run(site.run())
    assert site.codes() == ["listening", "opened"]
    assert site.state["open"] is not None
    yard.confirm(1201)
    asyncio.run(site.run())
    assert site.codes() == ["listening", "opened", "closed"]
    yard.at(1300).give_back(yard.anna, 600)
    yard.at(1400).give_back(yard.bert, 600)
    yard.confirm()
    asyncio.run(site.run())
    _, _, closed, late, stray = site.entries()
    assert (closed[2], closed[3]["why"]) == (WARNING, "expired")
    assert closed[3]["end"] == register(site, 1200)
    assert (late[1], late[2], late[3]["rent"]) == ("session-unmatched", INFORMATION, closed[3]["rent"])
    assert (stray[1], stray[2], stray[3]["rent"]) == ("session-unmatched", WARNING, None)
    assert stray[3]["end"] == register(site, 1400)


def rents_at_random(yard: Yard, rng: random.Random, second: int, count: int) -> int:
    """Rents for now and for later, returns, and what does not fit; returns the chain's time behind them."""
    starts: list[tuple[str, int]] = [(yard.anna, 0)]
    for _ in range(count):
        second += rng.randint(30, 200)
        yard.at(second)
        who = rng.choice([yard.anna, yard.bert])
        if rng.random() < 0.6:
            from_s = second + rng.choice([0, 0, 0, 250])
            starts.append((who, from_s))
            yard.rent(who, from_s, from_s + rng.randint(50, 600), no_return=rng.random() < 0.2)
        else:
            yard.give_back(*rng.choice(starts[-3:]))
    yard.confirm(second + 60)
    return second + 70


@pytest.mark.parametrize("seed", [1, 2])
def test_through_kills_and_power_cuts_the_log_has_each_once(site: Site, yard: Yard, seed: int, tmp_path: Path) -> None:
    """Seeded, before or behind each write, while more happens on the chain; a board that never dies says the same."""
    rng = random.Random(seed)
    (tmp_path / "other").mkdir()
    calm = Site(tmp_path / "other", yard)
    site.read_wallbox(0, 9000)
    calm.read_wallbox(0, 9000)
    second, deaths = 100, 0
    for _ in range(3):
        second = rents_at_random(yard, rng, second, count=5)
        for _ in range(7):
            kills = Kills(rng.randrange(16), behind=rng.random() < 0.5)
            try:
                asyncio.run(site.run(kills, power=rng.random() < 0.5))
            except Killed:
                deaths += 1
    asyncio.run(site.run())
    asyncio.run(calm.run())
    assert deaths >= 6
    assert site.story() == calm.story()
    opened = [facts["rent"] for _, code, _, facts in site.entries() if code == "session-opened"]
    assert len(opened) > 3
    assert len(set(opened)) == len(opened)
    assert all(facts["start"].get("value") for facts in site.story() if facts["code"] == "session-opened")


def test_every_commit_point_in_both_forms(site: Site, yard: Yard, tmp_path: Path) -> None:
    """One after the other: killed before it, killed behind it or cut off from power there, or told that it failed."""
    yard.at(100).rent(yard.anna, 100, 300)
    yard.confirm(400)
    site.read_wallbox(0, 400)
    asyncio.run(site.run(whole := Kills()))
    assert site.codes() == ["listening", "opened", "closed"]
    assert whole.points > 10
    for at in range(whole.points):
        for form in range(3):
            folder = tmp_path / f"{at}-{form}"
            folder.mkdir()
            one = Site(folder, yard)
            one.read_wallbox(0, 400)
            if form == 2:
                asyncio.run(one.run(Kills(at, behind=True, error=UnavailableError)))
            else:
                with pytest.raises(Killed):
                    asyncio.run(one.run(Kills(at, behind=form == 1), power=at % 2 == 0))
                asyncio.run(one.run())
            assert one.story() == site.story(), f"point {at}, form {form}"


def test_a_deep_reorganisation_makes_entries_void_and_enters_again_what_comes_again(site: Site, yard: Yard) -> None:
    """The session was closed in blocks that are gone; on the other branch it goes on, and ends later."""
    site.read_wallbox(0, 3600)
    rent = yard.at(600).rent(yard.anna, 600, 9000)
    yard.node.mine(3)
    asyncio.run(site.run())
    yard.at(1200).give_back(yard.anna, 600)
    yard.confirm()
    asyncio.run(site.run())
    assert site.codes() == ["listening", "opened", "closed"]
    yard.node.reorg(5)
    yard.at(1800).give_back(yard.anna, 600)
    yard.confirm()
    for at in range(4):
        with pytest.raises(Killed):
            asyncio.run(site.run(Kills(at + 2, behind=at % 2 == 1), power=at > 1))
    asyncio.run(site.run())
    assert site.codes() == ["listening", "opened", "closed", "void", "closed"]
    _, opened, gone, void, closed = site.entries()
    assert (void[2], void[3]["entries"], void[3]["earlier"]) == (ALARM, [gone[0]], False)
    assert (closed[3]["rent"], closed[3]["opened"]) == (rent, opened[0])
    assert closed[3]["end"] == register(site, 1800)
    bodies = [decode(data).body for data in LogView(site.station.directory).entries() if data[2] == 3]
    assert any(body[0] == "chain-reorg" and body[1] == ALARM for body in bodies)


def test_a_rent_that_is_gone_never_was_a_session(site: Site, yard: Yard) -> None:
    """And a rent in the same second on the other branch is one of its own."""
    site.read_wallbox(0, 3600)
    yard.node.mine(4)
    asyncio.run(site.run())
    yard.at(600).rent(yard.anna, 600, 9000)
    yard.confirm()
    asyncio.run(site.run())
    yard.node.reorg(6)
    again = yard.at(700).rent(yard.bert, 700, 800)
    yard.confirm(900)
    asyncio.run(site.run())
    assert site.codes() == ["listening", "opened", "void", "opened", "closed"]
    _, gone, void, opened, closed = site.entries()
    assert void[3]["entries"] == [gone[0]]
    assert opened[3]["rent"] == closed[3]["rent"] == again
    assert opened[3]["controller"] == yard.bert


def test_a_lost_state_file_costs_nothing_but_reading_the_log(site: Site, yard: Yard) -> None:
    """The log says where it was; what happened since is not missed, and nothing is written twice."""
    site.read_wallbox(0, 3600)
    site.begin = None
    yard.node.mine(3)
    asyncio.run(site.run())
    yard.at(600).rent(yard.anna, 600, 9000)
    yard.confirm()
    asyncio.run(site.run())
    yard.at(1200).give_back(yard.anna, 600)
    yard.at(1300).rent(yard.bert, 1300, 1400)
    yard.confirm()
    (site.folder / "state.json").unlink()
    yard.confirm(2000)
    asyncio.run(site.run())
    assert site.codes() == ["listening", "opened", "closed", "opened", "closed"]


def test_a_state_file_of_another_past_of_the_log_is_not_believed(site: Site, yard: Yard) -> None:
    """It says more than the log has, since an older copy of that was put back: what is missing is entered again."""
    site.read_wallbox(0, 3600)
    asyncio.run(site.run())
    old = {path.name: path.read_bytes() for path in site.station.directory.iterdir()}
    yard.at(600).rent(yard.anna, 600, 900)
    yard.confirm(1000)
    asyncio.run(site.run())
    before = site.story()
    for path in site.station.directory.iterdir():
        path.unlink()
    for name, data in old.items():
        (site.station.directory / name).write_bytes(data)
    for at in range(6):
        with contextlib.suppress(Killed):
            asyncio.run(site.run(Kills(at, behind=at % 2 == 1)))
    asyncio.run(site.run())
    assert site.codes() == ["listening", "opened", "closed"]
    assert site.story() == before
