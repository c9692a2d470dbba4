"""A small log with all that a view has to cope with: suspect, missing and resettable values, odd names; and keys."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.log.entry import Kind, definition_body
from gateway.reading import MeterDescription, PointSpec
from tests.log_dir import Station

MAIN = MeterDescription(
    name="main",
    model="eastron-sdm630",
    digest=bytes(32),
    location="cabinet unit 1",
    points=(
        PointSpec(name="import_total", obis="1-0:1.8.0", unit="kWh", register="fc4 0x0048", monotonic=True),
        PointSpec(name="export_total", obis="1-0:2.8.0", unit="Wh", register="fc4 0x004a", monotonic=True),
        PointSpec(name="trip", obis="1-0:1.128.0", unit="kWh", register="fc4 0x0180", resettable=True),
        PointSpec(name="power_total", obis="1-0:16.7.0", unit="W", register="fc4 0x0034"),
        PointSpec(name="power_factor", obis="1-0:13.7.0", unit="", register="fc4 0x003e"),
    ),
)
#: What somebody may have written into a config: a formula for a spreadsheet, and a unit nobody knows.
ODD = MeterDescription(
    name="=1+1|x",
    model="@model",
    digest=bytes(32),
    location="bench",
    points=(PointSpec(name="-flow", obis="", unit="fathom", register="+x"),),
)
#: Seqs of the entries: 0 genesis and what the log's start appends; then these.
FIRST_READING, MISSING, LAST_READING = 4, 5, 7


def some_log(state: Path, checkpoint: bool = True) -> Station:
    """A station whose log holds both definitions, four readings and, unless told otherwise, a checkpoint over all."""
    station = Station(state)
    log = station.start()
    main = log.append(Kind.DEFINITION, definition_body(MAIN)).seq
    odd = log.append(Kind.DEFINITION, definition_body(ODD)).seq
    raw = bytes.fromhex("462a7521")
    power = [[0, b"\xc4\xbe\x10\x00", -15205, -1], [0, b"", -85, -2]]
    log.append(Kind.READING, [main, [], [[0, raw, 10909282, -3], [0, b"", 163845, 1], [0, b"", 12, -1], *power]])
    log.append(Kind.READING, [main, [], [[17, b""], [16, b"\xff\xff"], [0, b"", 13, -1], *power]])
    log.append(Kind.READING, [odd, [], [[1, b"\x12\xe5", 12, 3]]])
    log.append(Kind.READING, [main, [], [[0, raw, 10910000, -3], [2, b"", 163850, 1], [0, b"", 14, -1], *power]])
    log.commit()
    if checkpoint:
        station.sign()
    return station


def write_keys(folder: Path) -> None:
    """The device key of the log (Ed25519, as tests.log_keys makes it) and a billing key (P-256), as files."""
    keys = {
        "device.pem": Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32),
        "billing.pem": derive_private_key(7, SECP256R1()),
    }
    for name, key in keys.items():
        path = folder / name
        path.touch(0o600)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
