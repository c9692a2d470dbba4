"""Objects of a meter (drivers/dlms/objects.py), with a getter that answers from a table."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from drivers.dlms import axdr, cosem
from drivers.dlms.axdr import Datum
from drivers.dlms.objects import Objects, Wish
from drivers.dlms.service import BadReply, Failure, Wanted
from gateway.reading import Scaled
from tests.dlms_telegrams import TIME, TIME_MS, array, name, scale, u16, u32

ENERGY, DEMAND = Wish(code="1-0:1.8.0"), Wish(code="1-0:1.6.0", class_id=cosem.EXTENDED_REGISTER)
PROFILE = "1-0:99.1.0"


def captured(class_id: int, code: str, attribute: int) -> bytes:
    return axdr.structure(u16(class_id), name(code), axdr.integer(axdr.INT8, attribute), u16(0))


class Table:
    """Answers what is in *answers*, and that nothing else is there."""

    def __init__(self, answers: dict[tuple[str, int], bytes]) -> None:
        self.answers = answers
        self.asked: list[list[tuple[str, int]]] = []
        self.wanted: list[Wanted] = []

    async def get(self, wanted: Sequence[Wanted]) -> tuple[Datum | Failure, ...]:
        self.wanted += wanted
        self.asked.append([(one.attribute.code, one.attribute.attribute) for one in wanted])
        found = [self.answers.get(key) for key in self.asked[-1]]
        return tuple(axdr.parse(data) if data is not None else Failure(code=4) for data in found)


async def test_scaler_and_unit_are_read_once() -> None:
    """And the values each time, in lists."""
    table = Table({("1-0:1.8.0", 3): scale(1, 30), ("1-0:1.8.0", 2): u32(7)})
    objects = Objects(table)
    for _ in range(2):
        (point,) = await objects.read([ENERGY])
        assert (point.value, point.unit) == (Scaled(mantissa=7, exponent=1), "Wh")
    assert table.asked == [[("1-0:1.8.0", 3)], [("1-0:1.8.0", 2)], [("1-0:1.8.0", 2)]]


async def test_lists_are_no_longer_than_the_meter_takes() -> None:
    """One at a time, if need be."""
    table = Table({})
    await Objects(table, list_max=1).read([Wish(code=f"0-0:96.1.{n}", class_id=1) for n in range(3)])
    assert [len(asked) for asked in table.asked] == [1, 1, 1]


async def test_a_register_without_scaler_is_a_fault() -> None:
    """Its number means nothing."""
    (point,) = await Objects(Table({("1-0:1.8.0", 2): u32(7)})).read([ENERGY])
    assert (point.value, point.fault) == (None, "the meter does not tell its scaler and unit")
    assert point.raw == u32(7)


async def test_a_profile_tells_columns_apart() -> None:
    """Another attribute of the same object has its number behind; null-data is a fault, not the row before."""
    columns = array(
        captured(cosem.CLOCK, "0-0:1.0.0", 2),
        captured(cosem.EXTENDED_REGISTER, "1-0:1.6.0", 2),
        captured(cosem.EXTENDED_REGISTER, "1-0:1.6.0", 5),
        captured(cosem.EXTENDED_REGISTER, "1-0:1.6.0", 2),
    )
    rows = array(
        axdr.structure(axdr.octets(TIME), u32(1), axdr.octets(TIME), u32(2)),
        axdr.structure(b"\x00", u32(3), axdr.octets(TIME), b"\x00"),
    )
    answers = {(PROFILE, 3): columns, (PROFILE, 2): rows, ("1-0:1.6.0", 3): scale(0, 27)}
    first, second = await Objects(Table(answers)).profile(PROFILE, 1, 2)
    assert first.stamp is not None
    assert first.stamp.time_ms == TIME_MS
    assert [(point.code, str(point.value or point.time_ms)) for point in first.points] == [
        ("1-0:1.6.0", "1"),
        ("1-0:1.6.0;5", str(TIME_MS)),
        ("1-0:1.6.0#4", "2"),
    ]
    assert second.stamp is None
    assert second.points[2].fault == "no value: null-data"


async def test_entries_are_asked_for_by_number_or_by_time() -> None:
    """Selectors 2 and 1, with the parameters of IEC 62056-6-2, 4.3.6."""
    table = Table({(PROFILE, 3): array(captured(cosem.CLOCK, "0-0:1.0.0", 2)), (PROFILE, 2): array()})
    objects = Objects(table)
    assert await objects.profile(PROFILE, 5, 9) == ()
    assert (table.wanted[-1].selector, table.wanted[-1].parameters.hex()) == (2, "020406000000050600000009120001120000")
    await objects.profile_between(PROFILE, TIME_MS, TIME_MS + 900_000)
    assert table.wanted[-1].selector == 1
    assert table.wanted[-1].parameters.hex() == (
        "0204020412000809060000010000ff0f02120000090c07ea010f040b000000000000090c07ea010f040b0f00000000000100"
    )


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({}, "does not tell what it captures: object undefined"),
        ({3: u32(1)}, "does not give its entries"),
        ({3: array(u32(1))}, "no captured object is"),
        ({3: array(captured(8, "0-0:1.0.0", 2)), 2: array(axdr.structure(u32(1), u32(2)))}, "has not 1 values"),
    ],
)
async def test_what_is_no_profile_is_named(answers: dict[int, bytes], error: str) -> None:
    """With what is wrong."""
    table = Table({(PROFILE, number): data for number, data in answers.items()})
    with pytest.raises(BadReply, match=error):
        await Objects(table).profile(PROFILE, 1, 1)


async def test_what_is_no_clock_no_count_and_no_list_is_named() -> None:
    """Never a time or a number of zero."""
    objects = Objects(Table({("0-0:1.0.0", 2): u32(1), ("0-0:40.0.0", 2): array(u32(1))}))
    with pytest.raises(BadReply, match=r"0-0:1\.0\.0 is no clock: 0600000001"):
        await objects.clock()
    with pytest.raises(BadReply, match="how many entries"):
        await objects.entries_in_use(PROFILE)
    with pytest.raises(BadReply, match="no object is"):
        await objects.all()
    with pytest.raises(BadReply, match="does not list its objects"):
        await Objects(Table({})).all()


def test_an_object_code_that_is_none_is_refused() -> None:
    """With an example."""
    with pytest.raises(ValueError, match="write it as"):
        Wish(code="1.8.0").attribute(2)
