"""Tasmota: what ``Status 10`` tells of a plug with a meter, or of an optical head with the usual script.

::

    {"StatusSNS": {"Time": "2021-02-03T15:12:52", "ENERGY": {"Total": 13.487, "Power": 190, "Voltage": 230,
     "Current": 0.826, "ApparentPower": 200, "ReactivePower": 60, "Factor": 0.95}}}

Sources: Tasmota's documentation, "Commands" (Status), "JSON Status Responses" and "Power Monitoring"; for optical
heads "Smart Meter Interface" and the tags that evcc's documentation lists (group ``SML``: ``Total_in``, ``Total_out``
in kilowatt-hours, ``Power_curr`` in watts, and so on). A script may name its tags and units as it likes; others are
not read.

- ``Total`` is what the plug counted, kilowatt-hours: 1-0:1.8.0. ``Today``, ``Yesterday`` and ``Period`` are no
  counters; the first two are points without OBIS code, the last is left out. ``Total`` can be set back by a command.
- Of a device with several phases a value is a list, in the order of the phases.
- ``Time`` is local and says no zone, unless SetOption52 is on. Without zone it is no time of the meter, so an old
  reply cannot be told from a new one; but Tasmota answers from memory, itself.
- A device with a password wants it in the URL. That is not supported: a URL is no place for a secret.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.http.exact import Unusable, clip, members, parse, time_ms, word
from drivers.http.points import Table, decoded, fields, point, telegram
from drivers.http.source import Document
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint

PROTOCOL = "tasmota"
PATH = "/cm?cmnd=Status%2010"
_ENERGY: Table = {
    "Total": ("1-0:1.8.0", "kWh"),
    "ExportActive": ("1-0:2.8.0", "kWh"),
    "Power": ("1-0:16.7.0", "W"),
    "ApparentPower": ("1-0:9.7.0", "VA"),
    "ReactivePower": ("1-0:131.7.0", "var"),
    "Factor": ("1-0:13.7.0", ""),
    "Frequency": ("1-0:14.7.0", "Hz"),
    "Voltage": ("1-0:12.7.0", "V"),
    "Current": ("1-0:11.7.0", "A"),
    "Today": ("today", "kWh"),
    "Yesterday": ("yesterday", "kWh"),
}
#: Group C of reactive power has no rule for phases; of the others they are 20, 40 and 60 more.
_REACTIVE = "131"
_PHASES_MAX = 3
_SML: Table = {
    "Total_in": ("1-0:1.8.0", "kWh"),
    "Total_out": ("1-0:2.8.0", "kWh"),
    "Power_curr": ("1-0:16.7.0", "W"),
    "power_l1": ("1-0:36.7.0", "W"),
    "power_l2": ("1-0:56.7.0", "W"),
    "power_l3": ("1-0:76.7.0", "W"),
    "voltage_l1": ("1-0:32.7.0", "V"),
    "voltage_l2": ("1-0:52.7.0", "V"),
    "voltage_l3": ("1-0:72.7.0", "V"),
    "current_l1": ("1-0:31.7.0", "A"),
    "current_l2": ("1-0:51.7.0", "A"),
    "current_l3": ("1-0:71.7.0", "A"),
}


def source(_id: str) -> Document:
    """The sensors' document."""
    return Document(PATH, decode)


def decode(data: bytes) -> Telegram | BrokenTelegram:
    """One reply."""
    return decoded(PROTOCOL, data, _decode)


def _decode(data: bytes) -> Telegram:
    document = members(parse(data))
    if "StatusSNS" not in document:
        warning = word(document, "WARNING") or word(document, "Command")
        raise Unusable(f"it has no StatusSNS{f', but says {clip(warning, 80)}' if warning else ''}")
    sensors = members(document, "StatusSNS")
    points: list[TelegramPoint] = []
    meter = ""
    if isinstance(head := sensors.get("SML"), dict):
        points += fields(head, _SML)
        meter = word(head, "Meter_Id")
    if isinstance(plug := sensors.get("ENERGY"), dict):
        points += _plug(plug)
    return telegram(PROTOCOL, data, points, meter=meter, time_ms=_time(word(sensors, "Time")))


def _plug(found: Mapping[str, object]) -> list[TelegramPoint]:
    points: list[TelegramPoint] = []
    for name, (code, unit) in _ENERGY.items():
        value = found.get(name)
        if isinstance(value, list):
            phases = enumerate(value[:_PHASES_MAX], start=1)
            points += [point(_on_phase(code, phase), unit, one) for phase, one in phases]
        elif name in found:
            points.append(point(code, unit, value))
    return points


def _on_phase(code: str, phase: int) -> str:
    group = code.removeprefix("1-0:").partition(".")[0]
    if group == _REACTIVE:
        return f"reactive_power_l{phase}"
    return code.replace(f":{group}.", f":{int(group) + 20 * phase}.") if ":" in code else f"{code}_l{phase}"


def _time(text: str) -> int | None:
    try:
        return time_ms(text)
    except Unusable:
        return None
