"""How fast other people's libraries decode: run by ``bench.meters_decode`` in the environment of the test peers.

One JSON request per line on standard input, one JSON answer per line on standard output; it knows nothing of the
gateway. ``{"library": …, "frames": [[hex, …], …], "seconds": 0.3}`` is answered with ``{"frames": how many were
decoded, "seconds": in which time, "values": [[number as text, its type], …]}``, the values of one look at each frame,
or with ``{"missing": why}`` or ``{"error": what the library raised}``.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

#: Decodes one frame; gives its numbers.
Decode = Callable[[], list[Any]]


def dsmr_parser(raw: bytes, specification: str) -> Decode:
    """One telegram, out of a stream as its own clients take it."""
    from dsmr_parser import telegram_specifications
    from dsmr_parser.clients.telegram_buffer import TelegramBuffer
    from dsmr_parser.parsers import TelegramParser

    text, parser = raw.decode("ascii"), TelegramParser(getattr(telegram_specifications, specification))

    def decode() -> list[Any]:
        buffer = TelegramBuffer()
        buffer.append(text)
        (found,) = buffer.get_all()
        telegram = parser.parse(found)
        return [value for _, one in telegram for value in _values(one)]

    return decode


def _values(found: Any) -> list[Any]:
    every = found if isinstance(found, list) else [found]
    return [value for one in every if (value := getattr(one, "value", None)) is not None]


def iec62056_21(raw: bytes) -> Decode:
    """A data block with its check character; the identification before it is read by another part of the library."""
    from iec62056_21.messages import ReadoutDataMessage

    block = raw[raw.index(b"\x02") :]

    def decode() -> list[Any]:
        lines = ReadoutDataMessage.from_bytes(block).data_block.data_lines
        return [found.value for line in lines for found in line.data_sets]

    return decode


def smllib(raw: bytes) -> Decode:
    """One telegram out of a stream, each entry's value scaled."""
    from smllib import SmlStreamReader

    reader = SmlStreamReader()

    def decode() -> list[Any]:
        reader.add(raw)
        frame = reader.get_frame()
        entries = (entry for message in frame.parse_frame() for entry in getattr(message.message_body, "val_list", ()))
        return [entry.get_value() for entry in entries]

    return decode


def smllib_shortcut(raw: bytes) -> Decode:
    """The same by ``get_obis``, which looks for the bytes that entries begin with and leaves all else unread."""
    from smllib import SmlStreamReader

    reader = SmlStreamReader()

    def decode() -> list[Any]:
        reader.add(raw)
        return [entry.get_value() for entry in reader.get_frame().get_obis()]

    return decode


def libsml(raw: bytes) -> Decode:
    """The C library: its parser alone, without looking at any value; the checksum of the transport is not in it."""
    found = ctypes.util.find_library("sml")
    if found is None:
        raise ModuleNotFoundError("libsml-dev")
    library = ctypes.CDLL(found)
    library.sml_file_parse.restype = ctypes.c_void_p
    library.sml_file_parse.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
    library.sml_file_free.argtypes = (ctypes.c_void_p,)
    payload = raw[8:-8]

    def decode() -> list[Any]:
        file = library.sml_file_parse(payload, len(payload))
        assert file, "libsml could not parse it"
        library.sml_file_free(file)
        return []

    return decode


def meterbus(raw: bytes) -> Decode:
    """One frame, each record's value and unit."""
    import meterbus

    def decode() -> list[Any]:
        records = meterbus.load(raw).body.bodyPayload.records
        return [record.parsed_value for record in records if record.unit is not None]

    return decode


def gurux(raw: bytes, keys: str = "") -> Decode:
    """One push in HDLC frames; numbers and scalers as they stand in it."""
    from gurux_dlms import GXByteBuffer, GXReplyData
    from gurux_dlms.enums import InterfaceType
    from gurux_dlms.secure import GXDLMSSecureClient

    client = GXDLMSSecureClient(True, 16, 1, 0, None, InterfaceType.HDLC)
    if keys:
        client.ciphering.blockCipherKey, client.ciphering.authenticationKey = map(bytearray.fromhex, keys.split(":"))

    def decode() -> list[Any]:
        stream, reply, notify = GXByteBuffer(raw), GXReplyData(), GXReplyData()
        # A frame at a time, until nothing more comes of it.
        before = -1
        while stream.available() and stream.position != before and notify.value is None:
            before = stream.position
            client.getData(stream, reply, notify)
        assert notify.value is not None, "gurux found no push"
        return list(_leaves(notify.value))

    return decode


def dlms_cosem(raw: bytes) -> Decode:
    """One push in one HDLC frame; numbers and scalers as they stand in it."""
    from dlms_cosem.hdlc.frames import UnnumberedInformationFrame
    from dlms_cosem.protocol.xdlms.data_notification import DataNotification
    from dlms_cosem.utils import parse_as_dlms_data

    def decode() -> list[Any]:
        payload = UnnumberedInformationFrame.from_bytes(raw).payload[3:]
        return list(_leaves(parse_as_dlms_data(DataNotification.from_bytes(payload).body)))

    return decode


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _leaves(one)
    else:
        yield value


#: Library → what decodes with it, and what it is installed by.
LIBRARIES: dict[str, tuple[Callable[..., Decode], str]] = {
    "dsmr-parser": (dsmr_parser, "dsmr-parser==1.11.2"),
    "iec62056-21": (iec62056_21, "iec62056-21==0.0.2"),
    "smllib": (smllib, "smllib==1.7"),
    "smllib's get_obis": (smllib_shortcut, "smllib==1.7"),
    "libsml (C)": (libsml, "libsml-dev"),
    "pyMeterBus": (meterbus, "pyMeterBus==0.8.5"),
    "gurux-dlms": (gurux, "gurux-dlms==1.0.203"),
    "dlms-cosem": (dlms_cosem, "dlms-cosem==21.3.2"),
}


def answer(wanted: dict[str, Any]) -> dict[str, Any]:
    """See the module."""
    make, requirement = LIBRARIES[wanted["library"]]
    try:
        decoders = [make(bytes.fromhex(raw), *more) for raw, *more in wanted["frames"]]
        values = [value for decode in decoders for value in decode()]
        frames, seconds = timed(decoders, wanted["seconds"])
    except ModuleNotFoundError as error:
        return {"missing": f"{requirement} ({error})"}
    except Exception as error:  # noqa: BLE001  (whatever a library raises is its answer)
        return {"error": f"{type(error).__name__}: {error}"}
    return {"frames": frames, "seconds": seconds, "values": [[str(value), type(value).__name__] for value in values]}


def timed(decoders: list[Decode], seconds: float) -> tuple[int, float]:
    """How many frames were decoded in at least *seconds*, and in which time."""
    frames, began_s = 0, time.perf_counter()
    while (took_s := time.perf_counter() - began_s) < seconds:
        for decode in decoders:
            decode()
        frames += len(decoders)
    return frames, took_s


def main() -> None:
    for line in sys.stdin:
        # Some libraries print what they do.
        with contextlib.redirect_stdout(io.StringIO()):
            found = answer(json.loads(line))
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
