"""SML telegrams built by hand, byte for byte."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from drivers.sml.transport import X25, Checksum

ABSENT = b"\x01"
ESCAPE = b"\x1b" * 4
START = ESCAPE + b"\x01" * 4
DZG_ID = bytes.fromhex("0a01445a47000282225e")


def field(kind: int, size: int) -> bytes:
    """A type-length field for *size* elements of a list, or bytes of anything else."""
    for used in range(1, 5):
        told = size if kind == 7 else size + used
        if told < 16**used:
            nibbles = [told >> 4 * at & 0x0F for at in reversed(range(used))]
            more = [0x80] * (used - 1) + [0]
            return bytes(
                [nibbles[0] | kind << 4 | more[0], *(n | m for n, m in zip(nibbles[1:], more[1:], strict=True))]
            )
    raise ValueError(size)


def octets(content: bytes) -> bytes:
    return field(0, len(content)) + content


def unsigned(number: int, size: int = 1) -> bytes:
    return field(6, size) + number.to_bytes(size, "big")


def signed(number: int, size: int = 1) -> bytes:
    return field(5, size) + number.to_bytes(size, "big", signed=True)


def items(*elements: bytes) -> bytes:
    return field(7, len(elements)) + b"".join(elements)


def time(seconds: int, kind: int = 1) -> bytes:
    return items(unsigned(kind), unsigned(seconds, 4))


def entry(
    code: str, value: bytes, *, unit: int | None = None, scaler: int | None = None, status: bytes = ABSENT,
    when: bytes = ABSENT,
) -> bytes:  # fmt: skip
    return items(
        octets(bytes.fromhex(code)),
        status,
        when,
        ABSENT if unit is None else unsigned(unit),
        ABSENT if scaler is None else signed(scaler),
        value,
        ABSENT,
    )


def message(tag: int, body: bytes, checksum: Checksum = X25) -> bytes:
    head = field(7, 6) + octets(b"\x00\x01") + unsigned(0) + unsigned(0) + items(unsigned(tag, 2), body)
    return head + unsigned(int.from_bytes(checksum.of(head), "big"), 2) + b"\0"


def values(entries: Sequence[bytes], server: bytes = DZG_ID, when: bytes = ABSENT, tail: bytes = ABSENT) -> bytes:
    """The body of a GetListResponse."""
    return items(ABSENT, octets(server), ABSENT, when, items(*entries), ABSENT, tail)


def framed(payload: bytes, checksum: Checksum = X25) -> bytes:
    fill = -len(payload) % 4
    raw = START + payload.replace(ESCAPE, 2 * ESCAPE) + b"\0" * fill + ESCAPE + b"\x1a" + bytes([fill])
    return raw + checksum.of(raw)


def telegram(*bodies: bytes, checksum: Checksum = X25) -> bytes:
    """Open, a GetListResponse for each of *bodies*, close."""
    opened = items(ABSENT, ABSENT, octets(b"file"), octets(DZG_ID), ABSENT, unsigned(1))
    made = functools.partial(message, checksum=checksum)
    payload = made(0x0101, opened) + b"".join(made(0x0701, body) for body in bodies) + made(0x0201, items(ABSENT))
    return framed(payload, checksum)


def repaired(raw: bytes) -> bytes:
    """*raw* with right checksums around whatever its payload became; a message ends where the next seems to begin."""
    payload = raw[8:-8].replace(2 * ESCAPE, ESCAPE).rstrip(b"\0")
    starts = [0, *(at for at in range(1, len(payload)) if payload[at : at + 2] == b"\x76\x03")]
    parts = [payload[start:stop] for start, stop in zip(starts, [*starts[1:], len(payload)], strict=True)]
    return framed(b"".join(_summed(part.rstrip(b"\0")) for part in parts))


def _summed(part: bytes) -> bytes:
    head = part[:-3]
    return head + unsigned(int.from_bytes(X25.of(head), "big"), 2) + b"\0"
