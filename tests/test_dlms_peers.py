"""What gurux-dlms, dlms-cosem and amshan read in the same bytes, and what is read here of what they write."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from drivers.dlms import axdr, ciphering
from drivers.dlms.axdr import Datum
from drivers.dlms.ciphering import Sealed
from drivers.dlms.push import DlmsDecoder
from drivers.telegram import Telegram
from gateway.reading import Scaled
from tests import dlms_telegrams as made
from tests.contract_decoder import run
from tests.dlms_meter import python_with_libraries
from tests.dlms_telegrams import AK, EK, KEYS, TITLE, notification, over_hdlc
from tests.parts import ROOT

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Asks the process that has the libraries."""
    command = [python_with_libraries(), ROOT / "tests" / "peers" / "dlms_check.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        writer, reader = process.stdin, process.stdout

        def asked(do: str, data: bytes, **more: object) -> Any:
            writer.write(json.dumps({"do": do, "hex": data.hex(), **more}) + "\n")
            writer.flush()
            answer = json.loads(reader.readline())
            assert "error" not in answer, answer
            return answer

        yield asked
        writer.close()


def shaped(source: random.Random, depth: int = 3) -> bytes:
    """Random data of types that both libraries read."""
    kinds: list[Callable[[], bytes]] = [
        lambda: axdr.integer(axdr.UINT8, source.randrange(256)),
        lambda: axdr.integer(axdr.INT8, source.randrange(-128, 128)),
        lambda: axdr.integer(axdr.UINT16, source.randrange(2**16)),
        lambda: axdr.integer(axdr.INT16, source.randrange(-(2**15), 2**15)),
        lambda: axdr.integer(axdr.UINT32, source.randrange(2**32)),
        lambda: axdr.integer(axdr.INT32, source.randrange(-(2**31), 2**31)),
        lambda: axdr.integer(axdr.UINT64, source.randrange(2**64)),
        lambda: axdr.integer(axdr.INT64, source.randrange(-(2**63), 2**63)),
        lambda: axdr.integer(axdr.ENUM, source.randrange(256)),
        lambda: axdr.octets(source.randbytes(source.randrange(1, 9))),
        lambda: axdr.octets(source.randbytes(source.choice((130, 260)))),
        lambda: made.text("".join(chr(source.randrange(33, 127)) for _ in range(10))),
        lambda: b"\x00",
    ]
    if depth and source.random() < 0.4:
        items = [shaped(source, depth - 1) for _ in range(source.randrange(1, 5))]
        return axdr.structure(*items, tag=source.choice((axdr.STRUCTURE, axdr.ARRAY)))
    return source.choice(kinds)()


def shown(datum: Datum) -> object:
    """As the other side shows it."""
    if isinstance(datum.value, tuple):
        return [shown(item) for item in datum.items]
    if isinstance(datum.value, bytes):
        return datum.value.decode() if datum.tag == axdr.VISIBLE else datum.value.hex()
    return datum.value


def test_both_libraries_read_the_same_data(ask: Ask) -> None:
    """300 random values of thirteen types, nested; dlms-cosem has no visible-string in all of its versions."""
    source, compared = random.Random(5), 0
    for _ in range(300):
        data = shaped(source)
        found, own = ask("data", data), shown(axdr.parse(data))
        assert found["gurux"] == own
        if found["dlms-cosem"] is not None:
            assert found["dlms-cosem"] == own
            compared += 1
    assert compared > 150


def test_floats_are_the_same_numbers(ask: Ask) -> None:
    """The other side has floats: the decimal here must read as that float."""
    source = random.Random(6)
    for tag, size in ((axdr.FLOAT32, 4), (axdr.FLOAT64, 8)):
        for _ in range(50):
            data = bytes([tag]) + source.randbytes(size)
            value = axdr.parse(data).value
            if isinstance(value, Scaled):
                other = ask("data", data)["gurux"]
                own = float(Decimal(value.mantissa).scaleb(value.exponent))
                assert own == pytest.approx(other, rel=1e-7 if size == 4 else 0)


@pytest.mark.parametrize("size", [2000, 60], ids=["one frame", "segments"])
@pytest.mark.parametrize(
    "make", [made.aidon, made.kaifa, made.kamstrup, made.austrian, made.swiss], ids=lambda make: make.__name__
)
def test_gurux_reads_the_same_frames(ask: Ask, make: Callable[[], bytes], size: int) -> None:
    """Values and time of a push."""
    body = make()
    data = over_hdlc(notification(body), size)
    found = ask("frames", data)
    assert found["value"] == shown(axdr.parse(body))
    (telegram,) = run(DlmsDecoder(), data)
    assert isinstance(telegram, Telegram)
    assert telegram.time_ms == found["time"] * 1000


def test_gurux_reads_ciphered_frames(ask: Ask) -> None:
    """With both keys."""
    data = over_hdlc(made.sealed(notification(made.aidon()), 99))
    assert ask("frames", data, keys=[EK.hex(), AK.hex()])["value"] == shown(axdr.parse(made.aidon()))


def test_dlms_cosem_opens_what_is_sealed_here_and_the_other_way(ask: Ask) -> None:
    """Authenticated encryption, 50 random texts."""
    source = random.Random(7)
    keys = [EK.hex(), AK.hex()]
    for counter in range(50):
        text = source.randbytes(source.randrange(1, 100))
        sealed = ciphering.seal(text, KEYS, TITLE, counter, 0x30)
        assert ask("open", ciphering.build_general(sealed), keys=keys)["hex"] == text.hex()
        theirs = ask("seal", text, keys=keys, title=TITLE.hex(), counter=counter, control=0x30)
        assert bytes.fromhex(theirs["hex"]) == sealed.text
        other = Sealed(title=TITLE, control=0x30, counter=counter, text=bytes.fromhex(theirs["hex"]))
        assert ciphering.open_(other, KEYS).apdu == text


#: amshan's name → this project's code, without the medium in front.
_NAMES = {
    "active_power_import": "1.7.0",
    "active_power_export": "2.7.0",
    "reactive_power_export": "4.7.0",
    "current_l1": "31.7.0",
    "current_l2": "51.7.0",
    "voltage_l1": "32.7.0",
    "voltage_l3": "72.7.0",
    "active_power_import_total": "1.8.0",
}


@pytest.mark.parametrize("body", [made.aidon(), made.kaifa(), made.kamstrup()], ids=["Aidon", "Kaifa", "Kamstrup"])
def test_amshan_scales_the_same_lists_alike(ask: Ask, body: bytes) -> None:
    """The Norwegian lists: two of three come without scalers, from tables."""
    data = over_hdlc(notification(body))
    theirs = ask("han", data)
    (telegram,) = run(DlmsDecoder(), data)
    assert isinstance(telegram, Telegram)
    own = {point.code.split(":")[-1]: point.value for point in telegram.points}
    compared = [name for name in _NAMES if name in theirs]
    assert len(compared) >= 3
    for name in compared:
        value = own[_NAMES[name]]
        assert value is not None
        assert float(str(value)) == pytest.approx(theirs[name]), name
    assert theirs["meter_id"] == telegram.meter
    moment = theirs.get("meter_datetime")
    assert moment is None or datetime.fromisoformat(moment).hour == 12
