"""OBIS codes that have a name here, with what is known of the quantity (IEC 62056-61; DIN 43863-3 for electricity).

Electricity codes are those of channel 0; another channel is put behind the name, ``power_total_2``. A code that is
not in the table is its own name, so nothing that a meter sends is lost. Tariffs 1 to 4 and phases follow by rule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType

_CODE = re.compile(r"(\d{1,3})-(\d{1,3}):(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\*(\d{1,3}))?")
#: What a household's connection cannot exceed: 3 × 63 A at 230 V is 43 kW.
_POWER_KW_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What a code stands for."""

    name: str
    #: A counter that only rises.
    monotonic: bool = False


#: Group C of electricity → what it measures: sums first, then the phases at 20, 40 and 60 more.
_ENERGY = {
    1: "import",
    2: "export",
    3: "import_reactive",
    4: "export_reactive",
    9: "import_apparent",
    10: "export_apparent",
}
_PLAIN = {
    "1-0:16.7.0": "power_total",
    "1-0:1.7.0": "power_import",
    "1-0:2.7.0": "power_export",
    "1-0:3.7.0": "reactive_power_total",
    "1-0:4.7.0": "reactive_power_export",
    "1-0:131.7.0": "reactive_power_total",
    "1-0:9.7.0": "apparent_power_total",
    "1-0:13.7.0": "power_factor",
    "1-0:14.7.0": "frequency",
    "1-0:12.7.0": "voltage",
    "1-0:11.7.0": "current",
    "1-0:91.7.0": "current_neutral",
    "0-0:96.14.0": "tariff",
    "0-0:96.7.21": "power_failures",
    "0-0:96.7.9": "long_power_failures",
}
_PHASES = {
    1: ("import_{}", True),
    2: ("export_{}", True),
    11: ("current_{}", False),
    12: ("voltage_{}", False),
    13: ("power_factor_{}", False),
    16: ("power_{}", False),
}
#: Names of M-Bus records (``drivers.mbus.decoder``) that only rise, and what is no counter though it is named alike.
_MBUS_COUNTERS = ("energy", "volume")
_MBUS_OTHERS = re.compile(r"_per_|_max|_min|_s\d|_u\d|flow")
#: Group A of other media, whose total is D.E = x.0: the counter of an M-Bus device behind an electricity meter.
_MEDIA = MappingProxyType({5: "cold", 6: "heat", 7: "gas", 8: "water", 9: "hot_water"})


def quantity(code: str) -> Quantity:
    """What *code* stands for; a code that is not known is its own name."""
    found = _CODE.fullmatch(code)
    if found is None and code.startswith(_MBUS_COUNTERS) and not _MBUS_OTHERS.search(code):
        return Quantity(name=code, monotonic=True)
    if found is None or found[6] is not None:
        # Another F than 255 is a value of an earlier period.
        return Quantity(name=code)
    medium, channel, group, kind, tariff = (int(part) for part in found.groups()[:5])
    suffix = f"_{channel}" if channel else ""
    plain = _PLAIN.get(f"{medium}-0:{group}.{kind}.{tariff}")
    if plain is not None:
        return Quantity(name=plain + suffix, monotonic=plain.endswith("failures"))
    if medium in _MEDIA and kind in (0, 1) and tariff == 0:
        return Quantity(name=f"{_MEDIA[medium]}_{group}_total{suffix}", monotonic=True)
    if medium == 1 and kind in (7, 8):
        return _electricity(code, group, kind, tariff, suffix)
    return Quantity(name=code)


def _electricity(code: str, group: int, kind: int, tariff: int, suffix: str) -> Quantity:
    if kind == 8 and group in _ENERGY:
        return Quantity(name=f"{_ENERGY[group]}_{f't{tariff}' if tariff else 'total'}{suffix}", monotonic=True)
    phase, base = divmod(group, 20)
    rule = _PHASES.get(base)
    if rule is None or phase not in (1, 2, 3) or tariff:
        return Quantity(name=code)
    name, counts = rule
    if counts:
        # Group D 8 is the counter, 7 the power in that direction.
        counted = name.format(f"l{phase}") if kind == 8 else f"power_{name.format(f'l{phase}')}"
        return Quantity(name=counted + suffix, monotonic=kind == 8)
    return Quantity(name=name.format(f"l{phase}") + suffix) if kind == 7 else Quantity(name=code)
