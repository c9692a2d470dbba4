"""One file of ew-link-bond's chain: a reading as JSON, and the text that stands for its hash.

============  ======================================================================================================
produced      ``{"value": 1000, "is_meter_down": false, "previous_hash": "0x0", "co2_saved": 0, "is_co2_down": false}``
consumed      ``{"value": 1000, "previous_hash": "0x0", "is_meter_down": false}``
============  ======================================================================================================

The bytes are those of Python's ``json.dump`` with its own separators, keys in this order, no line end. ``value`` is the
total in watt-hours. The application before release 0.4 (ew-link-origin) kept more: an object with ``raw_energy``, for
a producer ``raw_carbon_emitted``, and ``produced`` or ``consumed``, in which the total is called ``energy`` and may
have a fraction. That older form is read, and never written.

The hash of a file is ``Qm`` and the base58 (Bitcoin's alphabet) of its SHA-1: 29 or 30 characters, one fewer for each
eight leading zero bits. It looks like an IPFS identifier and is none; SHA-1 is there so that the text fits a bytes32.
Its collisions can be bought, so it shows accidents and careless changes, and no more. ``previous_hash`` is that text of
the file before, ``0x0`` in the first one. A contract keeps it as ASCII, filled up with zero bytes.

Source: PyPI energyweb 0.4.5, ``storage.py``, ``smart_contract/origin_v1.py``; ew-link-origin, ``core/data_access.py``.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from gateway.errors import ConfigError, MalformedError
from gateway.reading import Scaled

NOTHING_BEFORE = "0x0"
PRODUCED, CONSUMED = "produced", "consumed"
#: A file with the meter's own reply in it is a few kilobytes.
MAX_FILE = 1 << 20
#: What a uint256 holds.
_MAX_VALUE = (1 << 256) - 1
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_HASH = re.compile(rf"Qm[{_ALPHABET}]{{20,28}}")
_DECIMAL = re.compile(r"(-?[0-9]{1,80})(?:\.([0-9]{1,40}))?(?:[eE]([+-]?[0-9]{1,2}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a file says."""

    #: ``produced`` or ``consumed``.
    side: str
    #: The form of the application before 0.4.
    legacy: bool
    #: The total in watt-hours; None where a legacy consumer had none.
    value: Scaled | None
    is_meter_down: bool
    previous_hash: str
    #: Of a producer only: saved CO2, in grams or kilograms, as whoever wrote it counted; and that it is not known.
    co2_saved: int | None = None
    is_co2_down: bool | None = None


def file_hash(data: bytes) -> str:
    """The ``Qm…`` text of a file."""
    return "Qm" + base58(hashlib.sha1(data, usedforsecurity=False).digest())


def base58(data: bytes) -> str:
    """Base58 in Bitcoin's alphabet; each leading zero byte is a ``1``."""
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def as_bytes32(hash_text: str) -> bytes:
    """How a contract keeps the text of a hash. Raises ConfigError where it does not fit."""
    data = hash_text.encode()
    if len(data) > 32:
        raise ConfigError(f"{hash_text!r} has {len(data)} bytes; a bytes32 holds 32")
    return data.ljust(32, b"\0")


def hash_of(text: str) -> str:
    """A hash as people give it: its own text, or the bytes32 of a contract in hex. Raises ConfigError."""
    found = text
    if re.fullmatch(r"0x[0-9a-fA-F]{64}", text):
        found = bytes.fromhex(text[2:]).rstrip(b"\0").decode("ascii", "replace")
    if not _HASH.fullmatch(found):
        raise ConfigError(f"{text[:80]!r} is no hash of bond's: Qm and 20 to 28 characters, or 0x and 64 hex digits")
    return found


def produced_file(*, value: int, is_meter_down: bool, previous_hash: str, co2_saved: int, is_co2_down: bool) -> bytes:
    """The bytes of a producer's file."""
    return _dumped(
        {
            "value": value,
            "is_meter_down": is_meter_down,
            "previous_hash": previous_hash,
            "co2_saved": co2_saved,
            "is_co2_down": is_co2_down,
        }
    )


def consumed_file(*, value: int, is_meter_down: bool, previous_hash: str) -> bytes:
    """The bytes of a consumer's file."""
    return _dumped({"value": value, "previous_hash": previous_hash, "is_meter_down": is_meter_down})


def _dumped(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def read_file(data: bytes) -> Record:
    """What a file says. Raises MalformedError for what neither application would have written."""
    found = _parsed(data)
    for side in (PRODUCED, CONSUMED):
        if side in found:
            return _record(found[side], side, "energy", legacy=True)
    record = _record(found, PRODUCED if "co2_saved" in found else CONSUMED, "value", legacy=False)
    # What the newer application writes has one form only.
    if json.dumps({name: _plain(value) for name, value in found.items()}).encode() != data:
        raise MalformedError("no record of bond's: the JSON is not written as Python writes it")
    return record


def _plain(value: Any) -> Any:
    return int(value.text) if isinstance(value, _Number) else value


class _Number:
    """A JSON number as it is written."""

    def __init__(self, text: str) -> None:
        self.text = text


def _parsed(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_FILE:
        raise MalformedError(f"no record of bond's: {len(data)} bytes, and the limit is {MAX_FILE}")
    try:
        found = json.loads(
            data.decode(),
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Number,
            object_pairs_hook=_members,
        )
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"no record of bond's: no JSON ({error})") from error
    if not isinstance(found, dict):
        raise MalformedError("no record of bond's: no JSON object")
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _record(fields: Any, side: str, total: str, *, legacy: bool) -> Record:
    names = (total, "is_meter_down", "previous_hash", "co2_saved", "is_co2_down")
    wanted = set(names if side == PRODUCED else names[:3])
    if not isinstance(fields, dict) or set(fields) != wanted:
        raise MalformedError(f"no record of bond's: the members are not {', '.join(sorted(wanted))}")
    nothing = legacy and fields[total] is None
    value = None if nothing else _number(fields[total], total, whole=not legacy)
    co2 = _number(fields["co2_saved"], "co2_saved", whole=True) if side == PRODUCED else None
    return Record(
        side=side,
        legacy=legacy,
        value=value,
        is_meter_down=_flag(fields["is_meter_down"], "is_meter_down"),
        previous_hash=_hash(fields["previous_hash"]),
        co2_saved=None if co2 is None else co2.mantissa,
        is_co2_down=_flag(fields["is_co2_down"], "is_co2_down") if side == PRODUCED else None,
    )


def _number(value: Any, name: str, *, whole: bool) -> Scaled:
    match = _DECIMAL.fullmatch(value.text) if isinstance(value, _Number) else None
    if match is None or (whole and match[1] != match[0]):
        raise MalformedError(f"no record of bond's: {name} is no {'whole ' * whole}number")
    digits, fraction, exponent = match[1], match[2] or "", int(match[3] or 0)
    found = Scaled(mantissa=int(digits + fraction), exponent=exponent - len(fraction))
    if abs(found.mantissa) > _MAX_VALUE:
        raise MalformedError(f"no record of bond's: {name} has too many digits for a contract")
    return found


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise MalformedError(f"no record of bond's: {name} is neither true nor false")
    return value


def _hash(value: Any) -> str:
    if not isinstance(value, str) or not (value == NOTHING_BEFORE or _HASH.fullmatch(value)):
        raise MalformedError(f"no record of bond's: previous_hash is neither {NOTHING_BEFORE} nor a hash")
    return value
