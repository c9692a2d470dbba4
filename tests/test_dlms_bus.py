"""DLMS meters that are asked (drivers/dlms/bus.py), against a meter of gurux-dlms over TCP and over a serial line."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.asked import AskedBus
from drivers.dlms import hdlc
from drivers.dlms.acse import Agreed
from drivers.dlms.bus import HDLC, WRAPPER, DlmsAsker, DlmsSettings
from drivers.dlms.link import DISC, POLL
from drivers.dlms.registers import DEFAULT_CODES
from drivers.dlms.store import FileNumbers
from drivers.telegram import Telegram
from drivers.telegram_points import TelegramMeterSettings
from drivers.transport import Link, SerialLink, SerialSettings, TcpLink
from gateway.clock import SystemClock
from gateway.durable import TwoSlots
from gateway.errors import ConfigError, MeterProtocolError, MeterUnavailable, SignerError
from gateway.reading import Status
from tests.dlms_meter import AK, EK, MeterProcess

MOMENT_MS = 1_768_478_400_000
PASSWORD = "Gurux1"


class Counting(TcpLink):
    """Keeps what was sent."""

    def __init__(self, port: str) -> None:
        super().__init__("127.0.0.1", int(port))
        self.sent = b""

    def send(self, data: bytes) -> None:
        self.sent += data
        super().send(data)


class Desk:
    """Secrets by name, which can be corrected."""

    def __init__(self) -> None:
        self.secrets = {"password": PASSWORD.encode(), "key": f"{EK}:{AK}".encode()}

    def __call__(self, name: str) -> bytes:
        if name not in self.secrets:
            raise SignerError(f"secret {name}: not there; put it there")
        return self.secrets[name]


def asker(framing: str, port: Link, *meters: DlmsSettings, desk: Desk | None = None, ms: int = 3000) -> DlmsAsker:
    return DlmsAsker(framing, port, meters, desk or Desk(), ms)


def guarded(folder: Path, id_: str = "", **more: object) -> DlmsSettings:
    """HLS with GMAC, by client 1."""
    numbers = FileNumbers(folder / f"numbers-{id_}", TwoSlots, SystemClock())
    wanted = {"id": id_, "client": 1, "authentication": "high-gmac", "key": "key", "numbers": numbers}
    return DlmsSettings(**wanted | more)  # type: ignore[arg-type]


def tcp(meter: MeterProcess) -> TcpLink:
    return TcpLink("127.0.0.1", int(meter.place))


def values(telegram: Telegram) -> dict[str, str]:
    return {point.code: f"{point.value} {point.unit}" for point in telegram.points if point.value is not None}


READ = {"1-0:1.8.0": "12345678.9 Wh", "1-0:32.7.0": "230.1 V"}
FRAMINGS = pytest.mark.parametrize("framing", [WRAPPER, HDLC])


@FRAMINGS
@pytest.mark.parametrize("authentication", ["none", "low", "high-gmac"])
async def test_a_meter_is_read_again_and_again(framing: str, authentication: str, tmp_path: Path) -> None:
    """Exact values, the meter's clock and name; the second poll is an association of its own."""
    low, high = authentication == "low", authentication == "high-gmac"
    settings = DlmsSettings(authentication=authentication, password="password" if low else "")
    with MeterProcess(framing=framing, password=PASSWORD if low else "", keys=[EK, AK] if high else []) as meter:
        asking = asker(framing, tcp(meter), guarded(tmp_path) if high else settings)
        for _ in range(2):
            (telegram,) = await asking.ask("")
            assert values(telegram) == READ
            assert (telegram.meter, telegram.time_ms) == ("GRX0000000007", MOMENT_MS)


async def test_what_the_meter_has_not_is_told_once_and_asked_no_more() -> None:
    """One remark, the same in each telegram, so that the log has it once."""
    with MeterProcess(framing="wrapper") as meter:
        port = Counting(meter.place)
        asking = asker(WRAPPER, port, DlmsSettings())
        (first,) = await asking.ask("")
        missing = bytes.fromhex("0100020800ff")
        assert missing in port.sent
        port.sent = b""
        (second,) = await asking.ask("")
        assert missing not in port.sent
        assert bytes.fromhex("0100010800ff") in port.sent
    [remark] = first.remarks
    assert second.remarks == first.remarks
    assert all((code in remark) == (code not in READ) for code in DEFAULT_CODES)


@pytest.mark.parametrize("lists", [True, False])
async def test_a_meter_that_takes_no_lists_is_asked_one_by_one(lists: bool) -> None:
    """As it agreed to in the association."""
    with MeterProcess(framing="wrapper", lists=lists) as meter:
        port = Counting(meter.place)
        (telegram,) = await asker(WRAPPER, port, DlmsSettings()).ask("")
        assert values(telegram) == READ
        assert (b"\xc0\x03" in port.sent) == lists


