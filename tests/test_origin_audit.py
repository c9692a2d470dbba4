"""The audit of an Origin registry: green on what a gateway told, red at the first thing that the log does not say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.chain.origin.audit import OriginAudit, audit_origin
from gateway.chain.origin.calls import Co2, Release, Role, save_a_consuming, save_a_producing, save_b
from gateway.chain.origin.registry import BOND
from gateway.errors import PrunedError
from gateway.log.entry import Kind, definition_body
from gateway.log.tree import leaf_hash
from gateway.log.view import LogView
from tests.chain_nodes import Anvil
from tests.log_dir import Station
from tests.origin_side import OriginSide
from tests.totals_log import ROOF


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


def told(audit: OriginAudit) -> tuple[str, str]:
    assert audit.first_difference is not None
    return audit.first_difference.kind, audit.first_difference.text


async def producing(tmp_path: Path, node: Anvil, *, hashes: str | None = None) -> OriginSide:
    """Three totals and an outage, told."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    side.hashes = hashes or side.hashes
    run = side.start()
    side.log.carbon(500)
    for value in (1000, 2000, None, 2500):
        if value is None:
            side.log.gap()
        else:
            side.log.read(value)
        await run.say()
    return side


def saved(
    side: OriginSide, total: int, named: bytes, *, down: bool = False, co2: int = 0, co2_down: bool = True
) -> bytes:
    return save_a_producing(side.asset, total, named, Co2(total=co2, down=co2_down), down=down)


async def test_the_first_difference_is_told(tmp_path: Path, node: Anvil) -> None:
    """Each forgery by the account's own key, against the same log, is found for what it is."""
    side = await producing(tmp_path, node)
    assert (await side.audit()).agreeing == 4
    newest = side.log.read(3000)
    outage = side.log.gap()
    last = leaf_hash(side.log.station.entries()[newest.seq - 1])
    named = leaf_hash(newest.data)
    forgeries = {
        # What is told, and what follows it.
        "fell": [saved(side, 100, last, co2=1250)],
        "not-in-log": [saved(side, 3001, last, co2=1250)],
        "not-in-log ": [saved(side, 3000, last, co2=1250), saved(side, 3000, b"\x11" * 32, co2=1250, down=True)],
        "not-in-log  ": [saved(side, 3001, last, co2=1250), saved(side, 3001, named, co2=1250, down=True)],
        "flag": [saved(side, 3000, last, co2=1250, down=True), saved(side, 3000, named, co2=1250, down=True)],
        "co2": [saved(side, 3000, last, co2=2000, co2_down=False)],
        "co2 ": [saved(side, 3000, last, co2=1251)],
    }
    for kind, forged in forgeries.items():
        snapshot = node.rpc("evm_snapshot")
        for data in forged:
            side.forge(data)
        audit = await side.audit()
        assert told(audit)[0] == kind.strip(), (kind, audit)
        assert audit.agreeing == 4
        assert node.rpc("evm_revert", snapshot)
    side.forge(saved(side, 3000, last, co2=1500, co2_down=False))
    side.forge(saved(side, 3000, named, co2=1500, down=True))
    audit = await side.audit()
    assert (audit.first_difference, audit.agreeing, audit.seq) == (None, 6, outage.seq)
    side.close()


async def test_a_log_that_was_changed_is_found(tmp_path: Path, node: Anvil) -> None:
    """One reading of the log says another value than the one that was told: with the same key, and valid again."""
    side = await producing(tmp_path, node)
    side.log.stop()
    station = Station(tmp_path / "other")
    log = station.start()
    definition = log.append(Kind.DEFINITION, definition_body(ROOF)).seq
    for mantissa in (1000, 2001, 2500):
        log.append(Kind.READING, [definition, [], [[0, b"", -12, 0], [0, b"", mantissa, -3]]])
    log.commit()
    head = await side.board.client.head()
    audit = await audit_origin(side.board.client, side.subject(), [LogView(station.directory)], (0, head.number))
    kind, text = told(audit)
    assert (kind, audit.agreeing) == ("not-in-log", 0)
    assert "1000 Wh were told of the entry " in text
    log.close()
    side.close()


