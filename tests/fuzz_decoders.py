"""Damaged telegrams by the million: ``make fuzz``, or ``python -m tests.fuzz_decoders [PROTOCOL …]``.

``FUZZ_FRAMES`` sets how many (1,000,000), ``FUZZ_SEED`` the seed. A decoder is one more function in ``TARGETS``.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from drivers.telegram import BrokenTelegram, Decoder, Telegram
from tests.parts import ROOT

FRAMES = int(os.environ.get("FUZZ_FRAMES", "1000000"))
SEED = int(os.environ.get("FUZZ_SEED", "3"))
#: After so many frames the decoder must still read a good one.
CHECK_EVERY = 1000
GROWTH_KB_MAX = 20_000
RESULT = ROOT / "docs" / "fuzz.md"
_HEAD = (
    "# Damaged telegrams, by the million",
    "",
    f"Written by `make fuzz` on {datetime.now(UTC):%Y-%m-%d}, seed {SEED}. Each decoder is fed telegrams with",
    "one to four changes (bits, bytes, pieces lost, doubled or foreign), seven of ten with their checksums made right",
    "again, so that the damage is looked at. None may raise, keep memory, or be unable to read the next good telegram.",
    "",
    "| decoder | result |",
    "| --- | --- |",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is fuzzed."""

    make: Callable[[], Decoder]
    #: Good telegrams, each a whole stream.
    seeds: Sequence[bytes]
    #: Makes checksums right again behind the damage, so that the damage is looked at; None: there are none.
    repair: Callable[[bytes], bytes] | None = None


def _sml() -> Target:
    from drivers.sml.decoder import SmlDecoder
    from tests import sml_frames as sml
    from tests.test_sml import GOLDEN

    entry = sml.entry("0100100700ff", sml.signed(-32731, 2), unit=27, scaler=-2, when=sml.time(9, 2))
    seeds = (GOLDEN, sml.telegram(sml.values([entry] * 3, when=sml.time(7))), sml.framed(b"\x76" + b"\x72\x62\x01" * 9))
    return Target(make=SmlDecoder, seeds=seeds, repair=sml.repaired)


def _dsmr() -> Target:
    from drivers.dsmr.decoder import DsmrDecoder
    from tests import p1_telegrams as p1

    seeds = (p1.with_crc(p1.NETHERLANDS_5), p1.with_crc(p1.FLUVIUS), p1.without_crc(p1.OLD_2_2))
    return Target(make=DsmrDecoder, seeds=seeds, repair=p1.repaired)


def _dsmr_encrypted() -> Target:
    from drivers.dsmr.encrypted import EncryptedDsmrDecoder, Keys
    from tests import p1_telegrams as p1

    keys = Keys(encryption=p1.KEY, authentication=p1.AUTHENTICATION_KEY)
    seeds = [p1.encrypted(p1.with_crc(lines), 7) for lines in (p1.NETHERLANDS_5, p1.AUSTRIA, p1.AUSTRIA[2:])]
    return Target(make=lambda: EncryptedDsmrDecoder(keys), seeds=seeds)


def _iec62056() -> Target:
    from drivers.iec62056.decoder import Iec62056Decoder
    from tests import d0_readouts as d0

    seeds = (d0.checked(d0.HOUSEHOLD), d0.checked(d0.INDUSTRY), d0.pushed(d0.PUSHED))
    return Target(make=Iec62056Decoder, seeds=seeds, repair=d0.repaired)


def _mbus() -> Target:
    from drivers.mbus.decoder import MbusDecoder
    from tests import mbus_telegrams as mbus
    from tests.test_mbus_records import GOLDEN

    records = [row[0] for row in GOLDEN]
    seeds = [mbus.telegram(*records[at : at + 6]) for at in range(0, len(records), 6)]
    return Target(make=MbusDecoder, seeds=seeds, repair=mbus.repaired)


def _dlms() -> Target:
    from drivers.dlms.push import DlmsDecoder
    from tests import dlms_telegrams as dlms

    bodies = (dlms.aidon(), dlms.kaifa(), dlms.kamstrup(), dlms.swiss())
    seeds = [dlms.over_hdlc(dlms.notification(body)) for body in bodies]
    seeds += [dlms.over_mbus(dlms.notification(dlms.austrian())), dlms.in_blocks(dlms.notification(dlms.swiss()))]
    return Target(make=DlmsDecoder, seeds=seeds, repair=dlms.repaired)


