"""OCMF records: a golden payload, rules that bills rest on, and two checkers that nobody here wrote."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.errors import ConfigError, MalformedError
from gateway.log.entry import Kind, decode, encode, reading_body
from gateway.log.view import LogView
from gateway.reading import MeterDescription, Moment, PointReading, PointSpec, Reading, Scaled, Status
from gateway.views import evidence
from gateway.views.ocmf import Issuer, fiscal, record, transaction
from gateway.views.source import MeterReading, Selection, Source
from tests.parts import ROOT, need, need_peer, node_modules
from tests.view_log import FIRST_READING, LAST_READING, MISSING, some_log

DATA = Path(__file__).parent / "data"
KEY = derive_private_key(7, SECP256R1())
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex()


def sign(message: bytes) -> bytes:
    return KEY.sign(message, ECDSA(SHA256()))


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> dict[int, MeterReading]:
    """The readings of the small log, by seq."""
    station = some_log(tmp_path_factory.mktemp("log"))
    station.log.close()
    return {one.entry.seq: one for one in Source(LogView(station.directory), Selection()).readings()}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """As the small log's own checkpoint lets it be."""
    station = some_log(tmp_path_factory.mktemp("log"))
    station.log.close()
    return Issuer(checkpoint=evidence.newest_checkpoint(LogView(station.directory)), version="1", serial="S-1")