async def test_a_broken_chain_of_bonds_hashes_is_found(tmp_path: Path, node: Anvil) -> None:
    """A transaction that carries another file's hash than that of the one before."""
    side = await producing(tmp_path, node, hashes=BOND)
    assert (await side.audit()).agreeing == 4
    side.log.read(3000)
    side.forge(saved(side, 3000, b"QmwBkoQcnxAmc92vS9YrvnwU5geF4".ljust(32, b"\0"), co2=1250))
    kind, text = told(await side.audit())
    assert (kind, "the next transaction carries b'QmwBkoQcnxAmc92vS9YrvnwU5geF4" in text) == ("hash", True)
    side.close()


async def test_events_that_are_left_out_are_found(tmp_path: Path, node: Anvil) -> None:
    """In the middle by the next one's old total; at the end by what the registry holds."""
    side = await OriginSide.open(tmp_path, node, Release.B)
    run, blocks = side.start(), []
    for value in (1000, 2000, 3000):
        side.log.read(value)
        await run.say()
        blocks.append(node.head)
    logs, hidden = side.board.client.logs, [0]

    async def censored(*args: object) -> object:
        return [record for record in await logs(*args) if record.block_number not in hidden]  # type: ignore[arg-type]

    side.board.client.logs = censored  # type: ignore[method-assign]
    for block, kind in ((blocks[1], "missing"), (blocks[2], "held")):
        hidden[:] = [block]
        assert told(await side.audit())[0] == kind
    side.close()


async def test_what_is_from_before_an_epoch_is_found_in_the_epoch_before(tmp_path: Path, node: Anvil) -> None:
    """Several logs, in order; without the first one its events are not there."""
    side = await OriginSide.open(tmp_path, node, Release.A, Role.CONSUMING)
    run = side.start()
    for value in (1000, 2000):
        side.log.read(value)
        await run.say()
    side.log.stop()
    station = Station(tmp_path / "two")
    log = station.start()
    definition = log.append(Kind.DEFINITION, definition_body(ROOF)).seq
    body = [definition, [], [[0, b"", -12, 0], [0, b"", 3000, -3]]]
    reading = log.append(Kind.READING, body)
    log.commit()
    held = await side.registry().look()
    last = leaf_hash(LogView(side.log.station.directory).entry(5).data)  # type: ignore[union-attr]
    assert held.total_wh == 2000
    side.forge(save_a_consuming(side.asset, 3000, last, down=False))
    head = await side.board.client.head()
    views = [LogView(side.log.station.directory), LogView(station.directory)]
    audit = await audit_origin(side.board.client, side.subject(), views, (0, head.number))
    assert (audit.first_difference, audit.agreeing, audit.seq) == (None, 3, reading.seq)
    audit = await audit_origin(side.board.client, side.subject(), views[1:], (0, head.number))
    assert told(audit)[0] == "not-in-log"
    log.close()
    side.close()


async def test_what_was_pruned_is_counted_and_no_difference(tmp_path: Path, node: Anvil) -> None:
    """The readings behind it agree."""
    side = await OriginSide.open(tmp_path, node, Release.B)
    run = side.start()
    for value in range(1, 6):
        side.log.read(1000 * value)
        await run.say()
    view = _Pruned(side.log.station.directory)
    head = await side.board.client.head()
    audit = await audit_origin(side.board.client, side.subject(), [view], (0, head.number), held_wh=5000)
    assert (audit.first_difference, audit.pruned, audit.agreeing) == (None, 3, 2)
    side.forge(save_b(side.asset, 5500, ""))
    side.log.read(6000)
    await run.say()
    audit = await audit_origin(side.board.client, side.subject(), [_Pruned(side.log.station.directory)], (0, node.head))
    assert (told(audit)[0], audit.agreeing) == ("not-in-log", 2)
    side.close()


class _Pruned(LogView):
    """As if the first three readings had been removed."""

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        if start < 7:
            raise PrunedError("pruned", next_seq=7)
        return super().entries(start, stop)
