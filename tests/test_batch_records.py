"""The durable record of a batch: one text, read strictly, every change found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.chain.notary.batch_fields import READINGS_MAX, BatchReading, Link
from gateway.chain.notary.batches import RECORD_MAX, Batch, make_batch
from gateway.chain.notary.precise import verify
from gateway.errors import ConfigError, MalformedError, TamperError
from tests.precise_oracle import filled_salts
from tests.reading_batches import GOLDEN, chain, counting, golden, reading

ok = st.builds(
    BatchReading, timestamp=st.integers(0, 2**37), value=st.integers(-(2**63) + 1, 2**63 - 1), seq=st.integers(0, 2**63)
)


@settings(max_examples=40, deadline=None)
@given(
    device=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20),
    readings=st.lists(ok, min_size=1, max_size=4, unique_by=lambda found: found.seq),
    previous=st.none() | st.builds(Link, sequence=st.integers(0, 9), readings=st.integers(1, 9), root=st.just(GOLDEN)),
)
def test_a_batch_is_its_record(device: str, readings: list[BatchReading], previous: Link | None) -> None:
    """Nothing is lost, and every reading can be proved again."""
    batch = make_batch(device, sorted(readings, key=lambda found: found.seq), previous, counting())
    again = Batch.from_json(batch.to_json())
    assert again == batch
    assert all(verify(batch.root, again.proof(at), batch.keys) for at in range(len(readings)))


def altered(change: Callable[[dict[str, Any]], object], batch: Batch) -> str:
    """The record with one change, in the layout of a record."""
    fields = json.loads(batch.to_json())
    change(fields)
    return json.dumps(fields, separators=(",", ":"))


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields["readings"][0].update(value="376"),
        lambda fields: fields["readings"][1].update(timestamp=1),
        lambda fields: fields["salts"].reverse(),
        lambda fields: fields["previous"].update(sequence=3),
        lambda fields: fields["previous"].update(readings=4),
        lambda fields: fields["previous"].update(root="0x" + "00" * 32),
        lambda fields: fields.update(previous=None, salts=fields["salts"][1:]),
        lambda fields: fields.update(device="other"),
        lambda fields: fields.update(root="0x" + "00" * 32),
        lambda fields: fields.update(readings=fields["readings"][:1], salts=fields["salts"][:2]),
    ],
)
def test_a_changed_record_is_found_out(change: Callable[[dict[str, Any]], object]) -> None:
    """Whatever is hashed; the alarm names the first entry."""
    batch = chain([3, 2])[1]
    with pytest.raises(TamperError, match="another root") as caught:
        Batch.from_json(altered(change, batch))
    assert caught.value.seq == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.update(version=2),
        lambda fields: fields.update(version=True),
        lambda fields: fields.update(more=1),
        lambda fields: fields.pop("device"),
        lambda fields: fields.update(device=fields.pop("device")),
        lambda fields: fields.update(device=""),
        lambda fields: fields.update(device="a\ud800"),
        lambda fields: fields.update(device="a\nb"),
        lambda fields: fields.update(device="x" * 201),
        lambda fields: fields.update(previous={}),
        lambda fields: fields.update(previous=False),
        lambda fields: fields["previous"].update(sequence=2**64),
        lambda fields: fields.update(readings=[]),
        lambda fields: fields["readings"][0].update(value="-0"),
        lambda fields: fields["readings"][0].update(value="9223372036854775808"),
        lambda fields: fields["readings"][0].update(value=1),
        lambda fields: fields["readings"][0].update(timestamp=1.0),
        lambda fields: fields["readings"][0].update(seq=-1),
        lambda fields: fields["readings"][0].update(seq=fields["readings"][1]["seq"]),
        lambda fields: fields["readings"].reverse(),
        lambda fields: fields["salts"].pop(),
        lambda fields: fields["salts"].append(fields["salts"][0]),
        lambda fields: fields.update(salts=[fields["salts"][0]] * 3),
        lambda fields: fields["salts"].__setitem__(0, "c2FsdA=="),
        lambda fields: fields["salts"].__setitem__(0, 1),
        lambda fields: fields.update(root=fields["root"].upper()),
    ],
)
def test_another_record_is_no_record(change: Callable[[dict[str, Any]], object]) -> None:
    """Wrong members, types and order, and numbers out of range."""
    with pytest.raises(MalformedError):
        Batch.from_json(altered(change, chain([3, 2])[1]))


def test_a_record_of_another_version_is_named() -> None:
    """What a newer gateway wrote is not taken for a damaged one."""
    with pytest.raises(MalformedError, match="version 2; 1 is known"):
        Batch.from_json(altered(lambda fields: fields.update(version=2), golden()))


def test_a_record_has_one_text() -> None:
    """No blanks, no other escapes, nothing twice, and no more than is read."""
    text = golden().to_json()
    others = [
        text + "\n",
        text.replace(":", ": ", 1),
        text.replace("main", "\\u006dain"),
        text.replace("{", '{"version":1,', 1),
    ]
    for other in [*others, "", "[]", text[:-1], "[" * 30_000, " " * RECORD_MAX + text]:
        with pytest.raises(MalformedError):
            Batch.from_json(other)


def test_a_full_batch_fits_its_record() -> None:
    """With the longest device, values and entries."""
    readings = [reading(253_402_300_799, -(2**63) + 1, 2**62 + at) for at in range(READINGS_MAX)]
    previous = Link(sequence=2**32 - 1, readings=READINGS_MAX, root=GOLDEN)
    salts = tuple(filled_salts(1)[0].replace("AAAA", f"{number:04d}", 1) for number in range(READINGS_MAX + 1))
    batch = Batch(device="𝟙" * 200, previous=previous, readings=tuple(readings), salts=salts, root=GOLDEN)
    assert len(batch.to_json()) <= RECORD_MAX
    with pytest.raises(ConfigError, match="1025 readings"):
        replace(batch, readings=(*readings, reading(0, 0, 2**63)), salts=batch.salts[:-1])