@pytest.mark.parametrize(
    ("conformance", "pdu", "most"), [(0, 512, 1), (0x200, 512, 10), (0x200, 0, 10), (0x200, 100, 5), (0x200, 40, 1)]
)
def test_a_list_fits_what_the_meter_takes(conformance: int, pdu: int, most: int) -> None:
    assert Agreed(conformance=conformance, pdu_max=pdu).list_max == most


async def test_points_are_the_objects_that_are_asked_for() -> None:
    """A number that is no register is read too; the reading has the points in order, and the meter's time."""
    with MeterProcess(framing="wrapper") as meter:
        codes = ("1-0:32.7.0", "1-0:1.8.0", "0-0:42.0.0")
        bus_settings = TelegramMeterSettings(name="house", model="dlms-tcp", points=codes)
        bus = AskedBus("lan", asker(WRAPPER, tcp(meter), DlmsSettings(codes=codes)), [bus_settings], SystemClock())
        reading = await bus.meters[0].read()
        specs = bus.meters[0].description.points
        found = {spec.name: (str(point.value), spec.unit) for spec, point in zip(specs, reading.points, strict=True)}
        assert found["voltage_l1"] == ("230.1", "V")
        assert found["import_total"] == ("12345678.9", "Wh")
        assert (reading.meter_ms, reading.meter_id, reading.remarks) == (MOMENT_MS, "GRX0000000007", ())
        assert [point.status for point in reading.points[:2]] == [Status.OK, Status.OK]
        await bus.close()


async def test_a_meter_that_shows_none_of_the_objects_is_an_error() -> None:
    """With what to do."""
    with MeterProcess(framing="wrapper") as meter:
        asking = asker(WRAPPER, tcp(meter), DlmsSettings(codes=("1-0:99.1.9",)))
        with pytest.raises(MeterProtocolError, match=r"none of 1-0:99\.1\.9.*name what it has under points"):
            await asking.ask("")


@FRAMINGS
async def test_a_wrong_password_is_told_and_a_corrected_one_counts_at_once(framing: str) -> None:
    """No restart, and the secret is in no message."""
    desk = Desk()
    desk.secrets["password"] = b"never-shown"
    with MeterProcess(framing=framing, password=PASSWORD) as meter:
        asking = asker(framing, tcp(meter), DlmsSettings(authentication="low", password="password"), desk=desk)
        for _ in range(2):
            with pytest.raises(MeterProtocolError, match=r"refuses the association: .*check the auth") as caught:
                await asking.ask("")
            assert "never-shown" not in str(caught.value)
        desk.secrets["password"] = PASSWORD.encode()
        assert values((await asking.ask(""))[0]) == READ
        del desk.secrets["password"]
        with pytest.raises(MeterUnavailable, match="secret password: not there; put it there"):
            await asking.ask("")


async def test_the_link_of_a_meter_that_refuses_is_closed() -> None:
    """Or it would wait for its inactivity time-out, and take no other client."""
    with MeterProcess(framing="hdlc", password=PASSWORD) as meter:
        port = Counting(meter.place)
        with pytest.raises(MeterProtocolError, match="refuses the association"):
            await asker(HDLC, port, DlmsSettings()).ask("")
        last = hdlc.build(hdlc.address(1), hdlc.address(16), DISC | POLL, b"")
        assert port.sent.endswith(last)
        assert not port.is_open


@pytest.mark.parametrize("wrong", [("11" * 16, AK), (EK, "22" * 16)], ids=["encryption key", "authentication key"])
@FRAMINGS
async def test_a_wrong_key_is_told_and_a_corrected_one_counts_at_once(
    framing: str, wrong: tuple[str, str], tmp_path: Path
) -> None:
    """A meter refuses it in one way or another, or says nothing; it is never a value."""
    desk = Desk()
    desk.secrets["key"] = ":".join(wrong).encode()
    with MeterProcess(framing=framing, keys=[EK, AK], counters=str(tmp_path / "heard")) as meter:
        asking = asker(framing, tcp(meter), guarded(tmp_path), desk=desk, ms=300)
        with pytest.raises((MeterProtocolError, MeterUnavailable), match="check ") as caught:
            await asking.ask("")
        assert not any(key.lower() in str(caught.value).lower() for key in (*wrong, EK, AK))
        desk.secrets["key"] = f"{EK}:{AK}".encode()
        assert values((await asking.ask(""))[0]) == READ


@FRAMINGS
async def test_a_meter_that_was_away_is_read_again(framing: str, tmp_path: Path) -> None:
    """Killed in between, it comes back with an empty memory of associations, but not of counters."""
    with MeterProcess(framing=framing, keys=[EK, AK], counters=str(tmp_path / "heard")) as meter:
        asking = asker(framing, tcp(meter), guarded(tmp_path))
        assert values((await asking.ask(""))[0]) == READ
        meter.kill()
        for _ in range(2):
            with pytest.raises(MeterUnavailable, match="cannot connect"):
                await asking.ask("")
        meter.start()
        assert values((await asking.ask(""))[0]) == READ


