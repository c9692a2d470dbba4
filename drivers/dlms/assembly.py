"""Puts messages together again that were sent in several frames, or in several blocks, or both.

- Frames: HDLC marks all but the last frame of a message (segmentation bit); M-Bus counts them too.
- Blocks: general-block-transfer (IEC 62056-5-3, section 9.3.13 of the Green Book 9): ``E0``, block control (bit 7
  last, bit 6 streaming, bits 0 to 5 window), block number from 1 and acknowledged number (2 bytes each), and the
  block as an octet-string without tag.

Nothing is put together across a gap: noise between two frames, a frame that begins a message, a block or a frame out
of turn end what is incomplete, as a ``Fault``. A frame lost without any trace cannot be seen where nothing counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.dlms import axdr
from drivers.dlms.framing import Noise, Unit

BLOCK_TRANSFER = 0xE0
#: The longest message put together.
MESSAGE_MAX = 0x7FFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One APDU and the bytes that it came in."""

    apdu: bytes
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Bytes of which no message can be made."""

    error: str
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One general-block-transfer APDU."""

    last: bool
    streaming: bool
    window: int
    number: int
    acknowledged: int
    data: bytes


def parse_block(apdu: bytes) -> Block:
    """The block of an APDU that begins with E0. Raises axdr.Malformed."""
    if len(apdu) < 7:
        raise axdr.CutShort(f"offset {len(apdu)}: a block ends in its header")
    size, start = axdr.read_length(apdu, 6)
    if start + size != len(apdu):
        raise axdr.Malformed(f"offset 6: the block has {len(apdu) - start} bytes and announces {size}")
    return Block(
        last=bool(apdu[1] & 0x80),
        streaming=bool(apdu[1] & 0x40),
        window=apdu[1] & 0x3F,
        number=int.from_bytes(apdu[2:4], "big"),
        acknowledged=int.from_bytes(apdu[4:6], "big"),
        data=apdu[start:],
    )


def build_block(block: Block) -> bytes:
    """The inverse of ``parse_block``."""
    control = (0x80 if block.last else 0) | (0x40 if block.streaming else 0) | block.window & 0x3F
    header = bytes([BLOCK_TRANSFER, control]) + block.number.to_bytes(2, "big") + block.acknowledged.to_bytes(2, "big")
    return header + axdr.length(len(block.data)) + block.data


class _Part:
    """What came so far of one message."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.raw = bytearray()
        #: The number of the next frame or block.
        self.next = 0

    def add(self, data: bytes, raw: bytes) -> None:
        self.data += data
        self.raw += raw
        self.next += 1

    def take(self) -> Message:
        """The whole of it; then it is empty."""
        message = Message(apdu=bytes(self.data), raw=bytes(self.raw))
        self.data, self.raw, self.next = bytearray(), bytearray(), 0
        return message

    def drop(self, error: str) -> list[Fault]:
        """What is incomplete, as a fault; then it is empty."""
        return [Fault(error=error, raw=self.take().raw)] if self.raw else []


class Assembler:
    """Makes messages of frames."""

    def __init__(self) -> None:
        self._frames = _Part()
        self._blocks = _Part()

    def add(self, unit: Unit) -> list[Message | Fault]:
        """What is complete, or lost, with this frame."""
        part, found = self._frames, list[Message | Fault]()
        if part.raw and unit.opens:
            found += part.drop("a new message begins before this one is complete")
        if unit.number is not None and unit.number != part.next & 0x0F:
            found += part.drop(f"frame {part.next & 0x0F} of the message is missing")
            found += self._blocks.drop("a frame between two blocks is missing")
            return [*found, Fault(error=f"frame {unit.number} of a message without the ones before", raw=unit.raw)]
        part.add(unit.data, unit.raw)
        if len(part.data) > MESSAGE_MAX:
            return found + part.drop(f"a message of more than {MESSAGE_MAX} bytes")
        return found if unit.more else found + self._message(part.take())

    def gap(self, noise: Noise | None) -> list[Message | Fault]:
        """Bytes that are no frame came, or (None) no more will come."""
        error = "the message is not complete when the line goes silent" if noise is None else "noise cuts the message"
        found: list[Message | Fault] = [*self._blocks.drop(error), *self._frames.drop(error)]
        return [*found, Fault(error=noise.error, raw=noise.raw)] if noise else found

    def _message(self, message: Message) -> list[Message | Fault]:
        part = self._blocks
        if message.apdu[:1] != bytes([BLOCK_TRANSFER]):
            return [*part.drop("another message comes between two blocks"), message]
        try:
            block = parse_block(message.apdu)
        except axdr.Malformed as error:
            return [*part.drop("a block of it is malformed"), Fault(error=str(error), raw=message.raw)]
        found: list[Message | Fault] = []
        if block.number == 1:
            found += part.drop("a new message begins before this one is complete")
            part.next = 1
        if not part.next or block.number != part.next:
            found += part.drop(f"block {part.next} is missing")
            return [*found, Fault(error=f"block {block.number} without the ones before", raw=message.raw)]
        part.add(block.data, message.raw)
        if len(part.data) > MESSAGE_MAX:
            return found + part.drop(f"a message of more than {MESSAGE_MAX} bytes")
        return [*found, part.take()] if block.last else found
