"""Fronius Solar API V1: inverters, smart meters and the whole site, JSON over HTTP without authentication.

Source: Fronius, operating instructions 42,0410,2012 "Fronius Solar API V1" (CumulationInverterData of
GetInverterRealtimeData, GetMeterRealtimeData, GetPowerFlowRealtimeData); the names of early GEN24 firmware from
openHAB's Fronius binding.

::

    {"Body": {"Data": {"TOTAL_ENERGY": {"Unit": "Wh", "Value": 25981765}, "PAC": {"Unit": "W", "Value": 4407}}},
     "Head": {"Status": {"Code": 0, "Reason": ""}, "Timestamp": "2018-09-06T15:05:13+02:00"}}

- The id says what is read: ``inverter/1``, ``meter/0`` or ``site``; the number is the API's DeviceId.
- What an inverter produced is 1-0:2.8.0, its power 1-0:2.7.0. Its energy of the day and the year are no counters and
  have no OBIS code. Null, at night or where a device cannot tell, is no value; a reply that has a code is none.
- A meter counts as it is installed; ``Meter_Location_Current`` 0 is the grid connection, where consumed is 1-0:1.8.0.
  Its own ``TimeStamp`` is the time, in seconds, where it has one, else that of the reply.
- Signs of the site are Fronius's: ``P_Grid`` is positive when energy is taken, ``P_Akku`` when the battery gives.
- Units are as told. One other than documented is refused, but for kilo and mega of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from drivers.http.exact import Number, Unusable, clip, kind, member, members, parse, time_ms, unix_ms, word
from drivers.http.points import Table, decoded, fields, point, telegram
from drivers.http.source import Document
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint
from gateway.errors import ConfigError

PROTOCOL = "fronius"
_ID = re.compile(r"(inverter|meter)/(\d{1,5})|site", re.ASCII)
_BASE = "/solar_api/v1/"
_PATHS = {
    "inverter": "GetInverterRealtimeData.cgi?Scope=Device&DeviceId={}&DataCollection=CumulationInverterData",
    "meter": "GetMeterRealtimeData.cgi?Scope=Device&DeviceId={}",
    "site": "GetPowerFlowRealtimeData.fcgi",
}
_INVERTER: Table = {
    "TOTAL_ENERGY": ("1-0:2.8.0", "Wh"),
    "PAC": ("1-0:2.7.0", "W"),
    "DAY_ENERGY": ("day_energy", "Wh"),
    "YEAR_ENERGY": ("year_energy", "Wh"),
}
_SHIFTS = {"": 0, "k": 3, "M": 6}
_METER: Table = {
    "EnergyReal_WAC_Sum_Consumed": ("1-0:1.8.0", "Wh"),
    "EnergyReal_WAC_Sum_Produced": ("1-0:2.8.0", "Wh"),
    "EnergyReactive_VArAC_Sum_Consumed": ("1-0:3.8.0", "varh"),
    "EnergyReactive_VArAC_Sum_Produced": ("1-0:4.8.0", "varh"),
    "PowerReal_P_Sum": ("1-0:16.7.0", "W"),
    "PowerReal_P_Phase_1": ("1-0:36.7.0", "W"),
    "PowerReal_P_Phase_2": ("1-0:56.7.0", "W"),
    "PowerReal_P_Phase_3": ("1-0:76.7.0", "W"),
    "PowerApparent_S_Sum": ("1-0:9.7.0", "VA"),
    "PowerReactive_Q_Sum": ("1-0:131.7.0", "var"),
    "PowerFactor_Sum": ("1-0:13.7.0", ""),
    "Frequency_Phase_Average": ("1-0:14.7.0", "Hz"),
    "Voltage_AC_Phase_1": ("1-0:32.7.0", "V"),
    "Voltage_AC_Phase_2": ("1-0:52.7.0", "V"),
    "Voltage_AC_Phase_3": ("1-0:72.7.0", "V"),
    "Current_AC_Phase_1": ("1-0:31.7.0", "A"),
    "Current_AC_Phase_2": ("1-0:51.7.0", "A"),
    "Current_AC_Phase_3": ("1-0:71.7.0", "A"),
    "SMARTMETER_ENERGYACTIVE_CONSUMED_SUM_F64": ("1-0:1.8.0", "Wh"),
    "SMARTMETER_ENERGYACTIVE_PRODUCED_SUM_F64": ("1-0:2.8.0", "Wh"),
    "GRID_FREQUENCY_MEAN_F32": ("1-0:14.7.0", "Hz"),
}
_SITE: Table = {
    "P_Grid": ("p_grid", "W"),
    "P_PV": ("p_pv", "W"),
    "P_Load": ("p_load", "W"),
    "P_Akku": ("p_akku", "W"),
    "E_Total": ("e_total", "Wh"),
}


def source(id_: str) -> Document:
    """The document of ``inverter/N``, ``meter/N`` or ``site``. Raises ConfigError."""
    found = _ID.fullmatch(id_)
    if found is None:
        raise ConfigError(f"id {id_!r}: {PROTOCOL} wants inverter/1, meter/0 or site, the number being the DeviceId")
    what = found[1] or "site"
    return Document(_BASE + _PATHS[what].format(found[2]), lambda data: decode(data, what))


def decode(data: bytes, what: str = "inverter") -> Telegram | BrokenTelegram:
    """The reply about an ``inverter``, a ``meter`` or the ``site``."""
    return decoded(PROTOCOL, data, lambda reply: _decode(reply, what))


def _decode(data: bytes, what: str) -> Telegram:
    document = parse(data)
    code = member(document, "Head", "Status", "Code")
    if not isinstance(code, Number) or code.text != "0":
        told = code.text if isinstance(code, Number) else kind(code)
        raise Unusable(f"it says code {told}: {clip(word(document, 'Head', 'Status', 'Reason'), 80)}")
    at_ms = time_ms(word(document, "Head", "Timestamp"))
    found = members(document, "Body", "Data")
    if what == "inverter":
        return telegram(PROTOCOL, data, _cumulated(found), time_ms=at_ms, remarks=_errors(found))
    if what == "site":
        return telegram(PROTOCOL, data, fields(members(found, "Site"), _SITE), time_ms=at_ms)
    own_ms = unix_ms(found.get("TimeStamp"))
    serial = word(found, "Details", "Serial") if isinstance(found.get("Details"), dict) else ""
    return telegram(PROTOCOL, data, fields(found, _METER), meter=serial, time_ms=own_ms or at_ms)


def _cumulated(found: Mapping[str, object]) -> list[TelegramPoint]:
    return [_with_unit(found[name], code, unit) for name, (code, unit) in _INVERTER.items() if name in found]


def _with_unit(value: object, code: str, unit: str) -> TelegramPoint:
    """``{"Unit": "kWh", "Value": 1.5}`` in *unit*."""
    if not isinstance(value, dict):
        return point(code, unit, value)
    told = value.get("Unit")
    if not isinstance(told, str) or told.removesuffix(unit) not in _SHIFTS or not told.endswith(unit):
        fault = f"its unit is {clip(told) if isinstance(told, str) else kind(told)}, not {unit}"
        return point(code, unit, value.get("Value"), fault=fault)
    return point(code, unit, value.get("Value"), shift=_SHIFTS[told.removesuffix(unit)])


def _errors(found: Mapping[str, object]) -> list[str]:
    status = found.get("DeviceStatus")
    error = status.get("ErrorCode") if isinstance(status, dict) else None
    if isinstance(error, Number) and error.text not in ("0", "-1"):
        return [f"the inverter tells error {clip(error.text)}; see its manual"]
    return []
