"""OCMF records (Open Charge Metering Format, SAFE e.V., FV 1.3): energy totals, each record signed with ECDSA P-256.

A record is one line, ``OCMF|<payload>|<signature>``, both JSON. The signature is over the bytes of the payload as they
stand, SHA-256, ASN.1 DER in hex (``ECDSA-secp256r1-SHA256``). The format version is 1.3 because the verification
software of SAFE e.V. refuses 1.4. There are two kinds:

* *fiscal* (``PG`` F…): the totals of one reading;
* *transaction* (``PG`` T…): one total at the begin (``TX`` B) and at the end (``TX`` E) of a session.

=====  ==============================================================================================================
PG     the letter and the seq of the (last) entry. OCMF wants a counter that goes up by one with each record; a view
       keeps none. Seqs rise, never repeat for another entry, and have gaps: the same session asked for twice is the
       same page, and two sessions that end with the same entry show that by one page number.
GI GS  the program; the log's origin, which names the signing device
GV     version of the program
MM MS  the meter's model; its serial number where the caller knows it, since the log does not hold it
IS…ID  no user is assigned: false, NONE, one NONE flag each for RFID, OCPP, ISO 15118 and PLMN, NONE, empty
TM     the entry's wall clock, UTC, milliseconds with a comma, and its quality letter, which is OCMF's own
RV RU  the exact decimal digits and the unit, kWh or Wh (OCMF knows no other for energy)
RI     OBIS code
ST EF  from the point's status, see ``_STATES``; E flags an energy that is not to be billed
UL     ours, by the extension points U to Z: origin, meter, definition entry, the entries (seq and leaf hash, hex) in
       the order of their readings, size and root (base64) of the stored checkpoint that covers them
=====  ==============================================================================================================

A missing value has a state and no ``RV``. OCMF lets a reading leave out what is as in the reading before, so readings
without a value come first: there is nothing before them that a reader could take for their value. A counter that can be
set back is no total, and is left out.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import ConfigError, MalformedError
from gateway.log.note import Checkpoint
from gateway.reading import PointReading, PointSpec, Status
from gateway.show import rfc3339
from gateway.views.json_text import compact
from gateway.views.source import MeterReading

FORMAT_VERSION = "1.3"
ALGORITHM = "ECDSA-secp256r1-SHA256"
IMPORT_TOTAL = "1-0:1.8.0"
_UNITS = ("kWh", "Wh")
_NOBODY = {
    "IS": False,
    "IL": "NONE",
    "IF": ["RFID_NONE", "OCPP_NONE", "ISO15118_NONE", "PLMN_NONE"],
    "IT": "NONE",
    "ID": "",
}
#: Our status → OCMF's state of the meter (table 10) and error flags (table 7).
_STATES: dict[Status, tuple[str, str]] = {
    Status.OK: ("G", ""),
    Status.FELL: ("E", "E"),
    Status.JUMPED: ("O", "E"),
    Status.INCONSISTENT: ("O", "E"),
    Status.INVALID: ("F", "E"),
    Status.TIMEOUT: ("T", "E"),
    Status.REFUSED: ("E", "E"),
    Status.GARBLED: ("F", "E"),
    Status.UNSUPPORTED: ("I", "E"),
    Status.OFFLINE: ("D", "E"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who says it, and what stands behind it."""

    checkpoint: Checkpoint
    #: Version of the program.
    version: str
    #: The meter's serial number; None where nobody stated it.
    serial: str | None = None


def is_total(spec: PointSpec) -> bool:
    """Whether OCMF has a form for the point: an energy with an OBIS code that nobody can set back."""
    return spec.unit in _UNITS and bool(spec.obis) and not spec.resettable


def fiscal(issuer: Issuer, reading: MeterReading) -> str | None:
    """The payload for all totals of one reading; None where it has none."""
    totals = [(spec, point) for spec, point in reading.points if is_total(spec)]
    if not totals:
        return None
    totals.sort(key=lambda total: total[1].value is not None)
    readings = [_reading(reading, spec, point) for spec, point in totals]
    return _payload(issuer, "F", [reading], readings)


