"""The telegrams of libmbus's test suite, record by record against what it made of them (drivers/mbus)."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
from decimal import Decimal
from pathlib import Path

import pytest

from drivers.mbus.decoder import MORE_FOLLOW, MbusDecoder, read_header
from drivers.mbus.exchange import identity
from drivers.mbus.fixed import fixed
from drivers.mbus.frame import Long, Splitter
from drivers.mbus.header import MEDIA
from drivers.mbus.record import Record, RecordReader
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint
from tests.parts import VECTORS, vectors

FOLDER = VECTORS / "mbus"
GOOD = sorted(FOLDER.glob("test-frames/*.hex"))

#: Our unit → theirs, and what one of ours is in theirs.
UNITS = {
    "m3": ("m^3", 1),
    "m3/h": ("m^3/h", 1),
    "min": ("s", 60),
    "h": ("s", 3600),
    "d": ("s", 86400),
    "%RH": ("-", 1),
    "bat. time": ("-", 1),
    "cust. ID": ("-", 1),
    "m3/input_pulse_0": ("m^3", 1),
    "m3/input_pulse_1": ("m^3", 1),
}
#: Telegram and number of the record → why libmbus is not followed.
EXCEPTIONS = {
    (
        "SEN_Pollustat",
        12,
    ): "VIFE 50 makes it the duration of the first lower exceed, in seconds; libmbus leaves it a flow",
    ("SEN_Pollustat", 13): "VIFE 58, likewise of the upper limit",
    ("sen_pollutherm", 2): "VIF 7B is reserved; libmbus leaves the record empty",
}


def hex_of(path: Path) -> bytes:
    return bytes.fromhex(path.read_text())


def frame_of(path: Path) -> Long:
    (frame,) = Splitter().feed(hex_of(path))
    assert isinstance(frame, Long)
    return frame


def decoded(path: Path) -> Telegram | BrokenTelegram:
    decoder = MbusDecoder()
    (found,) = decoder.feed(hex_of(path))
    assert decoder.end() == []
    return found


def xml_of(path: Path, ending: str) -> ET.Element:
    """It says ISO-8859-1 and is UTF-8 in places."""
    text = path.with_suffix(ending).read_bytes().decode("utf-8", errors="replace")
    return ET.fromstring(text.replace('encoding="ISO-8859-1"', ""))


def texts(element: ET.Element) -> dict[str, str]:
    return {child.tag: (child.text or "") for child in element}


def test_all_vectors_are_here() -> None:
    vectors("mbus")
    assert len(GOOD) == 43


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_the_header_is_what_libmbus_reads(path: Path) -> None:
    """Identification, manufacturer, version, medium, access number, status and signature."""
    told = texts(xml_of(path, ".norm.xml").find("SlaveInformation") or pytest.fail("no header"))
    frame = frame_of(path)
    found = decoded(path)
    assert isinstance(found, Telegram)
    header, _ = read_header(frame)
    if header is None:
        plain = fixed(frame.data)
        assert found.meter == plain.id
        medium = MEDIA[plain.medium]
        id_, access, status = plain.id, plain.access, plain.status
    else:
        assert found.meter == header.secondary == identity(frame)
        assert (header.manufacturer, str(header.version)) == (told["Manufacturer"], told["Version"])
        signature = header.signature.to_bytes(2, "big").hex().upper()
        assert signature in (told["Signature"], told["Signature"][2:] + told["Signature"][:2])
        medium, id_, access, status = header.medium_name, header.id, header.access, header.status
    assert id_.lstrip("0") == told["Id"].lstrip("0")
    assert str(access) == told["AccessNumber"]
    assert f"{status:02X}" == told["Status"]
    theirs = told["Medium"].lower()
    assert medium.startswith(theirs) or theirs.startswith(medium), "a heat meter is one of either pipe"


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_each_record_is_what_libmbus_reads(path: Path) -> None:
    """Value times unit, text, function, storage, tariff and subunit; nothing is missing and nothing is more."""
    found = decoded(path)
    assert isinstance(found, Telegram)
    frame = frame_of(path)
    norm = [texts(record) for record in xml_of(path, ".norm.xml").findall("DataRecord")]
    plain = [texts(record) for record in xml_of(path, ".xml").findall("DataRecord")]
    heads = records_of(frame)
    points = list(found.points)
    if norm[-1].get("Function") == "More records follow":
        assert MORE_FOLLOW in found.remarks
        norm = norm if norm[-1]["Value"] else norm[:-1]
    assert len(points) == len(norm)
    for number, (point, theirs) in enumerate(zip(points, norm, strict=True)):
        if (path.stem, number) in EXCEPTIONS:
            continue
        if theirs["Function"] in ("Manufacturer specific", "More records follow"):
            assert (point.code, point.text) == ("manufacturer_data", theirs["Value"].strip())
            continue
        same_place(heads[number], theirs)
        same_value(point, heads[number], theirs, plain[number]["Value"])


def records_of(frame: Long) -> tuple[Record, ...]:
    header, size = read_header(frame)
    return fixed(frame.data).records if header is None else RecordReader().read(frame.data[size:]).records


def same_place(record: Record, theirs: dict[str, str]) -> None:
    functions = ("Instantaneous value", "Maximum value", "Minimum value", "Value during error state")
    if theirs["Function"] == "Actual value":
        return  # the fixed structure tells no more
    assert theirs["Function"] == functions[record.head.function]
    assert int(theirs["StorageNumber"]) == record.head.storage
    assert int(theirs.get("Tariff", 0)) == record.head.tariff
    assert int(theirs.get("Device", 0)) == record.head.subunit


def same_value(point: TelegramPoint, record: Record, theirs: dict[str, str], plain: str) -> None:
    if point.fault:
        refused(point, record, plain)
    elif point.value is None:
        same_text(point.text, theirs["Value"])
    elif theirs["Function"] == "Actual value":
        same_fixed(point, theirs)
    else:
        unit, factor = UNITS.get(point.unit, (point.unit, 1))
        assert theirs["Unit"] in ((unit,) if unit else ("", "-", "Units for H.C.A."))
        ours = Decimal(point.value.mantissa).scaleb(point.value.exponent) * factor
        if record.head.coding == 5:
            real = struct.unpack("<f", point.raw)[0]
            assert struct.pack("<f", float(ours.scaleb(-record.head.exponent))) == point.raw
            assert f"{real:f}" == plain
            return
        assert point.value.mantissa == int(plain)
        assert ours.quantize(Decimal("0.000001")) == Decimal(theirs["Value"])


def same_text(text: str, theirs: str) -> None:
    """Dates; numbers of identification, which libmbus reads as a number; texts."""
    same_date = theirs.replace(":00Z", "") == text.removesuffix(" (summer time)")
    assert same_date or text == theirs or (text.isdecimal() and int(text) == Decimal(theirs)), (text, theirs)


def refused(point: TelegramPoint, record: Record, plain: str) -> None:
    """What we refuse is from an error state, and the text has it as libmbus does; or it is no date."""
    assert point.value is None
    if not record.head.in_error:
        assert point.fault.startswith("no date")
        assert any(part in plain for part in ("-00", "1900-", "T00:00:00")), plain
    elif record.head.kind == "date" or "BCD" in point.fault:
        assert plain.startswith(point.text)
    else:
        assert Decimal(point.text).scaleb(-record.head.exponent) == Decimal(plain)


def same_fixed(point: TelegramPoint, theirs: dict[str, str]) -> None:
    """The fixed structure: libmbus gives the counter and the unit of its byte."""
    assert point.value is not None
    exponents = {"l": -3, "kWh": 3, "reserved but historic": -3}
    assert point.value.mantissa == int(theirs["Value"])
    assert point.value.exponent == exponents[theirs["Unit"]]


@pytest.mark.parametrize("name", ["premature_end_of_dif1", "too_long_var_vif", "too_many_dife", "too_short_header"])
def test_a_telegram_that_contradicts_itself_is_broken(name: str) -> None:
    """The checksum is right, so the meter made it so; none of its values is used."""
    found = decoded(vectors("mbus") / "error-frames" / f"{name}.hex")
    assert isinstance(found, BrokenTelegram)
    assert found.error.startswith("user data: ")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("application_busy", "application busy"),
        ("buffer_too_long", "buffer too long, truncated"),
        ("error", "unspecified error"),
        ("too_many_records", "too many records"),
        ("too_many_vifes", "more than 10 VIFEs"),
    ],
)
def test_an_application_error_is_a_fault_and_no_value(name: str, fault: str) -> None:
    found = decoded(vectors("mbus") / "error-frames" / f"{name}.hex")
    assert isinstance(found, Telegram)
    assert [(point.code, point.value, point.fault) for point in found.points] == [("application_error", None, fault)]


@pytest.mark.parametrize("name", ["manual_frame4", "manual_frame6"])
def test_what_a_master_sent_has_a_remark_and_no_values(name: str) -> None:
    found = decoded(vectors("mbus") / "unsupported-frames" / f"{name}.hex")
    assert isinstance(found, Telegram)
    assert not found.points
    assert found.remarks == ("from a master: control field 53, CI 51, address 254; holds no values",)
