"""What a value is: the tables of value information (EN 13757-3, section 6.4, tables 10 to 17), as data.

A row stands for *count* codes from *first* on, each ten times the one before. A row of times stands for four codes:
seconds, minutes, hours, days. Codes in no row are reserved.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

#: What the data field holds.
NUMBER, BITS, DATE, IDENTITY, UNKNOWN = "number", "bits", "date", "identity", "unknown"

_TIMES = ("s", "min", "h", "d")
_LONG_TIMES = ("h", "d", "month", "year")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vif:
    """What one code means: a quantity, in units of ``10**exponent``."""

    name: str
    unit: str = ""
    exponent: int = 0
    kind: str = NUMBER


#: Number of codes from the first on, name, unit, exponent of the first one.
_Row = tuple[int, str, str, int]

_PRIMARY: dict[int, _Row] = {
    0x00: (8, "energy", "Wh", -3),
    0x08: (8, "energy", "J", 0),
    0x10: (8, "volume", "m3", -6),
    0x18: (8, "mass", "kg", -3),
    0x28: (8, "power", "W", -3),
    0x30: (8, "power", "J/h", 0),
    0x38: (8, "volume_flow", "m3/h", -6),
    0x40: (8, "volume_flow", "m3/min", -7),
    0x48: (8, "volume_flow", "m3/s", -9),
    0x50: (8, "mass_flow", "kg/h", -3),
    0x58: (4, "flow_temperature", "°C", -3),
    0x5C: (4, "return_temperature", "°C", -3),
    0x60: (4, "temperature_difference", "K", -3),
    0x64: (4, "external_temperature", "°C", -3),
    0x68: (4, "pressure", "bar", -3),
    0x6E: (1, "hca", "", 0),
    0x7A: (1, "bus_address", "", 0),
    0x7E: (1, "any", "", 0),
}
_PRIMARY_TIMES = {0x20: "on_time", 0x24: "operating_time", 0x70: "averaging_duration", 0x74: "actuality_duration"}
_PRIMARY_OTHER = {
    0x6C: Vif(name="date", kind=DATE),
    0x6D: Vif(name="time", kind=DATE),
    0x78: Vif(name="fabrication_number", kind=IDENTITY),
    0x79: Vif(name="identification", kind=IDENTITY),
}

#: Behind FD (table 14).
_FD: dict[int, _Row] = {
    0x00: (4, "credit", "currency", -3),
    0x04: (4, "debit", "currency", -3),
    0x08: (1, "access_number", "", 0),
    0x09: (1, "medium", "", 0),
    0x0A: (1, "manufacturer", "", 0),
    0x0B: (1, "parameter_set", "", 0),
    0x0C: (1, "model", "", 0),
    0x0D: (1, "hardware_version", "", 0),
    0x0E: (1, "firmware_version", "", 0),
    0x0F: (1, "software_version", "", 0),
    0x1C: (1, "baud_rate", "Bd", 0),
    0x1D: (1, "response_delay", "bit", 0),
    0x1E: (1, "retry", "", 0),
    0x1F: (1, "remote_control", "", 0),
    0x20: (1, "first_storage", "", 0),
    0x21: (1, "last_storage", "", 0),
    0x22: (1, "storage_block_size", "", 0),
    0x23: (1, "tariff_descriptor", "", 0),
    0x28: (1, "storage_interval", "month", 0),
    0x29: (1, "storage_interval", "year", 0),
    0x2A: (1, "operator_data", "", 0),
    0x2B: (1, "second", "s", 0),
    0x31: (1, "tariff_duration", "min", 0),
    0x32: (1, "tariff_duration", "h", 0),
    0x33: (1, "tariff_duration", "d", 0),
    0x38: (1, "tariff_period", "month", 0),
    0x39: (1, "tariff_period", "year", 0),
    0x3A: (1, "dimensionless", "", 0),
    0x40: (16, "voltage", "V", -9),
    0x50: (16, "current", "A", -12),
    0x60: (1, "reset_counter", "", 0),
    0x61: (1, "cumulation_counter", "", 0),
    0x62: (1, "control_signal", "", 0),
    0x63: (1, "day_of_week", "", 0),
    0x64: (1, "week_number", "", 0),
    0x65: (1, "day_change", "", 0),
    0x66: (1, "parameter_activation", "", 0),
    0x67: (1, "supplier_information", "", 0),
    0x71: (1, "signal_level", "dBm", 0),
    0x74: (1, "battery_remaining", "d", 0),
    0x75: (1, "stop_counter", "", 0),
}
_FD_TIMES = {
    0x24: "storage_interval",
    0x2C: "since_readout",
    0x34: "tariff_period",
    0x3C: "transmission_period",
}
_FD_LONG_TIMES = {0x68: "since_cumulation", 0x6C: "battery_operating_time"}
_FD_OTHER = {
    0x10: Vif(name="customer_location", kind=IDENTITY),
    0x11: Vif(name="customer", kind=IDENTITY),
    0x12: Vif(name="access_code_user", kind=IDENTITY),
    0x13: Vif(name="access_code_operator", kind=IDENTITY),
    0x14: Vif(name="access_code_system_operator", kind=IDENTITY),
    0x15: Vif(name="access_code_developer", kind=IDENTITY),
    0x16: Vif(name="password", kind=IDENTITY),
    0x17: Vif(name="error_flags", kind=BITS),
    0x18: Vif(name="error_mask", kind=BITS),
    0x1A: Vif(name="digital_output", kind=BITS),
    0x1B: Vif(name="digital_input", kind=BITS),
    0x30: Vif(name="tariff_start", kind=DATE),
    0x70: Vif(name="battery_change", kind=DATE),
}

#: Behind FB (table 12).
_FB: dict[int, _Row] = {
    0x00: (2, "energy", "Wh", 5),
    0x02: (2, "reactive_energy", "varh", 3),
    0x04: (2, "apparent_energy", "VAh", 3),
    0x08: (2, "energy", "J", 8),
    0x0C: (4, "energy", "cal", 5),
    0x10: (2, "volume", "m3", 2),
    0x14: (4, "reactive_power", "var", 0),
    0x18: (2, "mass", "kg", 5),
    0x1A: (2, "relative_humidity", "%", -1),
    0x20: (1, "volume", "ft3", 0),
    0x21: (1, "volume", "ft3", -1),
    0x22: (2, "volume", "gal", -1),
    0x24: (1, "volume_flow", "gal/min", -3),
    0x25: (1, "volume_flow", "gal/min", 0),
    0x26: (1, "volume_flow", "gal/h", 0),
    0x28: (2, "power", "W", 5),
    0x2A: (1, "phase_voltage_voltage", "°", -1),
    0x2B: (1, "phase_voltage_current", "°", -1),
    0x2C: (4, "frequency", "Hz", -3),
    0x30: (2, "power", "J/h", 8),
    0x34: (4, "apparent_power", "VA", 0),
    0x58: (4, "flow_temperature", "°F", -3),
    0x5C: (4, "return_temperature", "°F", -3),
    0x60: (4, "temperature_difference", "°F", -3),
    0x64: (4, "external_temperature", "°F", -3),
    0x70: (4, "temperature_limit", "°F", -3),
    0x74: (4, "temperature_limit", "°C", -3),
    0x78: (8, "cumulated_maximum_power", "W", -3),
}


def _rows(rows: dict[int, _Row]) -> dict[int, Vif]:
    return {
        first + step: Vif(name=name, unit=unit, exponent=exponent + step)
        for first, (count, name, unit, exponent) in rows.items()
        for step in range(count)
    }


def _times(rows: dict[int, str], units: tuple[str, ...] = _TIMES) -> dict[int, Vif]:
    return {first + step: Vif(name=name, unit=unit) for first, name in rows.items() for step, unit in enumerate(units)}


#: The code without its extension bit → what it means: VIF alone, behind FD, behind FB.
PRIMARY = MappingProxyType({**_rows(_PRIMARY), **_times(_PRIMARY_TIMES), **_PRIMARY_OTHER})
FD = MappingProxyType({**_rows(_FD), **_times(_FD_TIMES), **_times(_FD_LONG_TIMES, _LONG_TIMES), **_FD_OTHER})
FB = MappingProxyType(_rows(_FB))
