"""How fast telegrams are decoded, and whether their values are exact, beside the best library for each protocol.

Ours and theirs decode the same frames by turns, in rounds, each in a process of its own; the rates are medians of the
rounds, the ratio is that of the medians. Ours is the whole decoder as the gateway runs it: framing, checksums, and each
value under its code with its bytes. Captures of real meters are used in place where ``../shared/vectors`` has them.

Exact means here: how many of our numbers the library gives with the same digits, and in which type. A library that
leaves scaling to its caller is given the number without it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from drivers.telegram import Decoder, Telegram
from gateway.sources import DECODERS
from tests import d0_readouts, dlms_telegrams
from tests.parts import PEERS, ROOT, VECTORS

ROUNDS, ROUND_S = 7, 0.3
#: What a double keeps of a decimal number, with something to spare.
_PLACES = 12
_GOAL = "not slower than the library"
#: The interpreter that has the libraries.
PEER = os.environ.get("BENCH_PEERS", str(PEERS / "venv" / "bin" / "python"))
_P1 = {"telegram_v5.txt": "V5", "telegram_v4_2.txt": "V4", "telegram_fluvius_v171.txt": "BELGIUM_FLUVIUS"}
_SML = ("ISKRA_MT631-D2A51-V22-K0z_with_PIN.bin", "EMH_mME40-AE6AKF0K0.bin", "DrNeuhaus_SMARTY_ix-130.bin")
_SEALED = "hdlc_kamstrup_omnipower"
_MBUS = ("kamstrup_multical_601", "eastron_sdm630", "electricity-meter-1", "engelmann_sensostar2c", "sen_pollucom_e")


class NotMeasured(Exception):  # noqa: N818  (named by what happened)
    """Something needed is not on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One protocol: the frames, and who decodes them."""

    protocol: str
    what: str
    frames: Sequence[bytes]
    #: Further words for the libraries, by frame.
    more: Sequence[Sequence[str]] = ()
    peers: Sequence[str] = ()
    key: str = ""

    def decoder(self) -> Decoder:
        """As the gateway makes it."""
        return DECODERS[self.protocol]([self.key.encode()] if self.key else [])


def rows() -> list[dict[str, Any]]:
    """A row for each protocol and library."""
    with _peers() as ask:
        return [row for make in (_p1, _d0, _sml, _mbus, _aidon, _kaifa, _sealed) for row in _rows(make, ask)]


def _captured(folder: str, names: Sequence[str]) -> list[bytes]:
    """The files' bytes; raises NotMeasured."""
    found = [VECTORS / folder / name for name in names]
    for path in found:
        if not path.exists():
            raise NotMeasured(f"../shared/vectors/{folder}/{path.name} is not there")
    return [path.read_bytes() for path in found]


def _hex(data: bytes) -> bytes:
    return bytes.fromhex(data.decode("ascii"))


def _p1() -> Case:
    frames = _captured("dsmr", list(_P1))
    more = [[name] for name in _P1.values()]
    return Case(protocol="dsmr", what="DSMR P1, 3 captures", frames=frames, more=more, peers=["dsmr-parser"])


def _d0() -> Case:
    lines = [*d0_readouts.HOUSEHOLD, *d0_readouts.INDUSTRY]
    frame = d0_readouts.checked(lines)
    what = f"IEC 62056-21 D0, a made-up read-out of {len(lines)} lines"
    return Case(protocol="iec62056", what=what, frames=[frame], peers=["iec62056-21"])


def _sml() -> Case:
    streams = _captured("sml", _SML)
    frames = [one.raw for stream in streams for one in _good(DECODERS["sml"]([]).feed(stream))]
    return Case(
        protocol="sml",
        what=f"SML, {len(frames)} captured telegrams",
        frames=frames,
        peers=["smllib", "smllib's get_obis", "libsml (C)"],
    )


def _good(found: Sequence[object]) -> list[Telegram]:
    return [one for one in found if isinstance(one, Telegram)]


def _mbus() -> Case:
    frames = [_hex(data) for data in _captured("mbus/test-frames", [f"{name}.hex" for name in _MBUS])]
    return Case(protocol="mbus", what=f"M-Bus, {len(frames)} captures", frames=frames, peers=["pyMeterBus"])


def _push(name: str, capture: str, made: Callable[[], bytes]) -> Case:
    try:
        [data] = _captured("dlms", [f"{capture}.hex"])
        frame, what = _hex(data), "captured"
    except NotMeasured as reason:
        frame, what = dlms_telegrams.over_hdlc(dlms_telegrams.notification(made())), f"made up: {reason}"
    peers = ["gurux-dlms", "dlms-cosem"]
    return Case(protocol="dlms", what=f"DLMS push, {name}, {what}", frames=[frame], peers=peers)


def _aidon() -> Case:
    return _push("Aidon", "hdlc_norway_han_3phase", dlms_telegrams.aidon)


def _kaifa() -> Case:
    return _push("Kaifa", "hdlc_kaifa_ma304h3e", dlms_telegrams.kaifa)