def transaction(issuer: Issuer, begin: MeterReading, end: MeterReading, point: str | None = None) -> str:
    """The payload for the total named *point* (default: the import total) from *begin* to *end*.

    Raises ConfigError where the two are no session: another meter, no such total, or no value at one end.
    """
    if begin.entry.seq >= end.entry.seq or begin.meter_name != end.meter_name:
        raise ConfigError(
            f"entries {begin.entry.seq} and {end.entry.seq} are no begin and end of a session: two readings of one "
            "meter, one after the other, are"
        )
    first, last = _total(begin, point), _total(end, point)
    if first[0] != last[0]:
        raise ConfigError(
            f"the meter's definition changed between entries {begin.entry.seq} and {end.entry.seq}; "
            "take two sessions, one before and one after"
        )
    return _payload(issuer, "T", [begin, end], [_reading(begin, *first, "B"), _reading(end, *last, "E")])


def record(payload: str, sign: Callable[[bytes], bytes]) -> str:
    """The record of *payload*; *sign* makes an ECDSA P-256 signature, DER. Raises what *sign* raises."""
    signature = {"SA": ALGORITHM, "SE": "hex", "SM": "application/x-der", "SD": sign(payload.encode()).hex()}
    return f"OCMF|{payload}|{compact(signature)}"


def _total(reading: MeterReading, wanted: str | None) -> tuple[PointSpec, PointReading]:
    for spec, point in reading.points:
        if is_total(spec) and (spec.obis == IMPORT_TOTAL if wanted is None else spec.name == wanted):
            if point.value is None:
                raise ConfigError(
                    f"entry {reading.entry.seq}: {spec.name} has no value ({point.status.text}); name another reading"
                )
            return spec, point
    known = ", ".join(spec.name for spec, _ in reading.points if is_total(spec)) or "none"
    what = f"no total named {wanted}" if wanted else f"no import total ({IMPORT_TOTAL})"
    raise ConfigError(f"entry {reading.entry.seq}: the meter has {what}; totals that can be billed: {known}")


def _reading(reading: MeterReading, spec: PointSpec, point: PointReading, reason: str | None = None) -> dict[str, Any]:
    state, flags = _STATES[point.status]
    found: dict[str, Any] = {"TM": _time(reading)}
    if reason is not None:
        found["TX"] = reason
    if point.value is not None:
        found["RV"] = point.value
    return found | {"RI": spec.obis, "RU": spec.unit, "EF": flags, "ST": state}


def _time(reading: MeterReading) -> str:
    moment = reading.entry.moment
    text = rfc3339(moment.wall_ms)
    if not text.endswith("Z"):
        raise MalformedError(f"entry {reading.entry.seq}: its wall clock ({text}) is in no year that OCMF can write")
    return f"{text[:-1].replace('.', ',')}+0000 {moment.quality}"


def _payload(issuer: Issuer, page: str, behind: Sequence[MeterReading], readings: list[dict[str, Any]]) -> str:
    last, meter = behind[-1], behind[-1].meter
    found: dict[str, Any] = {
        "FV": FORMAT_VERSION,
        "GI": "meter-gateway",
        "GS": issuer.checkpoint.origin,
        "GV": issuer.version,
        "PG": f"{page}{last.entry.seq}",
    }
    if meter is not None:
        found["MM"] = meter.model
    if issuer.serial is not None:
        found["MS"] = issuer.serial
    return compact(found | _NOBODY | {"RD": readings, "UL": _behind(issuer.checkpoint, behind)})


def _behind(checkpoint: Checkpoint, behind: Sequence[MeterReading]) -> dict[str, Any]:
    return {
        "origin": checkpoint.origin,
        "meter": behind[-1].meter_name,
        "definition": behind[-1].entry.body[0],
        "entries": [{"seq": reading.entry.seq, "hash": reading.hash} for reading in behind],
        "size": checkpoint.size,
        "root": base64.b64encode(checkpoint.root).decode(),
    }