async def test_another_meter_is_learned_anew() -> None:
    """The scaler of the one before would make its energy ten times too small."""
    with MeterProcess(framing="wrapper") as meter:
        asking = asker(WRAPPER, tcp(meter), DlmsSettings())
        assert values((await asking.ask(""))[0])["1-0:1.8.0"] == "12345678.9 Wh"
        meter.kill()
        meter.start(name="GRX0000000008", scaler=1)
        (telegram,) = await asking.ask("")
        assert telegram.meter == "GRX0000000008"
        assert values(telegram)["1-0:1.8.0"] == "123456789 Wh"


def heard(folder: Path) -> list[str]:
    return (folder / "heard").read_text().splitlines()


async def test_no_counter_is_used_twice_across_restarts(tmp_path: Path) -> None:
    """Three runs of one gateway, one of them with its state lost; the meter takes rising counters only."""
    with MeterProcess(framing="wrapper", keys=[EK, AK], counters=str(tmp_path / "heard")) as meter:
        for run in range(3):
            if run == 2:
                (tmp_path / "numbers-").unlink()
            asking = asker(WRAPPER, tcp(meter), guarded(tmp_path))
            for _ in range(2):
                assert values((await asking.ask(""))[0]) == READ
    assert len(set(heard(tmp_path))) == len(heard(tmp_path)) > 30
    assert len({line.split()[0] for line in heard(tmp_path)}) == 2


async def test_a_meter_that_heard_higher_counters_is_asked_which(tmp_path: Path) -> None:
    """Another reader used them: the poll that it refuses asks, and the next one is above."""
    (tmp_path / "heard").write_text("4d47570000000009 3000000000\n")
    with MeterProcess(framing="wrapper", keys=[EK, AK], counters=str(tmp_path / "heard")) as meter:
        asking = asker(WRAPPER, tcp(meter), guarded(tmp_path))
        assert values((await asking.ask(""))[0]) == READ
        assert heard(tmp_path)[1].split()[1] == "3000000001"
        with (tmp_path / "heard").open("a") as file:
            file.write("4d47570000000009 3100000000\n")
        with pytest.raises((MeterProtocolError, MeterUnavailable), match="check "):
            await asking.ask("")
        assert values((await asking.ask(""))[0]) == READ


async def test_a_counter_near_its_end_is_not_believed(tmp_path: Path) -> None:
    """Anybody on the line could tell it, and the numbers would be gone."""
    (tmp_path / "heard").write_text(f"4d47570000000009 {0xF000_0000}\n")
    with MeterProcess(framing="wrapper", keys=[EK, AK], counters=str(tmp_path / "heard")) as meter:
        asking = asker(WRAPPER, tcp(meter), guarded(tmp_path))
        with pytest.raises(MeterProtocolError, match=r"stands at 4026531840 of 4294967295; it needs new keys"):
            await asking.ask("")
    assert not (tmp_path / "numbers-").exists()


async def test_meters_of_one_line_are_served_beside_one_that_is_away(tmp_path: Path) -> None:
    """A serial line with two meters of three; the third has no answer, and a wrong password harms no other."""
    with MeterProcess(framing="hdlc", device=True, servers=[1, 2, 5], password=PASSWORD) as meter:
        desk = Desk()
        desk.secrets["wrong"] = b"wrong"
        good = [DlmsSettings(id=id_, authentication="low", password="password") for id_ in ("1", "2/17", "3")]
        wrong = DlmsSettings(id="5", authentication="low", password="wrong")
        port = SerialLink(SerialSettings(device=meter.place))
        asking = asker(HDLC, port, *good, wrong, desk=desk, ms=1000)
        for _ in range(2):
            with pytest.raises(MeterUnavailable, match="DLMS server 3: no answer in time; check address"):
                await asking.ask("3")
            with pytest.raises(MeterProtocolError, match="DLMS server 5: the meter refuses the association"):
                await asking.ask("5")
            for id_, name in (("1", "GRX0000000001"), ("2/17", "GRX0000000002")):
                (telegram,) = await asking.ask(id_)
                assert (telegram.meter, values(telegram)) == (name, READ)
        assert not port.is_open


@pytest.mark.parametrize(
    ("framing", "id_", "told"),
    [
        (HDLC, "x", r"id 'x' is no DLMS server address; write LOGICAL/PHYSICAL, such as 1/17"),
        (HDLC, "1/99999", "does not fit"),
        (WRAPPER, "1/17", "write the logical device, such as 1"),
        (WRAPPER, "70000", "at most 65535"),
    ],
)
def test_an_address_that_is_none_is_refused_at_the_start(framing: str, id_: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        asker(framing, TcpLink("127.0.0.1", 1), DlmsSettings(id=id_))


@pytest.mark.parametrize(("key", "told"), [(EK, "write KEY:AK"), ("zz", "not hexadecimal")])
def test_keys_that_are_none_are_refused_at_the_start(key: str, told: str, tmp_path: Path) -> None:
    desk = Desk()
    desk.secrets["key"] = key.encode()
    with pytest.raises(ConfigError, match=told) as caught:
        asker(HDLC, TcpLink("127.0.0.1", 1), guarded(tmp_path), desk=desk)
    assert EK not in str(caught.value)