def _sealed() -> Case:
    try:
        data, told = _captured("dlms", [f"{_SEALED}.hex", f"{_SEALED}.json"])
        frame, key, what = _hex(data), str(json.loads(told)["key"]), "captured"
    except NotMeasured as reason:
        made = dlms_telegrams.sealed(dlms_telegrams.notification(dlms_telegrams.kamstrup()))
        frame, key, what = dlms_telegrams.over_hdlc(made), dlms_telegrams.KEY_TEXT, f"made up: {reason}"
    name = f"DLMS push, Kamstrup, AES-GCM, {what}"
    return Case(protocol="dlms", what=name, frames=[frame], more=[[key]], peers=["gurux-dlms"], key=key)


Ask = Callable[[dict[str, Any]], dict[str, Any]]


@contextmanager
def _peers() -> Iterator[Ask]:
    """Asks the process that has the libraries; without an interpreter for it every answer says so."""
    if not Path(PEER).exists():
        yield lambda _wanted: {"missing": "the peers' environment; make peers installs it"}
        return
    command = [PEER, str(ROOT / "bench" / "meters_peers.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        writer, reader = process.stdin, process.stdout

        def ask(wanted: dict[str, Any]) -> dict[str, Any]:
            writer.write(json.dumps(wanted) + "\n")
            writer.flush()
            return dict(json.loads(reader.readline()))

        yield ask
        writer.close()


def _rows(make: Callable[[], Case], ask: Ask) -> Iterator[dict[str, Any]]:
    try:
        case = make()
    except NotMeasured as reason:
        yield _row(f"telegrams decoded: {make.__name__.lstrip('_')}", f"not measured: {reason}", "", met=False)
        return
    decoder = case.decoder()
    numbers = [number for one in _decoded(decoder, case) for number in _numbers(one)]
    for peer in case.peers:
        yield _compared(case, decoder, peer, numbers, ask)


def _numbers(found: Telegram) -> list[str]:
    """The digits of each number; where there are OBIS codes, of those that have one."""
    coded = any(":" in point.code for point in found.points)
    points = [point for point in found.points if ":" in point.code or not coded]
    return [_digits(str(point.value)) for point in points if point.value is not None]


def _decoded(decoder: Decoder, case: Case) -> list[Telegram]:
    """One look at each frame; a frame that is not decoded is a fault."""
    found = [one for frame in case.frames for one in _good(decoder.feed(frame))]
    assert len(found) == len(case.frames), f"{case.what}: {len(found)} of {len(case.frames)} telegrams decoded"
    return found


def _compared(case: Case, decoder: Decoder, peer: str, numbers: list[str], ask: Ask) -> dict[str, Any]:
    more = case.more or [[]] * len(case.frames)
    frames = [[frame.hex(), *words] for frame, words in zip(case.frames, more, strict=True)]
    wanted = {"library": peer, "frames": frames, "seconds": ROUND_S}
    ours, theirs, told = [], [], {}
    for _ in range(ROUNDS):
        ours.append(_rate(decoder, case))
        told = ask(wanted)
        if "frames" not in told:
            break
        theirs.append(told["frames"] / told["seconds"])
    own = statistics.median(ours)
    figure = f"telegrams decoded: {case.what}; beside {peer}"
    measured = f"{own:,.0f}/s, {len(numbers)} numbers, all exact integers with a scale"
    if not theirs:
        why = f"not installed: {told['missing']}" if "missing" in told else f"failed: {told['error']}"
        return _row(figure, measured, f"{peer}: {why}", met=False)
    other = statistics.median(theirs)
    compiled = peer.endswith("(C)")
    text = f"{peer}: {other:,.0f}/s; ours is {own / other:.2f} times that; {_exactness(numbers, told['values'])}"
    return _row(figure, measured, text, met=own >= other or compiled, goal="none: compiled" if compiled else _GOAL)


def _rate(decoder: Decoder, case: Case) -> float:
    """Frames a second of one round."""
    frames, began_s = 0, time.perf_counter()
    while (took_s := time.perf_counter() - began_s) < ROUND_S:
        for frame in case.frames:
            decoder.feed(frame)
        frames += len(case.frames)
    return frames / took_s


def _digits(text: str, places: int = 0) -> str:
    """A number's digits without sign, point and zeros around them, of so many *places*; empty for what is none."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return ""
    rounded = Decimal(f"{number:.{places}g}") if places else number
    return "".join(map(str, rounded.as_tuple().digits)).strip("0") or "0"


def _exactness(numbers: list[str], values: list[list[str]]) -> str:
    if not values:
        return "no value was looked at"
    same = _common(numbers, [_digits(text) for text, _ in values])
    close = _common(numbers, [_digits(text, _PLACES) for text, _ in values])
    types = ", ".join(sorted({kind for text, kind in values if _digits(text, _PLACES) in numbers}))
    rounded = f", in {close - same} more once rounded to {_PLACES} places" if close > same else ""
    return f"the same digits in {same} of {len(numbers)} numbers{rounded}, as {types}"


def _common(numbers: list[str], others: list[str]) -> int:
    return sum((Counter(numbers) & Counter(others)).values())


def _row(figure: str, measured: str, comparison: str, *, met: bool, goal: str = _GOAL) -> dict[str, Any]:
    return {"figure": figure, "goal": goal, "measured": measured, "comparison": comparison, "met": met}
