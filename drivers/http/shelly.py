"""Shelly devices: the status of all parts in one reply, of the first generation and of all later ones.

Sources: Allterco, "Shelly Gen1 API" (``/status``: meters, emeters) and "Shelly Gen2+ Device API"
(``/rpc/Shelly.GetStatus``; the parts EM, EMData, EM1, EM1Data, Switch, PM1, Cover).

::

    {"meters": [{"power": 6.5, "is_valid": true, "total": 4365}], "unixtime": 1663863464, "mac": "C45BBE7928B9"}
    {"em:0": {"id": 0, "a_act_power": 951.2, …}, "emdata:0": {"id": 0, "total_act": 12345.67, "total_act_ret": 6789.01},
     "sys": {"mac": "B0A73248B180", "unixtime": 1700000000}}

- Generation 1: ``total`` of a *meter* is watt-minutes, that of an *emeter* is watt-hours. Watt-minutes become joules,
  1 Wmin being 60 J, since watt-hours would not be exact. Where there are emeters, meters are not read.
- Three emeters are the phases of a 3EM; it tells the sum of the power and none of the energies, and none is reckoned
  here.
- Later generations: all energies are watt-hours. Energy that a load takes is 1-0:1.8.0, energy that it returns
  1-0:2.8.0.
- Part n of a device is channel n of its OBIS codes: ``1-1:1.8.0`` for ``switch:1``; part 0 is channel 0.
- ``is_valid`` false, and null, are no value. What a part lists under ``errors`` is a remark.
- ``unixtime`` is the device's clock, null or 0 as long as it was not set.
- A password is asked for by digest (RFC 7616) from generation 2 on; only that of generation 1 (Basic) is supported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from drivers.http.exact import clip, items, members, parse, unix_ms, word
from drivers.http.points import Table, decoded, fields, on_channel, point, telegram
from drivers.http.source import Document
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint

PATHS = {"shelly-1": "/status", "shelly-2": "/rpc/Shelly.GetStatus"}
_PART = re.compile(r"([a-z0-9]+):(\d{1,2})", re.ASCII)
_J_PER_WMIN = 60
_PHASES = 3
_EMETER: Table = {
    "total": ("1-0:1.8.0", "Wh"),
    "total_returned": ("1-0:2.8.0", "Wh"),
    "power": ("1-0:16.7.0", "W"),
    "reactive": ("1-0:131.7.0", "var"),
    "pf": ("1-0:13.7.0", ""),
    "voltage": ("1-0:12.7.0", "V"),
    "current": ("1-0:11.7.0", "A"),
}


def _phase(letter: str, number: int) -> dict[str, tuple[str, str]]:
    names = {
        "act_power": (16, "W"),
        "aprt_power": (9, "VA"),
        "pf": (13, ""),
        "freq": (14, "Hz"),
        "voltage": (12, "V"),
        "current": (11, "A"),
    }
    return {f"{letter}_{name}": (f"1-0:{group + 20 * number}.7.0", unit) for name, (group, unit) in names.items()}


_EM: Table = {
    "total_act_power": ("1-0:16.7.0", "W"),
    "total_aprt_power": ("1-0:9.7.0", "VA"),
    "total_current": ("1-0:11.7.0", "A"),
    "n_current": ("1-0:91.7.0", "A"),
    **_phase("a", 1),
    **_phase("b", 2),
    **_phase("c", 3),
}
_EMDATA: Table = {
    "total_act": ("1-0:1.8.0", "Wh"),
    "total_act_ret": ("1-0:2.8.0", "Wh"),
    "a_total_act_energy": ("1-0:21.8.0", "Wh"),
    "a_total_act_ret_energy": ("1-0:22.8.0", "Wh"),
    "b_total_act_energy": ("1-0:41.8.0", "Wh"),
    "b_total_act_ret_energy": ("1-0:42.8.0", "Wh"),
    "c_total_act_energy": ("1-0:61.8.0", "Wh"),
    "c_total_act_ret_energy": ("1-0:62.8.0", "Wh"),
}
_LOAD: Table = {
    "apower": ("1-0:16.7.0", "W"),
    "aprtpower": ("1-0:9.7.0", "VA"),
    "pf": ("1-0:13.7.0", ""),
    "freq": ("1-0:14.7.0", "Hz"),
    "voltage": ("1-0:12.7.0", "V"),
    "current": ("1-0:11.7.0", "A"),
}
_PARTS: Mapping[str, Table] = {
    "emdata": _EMDATA,
    "em": _EM,
    "em1data": {"total_act_energy": ("1-0:1.8.0", "Wh"), "total_act_ret_energy": ("1-0:2.8.0", "Wh")},
    "em1": {
        "act_power": ("1-0:16.7.0", "W"),
        "aprt_power": ("1-0:9.7.0", "VA"),
        "pf": ("1-0:13.7.0", ""),
        "freq": ("1-0:14.7.0", "Hz"),
        "voltage": ("1-0:12.7.0", "V"),
        "current": ("1-0:11.7.0", "A"),
    },
    "switch": _LOAD,
    "pm1": _LOAD,
    "cover": _LOAD,
}
#: Objects whose member ``total`` is a counter, where a part has them.
_TOTALS = {"aenergy": "1-0:1.8.0", "ret_aenergy": "1-0:2.8.0"}


def source(protocol: str) -> Document:
    """The status of all parts."""
    decode = decode_1 if protocol == "shelly-1" else decode_2
    return Document(PATHS[protocol], decode)


def decode_1(data: bytes) -> Telegram | BrokenTelegram:
    """A reply to ``/status`` of generation 1."""
    return decoded("shelly-1", data, _status_1)


def decode_2(data: bytes) -> Telegram | BrokenTelegram:
    """A reply to ``/rpc/Shelly.GetStatus`` of generation 2 and later."""
    return decoded("shelly-2", data, _status_2)


def decode_part(data: bytes, part: str) -> Telegram | BrokenTelegram:
    """A reply about one part, such as ``em`` to ``/rpc/EM.GetStatus?id=0``. It tells no time and no device."""
    return decoded("shelly-2", data, lambda reply: _single(reply, part))


def _status_1(data: bytes) -> Telegram:
    document = members(parse(data))
    if document.get("emeters"):
        points = _emeters(document)
    else:
        points = [one for n, meter in enumerate(_list(document, "meters")) for one in _meter(members(meter), n)]
    return telegram("shelly-1", data, points, meter=word(document, "mac"), time_ms=unix_ms(document.get("unixtime")))


def _list(document: Mapping[str, object], name: str) -> list[object]:
    return items(document, name)[:16] if name in document else []


def _meter(meter: Mapping[str, object], channel: int) -> list[TelegramPoint]:
    fault = _invalid(meter)
    points = []
    if "total" in meter:
        code = on_channel("1-0:1.8.0", channel)
        points.append(point(code, "J", meter["total"], times=_J_PER_WMIN, fault=fault))
    return points + fields(meter, {"power": ("1-0:16.7.0", "W")}, channel, fault)


def _emeters(document: Mapping[str, object]) -> list[TelegramPoint]:
    found = [members(one) for one in _list(document, "emeters")]
    if len(found) != _PHASES:
        return [one for n, meter in enumerate(found) for one in fields(meter, _EMETER, n, _invalid(meter))]
    points = fields(document, {"total_power": ("1-0:16.7.0", "W")})
    for phase, meter in enumerate(found, start=1):
        points += fields(meter, {name: _on_phase(row, phase) for name, row in _EMETER.items()}, 0, _invalid(meter))
    return points


def _on_phase(row: tuple[str, str], phase: int) -> tuple[str, str]:
    code, unit = row
    group, kind = code.removeprefix("1-0:").removesuffix(".0").split(".")
    known = f"1-0:{int(group) + 20 * phase}.{kind}.0"
    return (f"reactive_power_l{phase}" if unit == "var" else known), unit


def _invalid(meter: Mapping[str, object]) -> str:
    return "" if meter.get("is_valid", True) is True else "the device says that it is not valid"


def _status_2(data: bytes) -> Telegram:
    document = members(parse(data))
    points: list[TelegramPoint] = []
    remarks: list[str] = []
    for name in _PARTS:
        for part in document:
            found = _PART.fullmatch(part)
            if found is not None and found[1] == name:
                points += _part(members(document, part), name, int(found[2]), remarks)
    system = document.get("sys")
    told = system if isinstance(system, dict) else {}
    at_ms = unix_ms(told.get("unixtime"))
    return telegram("shelly-2", data, points, meter=word(told, "mac"), time_ms=at_ms, remarks=remarks)


def _single(data: bytes, part: str) -> Telegram:
    remarks: list[str] = []
    points = _part(members(parse(data)), part, 0, remarks)
    return telegram("shelly-2", data, points, remarks=remarks)


def _part(found: Mapping[str, object], name: str, channel: int, remarks: list[str]) -> list[TelegramPoint]:
    points = []
    for total, code in _TOTALS.items():
        if isinstance(counter := found.get(total), dict):
            points.append(point(on_channel(code, channel), "Wh", counter.get("total")))
    errors = [error for error in _list(found, "errors") if isinstance(error, str)]
    remarks += [f"{name}:{channel} tells {clip(error)}" for error in errors[:8]]
    return points + fields(found, _PARTS[name], channel)