def by_pyocmf(records: list[str]) -> list[dict[str, Any]]:
    """What pyocmf finds, strictly."""
    script = ROOT / "tests/peers/ocmf_check.py"
    done = subprocess.run(
        [need_peer("python"), script, SPKI],
        input="\n".join(records) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def by_road_labs(records: list[str]) -> list[str]:
    """``true`` or why not."""
    command = [need("node"), ROOT / "tests/peers/ocmf_check.mjs", SPKI]
    done = subprocess.run(
        command,
        cwd=node_modules().parent,
        input="\n".join(records) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_our_golden_payloads_are_reproduced_byte_for_byte(readings: dict[int, MeterReading], issuer: Issuer) -> None:
    """A fiscal record, one with values missing, and a transaction."""
    payloads = [
        fiscal(issuer, readings[FIRST_READING]),
        fiscal(issuer, readings[MISSING]),
        transaction(issuer, readings[FIRST_READING], readings[LAST_READING]),
    ]
    assert "".join(f"{payload}\n" for payload in payloads) == (DATA / "golden-payloads.ocmf").read_text()


def test_two_checkers_accept_what_we_sign(readings: dict[int, MeterReading], issuer: Issuer) -> None:
    """Signature and format; and the rules of calibration law, where nothing is missing."""
    records = [
        record(fiscal(issuer, readings[FIRST_READING]) or "", sign),
        record(transaction(issuer, readings[FIRST_READING], readings[LAST_READING]), sign),
        record(fiscal(issuer, readings[MISSING]) or "", sign),
    ]
    assert by_road_labs(records) == ["true"] * 3
    assert by_pyocmf(records) == [
        {"ok": True, "values": ["10909.282", "1638450"], "issues": []},
        {"ok": True, "values": ["10909.282", "10910.000"], "issues": []},
        {"ok": True, "values": [None, None], "issues": ["METER_STATUS", "ERROR_FLAGS"]},
    ]


def mutants(whole: str) -> Iterator[str]:
    """The record with each byte of its payload, and each digit of its signature, changed; and named another curve."""
    header, payload, signature = whole.split("|")
    for place, char in enumerate(payload):
        yield f"{header}|{payload[:place]}{chr(ord(char) ^ 1)}{payload[place + 1 :]}|{signature}"
    start = signature.index('"SD":"') + 6
    for place in range(start, len(signature) - 2):
        digit = f"{int(signature[place], 16) ^ 1:x}"
        yield f"{header}|{payload}|{signature[:place]}{digit}{signature[place + 1 :]}"
    yield f"{header}| {payload}|{signature}"
    yield f"{header}|{payload}|{signature.replace('secp256r1', 'secp256k1')}"


def test_both_checkers_refuse_every_changed_byte(readings: dict[int, MeterReading], issuer: Issuer) -> None:
    """Of the payload and of the signature; the whole one passes."""
    whole = record(transaction(issuer, readings[FIRST_READING], readings[LAST_READING]), sign)
    changed = [mutant for mutant in mutants(whole) if "\n" not in mutant]
    assert len(changed) > 700
    assert by_road_labs([whole])[0] == "true"
    assert "true" not in by_road_labs(changed)
    answers = by_pyocmf([whole, *changed])
    assert [answer["ok"] for answer in answers] == [True] + [False] * len(changed)


def test_pyocmfs_own_command_agrees(readings: dict[int, MeterReading], issuer: Issuer) -> None:
    """``ocmf all --strict`` ends with 0 for ours, with 1 for one with a watt-hour more, or under another key."""
    whole = record(fiscal(issuer, readings[FIRST_READING]) or "", sign)
    other = derive_private_key(9, SECP256R1()).public_key()
    stranger = other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex()
    ends = {}
    for name, text, key in (
        ("ours", whole, SPKI),
        ("changed", whole.replace("10909.282", "10909.283"), SPKI),
        ("other key", whole, stranger),
    ):
        command = [need_peer("ocmf"), "all", "--strict", "--public-key", key, text]
        ends[name] = subprocess.run(command, capture_output=True, check=False).returncode
    assert ends == {"ours": 0, "changed": 1, "other key": 1}


def some_reading(rng: random.Random, seq: int, *, whole: bool = False) -> MeterReading:
    """A reading of random totals under odd names; *whole*: the first one has a good value."""
    specs, points = [], []
    for place in range(rng.randrange(1, 4)):
        unit = rng.choice(["kWh", "Wh"])
        obis = "1-0:1.8.0" if place == 0 else f"1-0:2.8.{place}"
        specs.append(PointSpec(name=rng.choice('a|b{}"\\ä'), obis=obis, unit=unit, register=""))
        status = Status.OK if whole and place == 0 else rng.choice(list(Status))
        value = Scaled(mantissa=rng.randrange(-(2**63), 2**63), exponent=rng.randrange(-9, 4))
        points.append(PointReading(status=status, raw=b"", value=value if status.has_value else None))
    moment = Moment(boottime_ns=1, wall_ms=rng.randrange(2**42), quality=rng.choice("UISR"), error_ms=-1)
    reading = Reading(moment=moment, points=tuple(points))
    meter = MeterDescription(name="m|", model="x|\n", digest=bytes(32), location="", points=tuple(specs))
    data = encode(kind=Kind.READING, seq=seq, prev=bytes(32), boot=1, moment=moment, body=reading_body(0, reading))
    return MeterReading(entry=decode(data), meter=meter, points=tuple(zip(specs, points, strict=True)))


def test_every_reading_becomes_a_record_with_its_exact_digits(issuer: Issuer) -> None:
    """Two hundred random ones, of any size and sign, under names that hold pipes and quotes."""
    rng = random.Random(4711)
    given = [some_reading(rng, seq) for seq in range(1, 201)]
    records = [record(fiscal(issuer, one) or "", sign) for one in given]
    assert by_road_labs(records) == ["true"] * len(records)
    for one, answer in zip(given, by_pyocmf(records), strict=True):
        assert answer["ok"], answer
        values = [point.value for _, point in one.points]
        expected = [None] * values.count(None) + [str(value) for value in values if value is not None]
        assert [value and Decimal(value) for value in answer["values"]] == [text and Decimal(text) for text in expected]
        assert not any(text and text not in records[given.index(one)] for text in expected)


def test_readings_without_a_value_come_first(issuer: Issuer) -> None:
    """OCMF leaves out what is as in the reading before: there must be nothing before them to be taken for theirs."""
    rng = random.Random(11)
    for seq in range(1, 100):
        payload = json.loads(fiscal(issuer, some_reading(rng, seq)) or "")
        have = ["RV" in reading for reading in payload["RD"]]
        assert have == sorted(have)
        for reading in payload["RD"]:
            assert set(reading) - {"RV"} == {"TM", "RI", "RU", "EF", "ST"}
            assert ("E" in reading["EF"]) == (reading["ST"] != "G")
            assert "RV" in reading or reading["ST"] != "G"


def test_only_a_good_value_is_stated_as_good(readings: dict[int, MeterReading], issuer: Issuer) -> None:
    """A jumped total keeps its value, and is flagged as not to be billed."""
    payload = json.loads(fiscal(issuer, readings[LAST_READING]) or "")
    assert [(reading["ST"], reading["EF"]) for reading in payload["RD"]] == [("G", ""), ("O", "E")]


def test_pages_rise_with_the_log(readings: dict[int, MeterReading], issuer: Issuer) -> None:
    """Page numbers are seqs: they never repeat for another entry, and the same reading is the same page."""
    pages = [json.loads(fiscal(issuer, readings[seq]) or "")["PG"] for seq in (FIRST_READING, MISSING, LAST_READING)]
    assert pages == ["F4", "F5", "F7"]
    session = json.loads(transaction(issuer, readings[FIRST_READING], readings[LAST_READING]))
    assert session["PG"] == "T7"
    assert [reading["TX"] for reading in session["RD"]] == ["B", "E"]


def test_a_counter_that_can_be_set_back_is_never_billed(readings: dict[int, MeterReading], issuer: Issuer) -> None:
    """Nor is what OCMF has no unit for."""
    payload = fiscal(issuer, readings[FIRST_READING]) or ""
    assert "1-0:1.128.0" not in payload
    assert '"W"' not in payload
    assert fiscal(issuer, readings[6]) is None
    with pytest.raises(ConfigError, match="no total named trip"):
        transaction(issuer, readings[FIRST_READING], readings[LAST_READING], "trip")


def test_what_is_no_session_is_refused_with_the_reason(readings: dict[int, MeterReading], issuer: Issuer) -> None:
    """Backwards, of two meters, without a value at one end, of a meter without totals."""
    first, missing, odd, last = (readings[seq] for seq in (4, 5, 6, 7))
    for begin, end, point, why in (
        (last, first, None, "no begin and end"),
        (first, first, None, "no begin and end"),
        (first, odd, None, "no begin and end"),
        (first, missing, None, "entry 5: import_total has no value .timeout."),
        (missing, last, "import_total", "entry 5: import_total has no value"),
        (first, last, "nothing", "totals that can be billed: import_total, export_total"),
    ):
        with pytest.raises(ConfigError, match=why):
            transaction(issuer, begin, end, point)


def test_a_session_across_two_definitions_is_refused(issuer: Issuer) -> None:
    """Another unit or register under the same name is another counter."""
    rng = random.Random(5)
    begin, end = some_reading(rng, 1, whole=True), some_reading(rng, 2, whole=True)
    other = PointSpec(name=end.points[0][0].name, obis="1-0:1.8.0", unit=end.points[0][0].unit, register="elsewhere")
    moved = MeterReading(entry=end.entry, meter=end.meter, points=((other, end.points[0][1]),))
    with pytest.raises(ConfigError, match="definition changed"):
        transaction(issuer, begin, moved)


def test_a_time_beyond_the_calendar_is_refused(issuer: Issuer) -> None:
    """OCMF has four digits for the year."""
    reading = some_reading(random.Random(1), 1)
    moment = Moment(boottime_ns=1, wall_ms=2**62, quality="U", error_ms=-1)
    data = encode(kind=Kind.READING, seq=1, prev=bytes(32), boot=1, moment=moment, body=reading.entry.body)
    with pytest.raises(MalformedError, match="in no year"):
        fiscal(issuer, MeterReading(entry=decode(data), meter=reading.meter, points=reading.points))