def _dlms_ciphered() -> Target:
    from drivers.dlms.push import DlmsDecoder
    from tests import dlms_telegrams as dlms

    seeds = [dlms.over_hdlc(dlms.sealed(dlms.notification(body), 7)) for body in (dlms.aidon(), dlms.swiss())]
    return Target(make=lambda: DlmsDecoder(dlms.KEY_TEXT), seeds=seeds, repair=dlms.repaired)


def _modbus_rtu() -> Target:
    from drivers.modbus.frame import rtu_frame
    from drivers.modbus.sniff import RtuSniffer

    exchanges = (
        ("0400480002", "0404462a7521"),
        ("0300000003", "0306000100020003"),
        ("03fc000002", "8302"),
    )
    seeds = [b"".join(rtu_frame(1, bytes.fromhex(half)) for half in exchange) for exchange in exchanges]
    return Target(make=RtuSniffer, seeds=seeds, repair=lambda data: rtu_frame(data[0], data[1:-2]) if data else data)


#: A protocol's name → what to fuzz.
TARGETS: dict[str, Callable[[], Target]] = {
    "sml": _sml,
    "dsmr": _dsmr,
    "dsmr-encrypted": _dsmr_encrypted,
    "iec62056": _iec62056,
    "mbus": _mbus,
    "dlms": _dlms,
    "dlms-ciphered": _dlms_ciphered,
    "modbus-rtu": _modbus_rtu,
}


def damaged(data: bytes, source: random.Random) -> bytes:
    """*data* with one to four changes: bits, bytes, lost, doubled and foreign pieces."""
    found = bytearray(data)
    for _ in range(source.randint(1, 4)):
        at, size = source.randrange(len(found) + 1), source.choice((1, 1, 2, 4, 16))
        match source.randrange(5):
            case 0 if at < len(found):
                found[at] ^= 1 << source.randrange(8)
            case 1:
                found[at : at + size] = source.randbytes(size)
            case 2:
                del found[at : at + size]
            case 3:
                found[at:at] = found[at : at + size]
            case _:
                found[at : at + size] = bytes([source.choice((0x00, 0x01, 0x1B, 0x7F, 0x80, 0xFF))]) * size
    return bytes(found)


def check(one: Telegram | BrokenTelegram) -> bool:
    """Whether it is a telegram; what every result owes is asserted."""
    if isinstance(one, BrokenTelegram):
        assert one.error
        assert len(one.raw) <= 4096
        return False
    codes = [point.code for point in one.points]
    assert len(codes) == len(set(codes)), codes
    for point in one.points:
        assert point.value is not None or point.text or point.fault, point
        assert str(point.value)
    return True


def fuzz(name: str, frames: int = FRAMES, seed: int = SEED) -> str:
    """Feeds one decoder *frames* damaged telegrams; what was found in words. Fails on any raise or broken promise."""
    target, source = TARGETS[name](), random.Random(seed)
    decoder, good, broken = target.make(), 0, 0
    started, memory_kb = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(frames):
        frame = damaged(source.choice(target.seeds), source)
        if target.repair is not None and source.random() < 0.7:
            frame = target.repair(frame)
        cut = source.randrange(len(frame) + 1)
        for one in decoder.feed(frame[:cut]) + decoder.feed(frame[cut:]):
            found = check(one)
            good, broken = good + found, broken + (not found)
        if number % CHECK_EVERY == 0:
            found_last = decoder.feed(target.seeds[0]) + decoder.feed(target.seeds[0]) + decoder.end()
            assert any(isinstance(one, Telegram) for one in found_last), f"{name}: {number}: no longer reads"
    growth_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kb
    assert growth_kb < GROWTH_KB_MAX, f"{name}: {growth_kb} KB more"
    rate = frames / (time.monotonic() - started)
    return (
        f"{name}: {frames} damaged telegrams, {good} read, {broken} refused, {rate:.0f}/s, {growth_kb} KB more memory"
    )


def main(names: list[str]) -> int:
    """Fuzzes each decoder in a process of its own, since memory is what it is looked at for; writes docs/fuzz.md."""
    lines = []
    for name in names or TARGETS:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz_decoders", "--one", name], capture_output=True, text=True
        )
        print(done.stdout or done.stderr, end="", flush=True)
        if done.returncode:
            return 1
        lines.append(f"| {' | '.join(done.stdout.strip().split(': ', 1))} |")
    if not names:
        RESULT.write_text("\n".join([*_HEAD, *lines, ""]))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(fuzz(sys.argv[2]), flush=True)
    else:
        sys.exit(main(sys.argv[1:]))
