"""The audit of a Notary: green on what a gateway told, red at what the batches or the log do not say."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.chain.notary.audit import NotaryAudit
from gateway.chain.notary.batch_fields import BatchReading
from gateway.chain.notary.batches import Batch, make_batch
from gateway.chain.totals import MeterPoint
from gateway.log.entry import Kind, definition_body
from gateway.log.view import LogView
from gateway.reading import Status
from tests.chain_nodes import Anvil
from tests.log_dir import Station
from tests.notary_side import NotarySide
from tests.totals_log import ROOF


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


@pytest.fixture
async def side(tmp_path: Path, node: Anvil) -> AsyncIterator[NotarySide]:
    """Four batches: one reading, then twice three, and one; what is suspect and what failed is in none."""
    side = NotarySide(tmp_path, node)
    await side.tell(1)
    side.log.read(10**9, status=Status.JUMPED)
    side.log.gap()
    await side.tell(2, 2, 3, 4, 5, 6, 7)
    yield side
    side.close()


def difference(audit: NotaryAudit) -> tuple[str, bool, str]:
    found = audit.first_difference
    assert found is not None
    return found.kind, audit.tampered, found.text


async def test_what_was_told_agrees(side: NotarySide) -> None:
    """Each root is a batch's, each reading its entry's; another account's roots are not ours."""
    side.board.node.send(to=side.contract, data=bytes.fromhex("654cf88c") + bytes(32))
    audit = await side.audit()
    assert audit == NotaryAudit(roots=4, agreeing=4, batches=4, readings=8)
    assert await side.audit(first=side.board.node.head) == NotaryAudit(batches=4, readings=8)


def _remove(number: int) -> Callable[[NotarySide], None]:
    return lambda side: side.files()[number].unlink()


def _reading(side: NotarySide) -> None:
    path = side.files()[1]
    path.write_text(path.read_text().replace('"value":"3"', '"value":"9"'))


def _cut_off(side: NotarySide) -> None:
    path = side.files()[-1]
    path.write_text(path.read_text()[:-20])


def _made_anew(side: NotarySide) -> None:
    """The newest batch says another value, and is whole again: who changed it could not change the chain."""
    path = side.files()[-1]
    batch = Batch.from_json(path.read_text())
    (last,) = batch.readings
    forged = replace(last, value=last.value + 1)
    path.write_text(make_batch(batch.device, [forged], batch.previous, secrets.token_bytes).to_json())


