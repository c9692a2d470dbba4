"""All shipped definitions side by side: what a scan calls each meter, and the requests that each one is read with."""

from __future__ import annotations

from typing import cast

import pytest

from drivers.house import ANCHOR_MS, House
from drivers.modbus.bus import ModbusBus
from drivers.modbus.definition import Definition, list_definitions, load_definition
from drivers.modbus.plan import SPARE_RTU, SPARE_TCP, Limits, Span, plan
from drivers.modbus.scan import scan
from drivers.modbus.virtual_meter import VirtualMeter
from gateway.errors import MeterRefused

MODELS = {name: load_definition(name) for name in list_definitions()}
NOON_MS = ANCHOR_MS + 500 * 86_400_000 + 43_200_000
HOUSE = House(7)

_SCHNEIDER = ("schneider-iem3150", "schneider-iem3155", "schneider-pm3255", "schneider-pm5100",
              "schneider-powertag-a9mem16")  # fmt: skip
_SIEMENS = ("siemens-pac2200", "siemens-pac3200", "siemens-pac3220", "siemens-pac4200")
_EASTRON = ("eastron-sdm230", "eastron-sdm630")
#: What a scan calls the simulated meters of a family where that is not its own name alone: families whose registers
#: are the same as far as they tell anything, or that tell nothing a scan could go by. The installer chooses by the
#: type plate; the definitions' notes say so.
CALLED = {
    "bgetech-drt428m": ("bgetech-drt428m", "orno-we-516"),
    "bgetech-ws100": ("bgetech-ws100", "orno-we-525"),
    "carlo-gavazzi-em340": ("carlo-gavazzi-em340", "garo-gnm3d"),
    "eastron-sdm120": ("eastron-sdm120", *_EASTRON),
    "eastron-sdm220": _EASTRON,
    "eastron-sdm230": _EASTRON,
    "eastron-sdm630": _EASTRON,
    "eastron-sdm72d-m-v2": _EASTRON,
    "finder-7m24": ("finder-7m24", "finder-7m38"),
    "finder-7m38": ("finder-7m24", "finder-7m38"),
    "garo-gnm3d": ("carlo-gavazzi-em340", "garo-gnm3d"),
    "janitza-umg103": ("janitza-umg96rm",),
    "janitza-umg104": ("janitza-umg96rm",),
    "janitza-umg511": ("janitza-umg96rm",),
    "orno-we-516": ("bgetech-drt428m", "orno-we-516"),
    "orno-we-525": ("bgetech-ws100", "orno-we-525"),
    "socomec-countis-e24": ("socomec-countis-e14", "socomec-countis-e24"),
    **dict.fromkeys(_SCHNEIDER, _SCHNEIDER),
    **dict.fromkeys(_SIEMENS, _SIEMENS),
    **dict.fromkeys(
        ("abb-a43", "carlo-gavazzi-em540", "eastron-sdm72d-m", "noark-ex9em", "schneider-powertag-a9mem15",
         "siemens-pac3100"), (),
    ),
}  # fmt: skip


class VirtualBus:
    """A bus whose every unit is one simulated meter."""

    #: No line, no noise.
    garbled = 0

    def __init__(self, definition: Definition) -> None:
        self._meter = VirtualMeter(definition, HOUSE)

    async def read_registers(self, _unit: int, fc: int, address: int, count: int) -> bytes:
        answer = self._meter.read(fc, address, count, NOON_MS)
        if isinstance(answer, int):
            raise MeterRefused("refused", code=answer)
        return b"".join(word.to_bytes(2, "big") for word in answer)


@pytest.mark.parametrize("model", MODELS)
async def test_a_scan_calls_each_meter_by_its_name(model: str) -> None:
    """And by no other, but for the families that cannot be told apart."""
    bus = cast("ModbusBus", VirtualBus(MODELS[model]))
    found = [each async for each in scan(bus, [1], tuple(MODELS.values()))]
    assert found[0].models == CALLED.get(model, (model,))


def test_overlaps_are_only_those_that_remain() -> None:
    """The table above names no family that is not shipped."""
    assert set(CALLED) <= set(MODELS)
    assert {name for names in CALLED.values() for name in names} <= set(MODELS)


def spans(definition: Definition) -> list[Span]:
    found = [Span(point.fc, point.address, point.words) for point in definition.points]
    return found + [
        Span(point.fc, point.scale_register, 1) for point in definition.points if point.scale_register is not None
    ]


@pytest.mark.parametrize("gap", [SPARE_RTU, SPARE_TCP])
@pytest.mark.parametrize("model", MODELS)
def test_every_point_is_asked_for_within_the_meters_limits(model: str, gap: int) -> None:
    """Each value once and whole, in requests that are no longer, cross nothing and begin no odder than allowed."""
    definition = MODELS[model]
    if definition.sunspec is not None:
        definition = definition.resolve(40_070)
    limits = Limits(
        max_registers=definition.max_registers,
        max_gap=gap if definition.max_gap is None else min(gap, definition.max_gap),
        barriers=frozenset(definition.barriers),
        align_even=definition.align_even,
    )
    blocks = plan(spans(definition), limits)
    served = [span for block in blocks for span in block.serves]
    assert sorted(served) == sorted(set(spans(definition)))
    for block in blocks:
        whole = block.span
        assert 1 <= whole.count <= definition.max_registers
        assert not any(whole.address < barrier < whole.end for barrier in definition.barriers)
        assert not definition.align_even or (whole.address % 2 == 0 and whole.count % 2 == 0)
        assert all(whole.address <= span.address and span.end <= whole.end for span in block.serves)


@pytest.mark.parametrize("model", MODELS)
def test_no_two_points_share_a_register(model: str) -> None:
    """Nor is one value told under two names."""
    points = MODELS[model].points
    taken = [(point.fc, at) for point in points for at in range(point.address, point.address + point.words)]
    assert len(set(taken)) == len(taken)