def _noted(side: NotarySide) -> None:
    """A batch that was kept and never sent, and of which the board believes that it is stored."""
    newest = side.store.newest()
    assert newest is not None
    seq = side.log.read(8).seq
    entry = LogView(side.log.station.directory).entry(seq)
    assert entry is not None
    reading = BatchReading(timestamp=entry.moment.wall_ms // 1000, value=8, seq=seq)
    batch = make_batch(newest.batch.device, [reading], newest.batch.link, secrets.token_bytes)
    side.store.keep(batch, 0)
    side.store.anchored(batch.sequence, b"\x11" * 32, side.board.node.head)


FAULTS: dict[str, tuple[Callable[[NotarySide], None], str, bool, str]] = {
    "a batch in the middle is gone": (_remove(1), "changed", True, "does not follow"),
    "the newest batch is gone": (_remove(-1), "unknown-root", True, "no batch here has it"),
    "a value in a record": (_reading, "changed", True, "have another root than"),
    "a record that is cut off": (_cut_off, "changed", True, "no JSON"),
    "a record made anew": (_made_anew, "reading", True, "says 8 Wh at"),
    "a root of somebody else": (lambda side: side.forge(b"\x2a" * 32), "unknown-root", True, "2a2a was told"),
    "a root told again": (lambda side: side.forge(side.store.newest().batch.root), "twice", False, "told again"),  # type: ignore[union-attr]
    "a root that is not there": (_noted, "not-there", False, f"by 0x{'11' * 32}, and the chain has it not"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_is_found_for_what_it_is(side: NotarySide, name: str) -> None:
    """Its kind, whether it is evidence of tampering, and the words."""
    fault, kind, tampered, words = FAULTS[name]
    fault(side)
    found = difference(await side.audit())
    assert found[:2] == (kind, tampered)
    assert words in found[2]


async def test_roots_of_batches_that_cannot_be_read_are_not_called_unknown(side: NotarySide) -> None:
    """One difference is not told as several."""
    _cut_off(side)
    assert [finding.kind for finding in (await side.audit()).findings] == ["changed"]


async def test_a_log_that_was_changed_is_found(side: NotarySide, tmp_path: Path) -> None:
    """Signed anew by the same key: another value, a reading more, an end that is missing."""
    entries = LogView(side.log.station.directory)
    changes = {"value": ("reading", True), "status": ("reading", True), "good": ("left-out", False)}
    for change, (kind, tampered) in (changes | {"end": ("beyond-log", True)}).items():
        station = Station(tmp_path / f"other {change}")
        log = station.start()
        definition = log.append(Kind.DEFINITION, definition_body(ROOF)).seq
        while log.size < entries.size - (change == "end"):
            _copy(station, entries, definition, change)
        log.commit()
        audit = await side.audit(LogView(station.directory))
        assert difference(audit)[:2] == (kind, tampered), audit
        log.close()


def _copy(station: Station, entries: LogView, definition: int, change: str) -> None:
    """The next entry: another value of 5, or the same as suspect; or what was suspect is good."""
    entry = entries.entry(station.log.size)
    assert entry is not None
    body = entry.body
    station.clock.looks = (entry.moment.wall_ms - station.clock.start_ms) // 1000 - 1
    if entry.kind is Kind.READING:
        power, (status, raw, mantissa, exponent) = body[2]
        if mantissa == 5:
            status = Status.JUMPED if change == "status" else status
            mantissa += change == "value"
        status = Status.OK if change == "good" else status
        body = [definition, [], [power, [int(status), raw, mantissa, exponent]]]
    station.log.append(entry.kind, body)


async def test_batches_that_were_thinned_out_are_no_difference(tmp_path: Path, node: Anvil) -> None:
    """As many roots as the oldest number says may be unknown, before its own root, and none behind it."""
    side = NotarySide(tmp_path, node)
    side.batches_max = 2
    await side.tell(1)
    await side.tell(2, 3, 4, 5, 6, 7, 8, 9, 10)
    expected = NotaryAudit(roots=4, agreeing=2, pruned=2, batches=2, readings=6)
    assert await side.audit() == expected
    oldest = next(side.store.all()).anchoring.block
    assert oldest is not None
    side.forge(b"\x2a" * 32)
    for first in (0, oldest, oldest + 1):
        assert difference(await side.audit(first=first))[:2] == ("unknown-root", True)
    side.close()


async def test_no_more_roots_are_pruned_than_there_were(tmp_path: Path, node: Anvil) -> None:
    """One of somebody else among them is one too many."""
    side = NotarySide(tmp_path, node)
    side.batches_max = 2
    await side.tell(1)
    side.forge(b"\x2a" * 32)
    await side.tell(2, 3, 4, 5, 6, 7, 8, 9, 10)
    audit = await side.audit()
    assert (audit.pruned, difference(audit)[0], len(audit.findings)) == (2, "unknown-root", 1)
    side.close()


async def test_a_point_that_is_configured_no_more_is_known_by_its_batches(side: NotarySide) -> None:
    """And an epoch of the log that is not there any more is counted as pruned."""
    other = MeterPoint(meter="roof", point="import_total")
    assert await side.audit(points=(other,)) == await side.audit(points=()) == await side.audit()
    station = Station(side.board.folder / "next")
    station.start().close()
    epoch = LogView(station.directory)
    epoch.origin += "/epoch-2"
    assert await side.audit(epoch) == NotaryAudit(roots=4, agreeing=4, batches=4, readings_pruned=8)


async def test_a_batch_that_waits_is_no_difference(side: NotarySide) -> None:
    """It is durable before it is sent, and the board does not know yet where it is."""
    side.log.read(8)
    path = next(iter(side.files()[-1].parent.glob("0000003.chain")))
    path.write_text(json.dumps({"since": 0, "transaction": None, "block": None}))
    assert (await side.audit()).first_difference is None
    intent = await side.start().job.due()
    assert intent is not None
    intent.keep()
    audit = await side.audit()
    assert (audit.first_difference, audit.waiting, audit.batches) == (None, 1, 5)
