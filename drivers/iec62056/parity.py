"""Seven bits and even parity, done in software on a line that is set to eight bits and none.

7E1 and 8N1 are ten bits a character either way: a start bit, eight more, a stop bit. On a port set to 8N1 the eighth
bit is the parity. Checked here, it needs no adapter that can do 7E1, a damaged character is told from a good one, and
the bytes of a telegram stay as they came.
"""

from __future__ import annotations

#: What stands for a character whose parity is wrong. It has an eighth bit, which no telegram has.
DAMAGED = 0xFF

_ADD = bytes(value | (value.bit_count() & 1) << 7 for value in range(128)) + bytes(range(128, 256))
_CHECK = bytes(value & 0x7F if value.bit_count() % 2 == 0 else DAMAGED for value in range(256))


def with_even_parity(data: bytes) -> bytes:
    """Seven-bit characters as they go over the line."""
    return data.translate(_ADD)


def check_even_parity(data: bytes) -> bytes:
    """Seven-bit characters of what came over the line, ``DAMAGED`` for each whose parity is wrong."""
    return data.translate(_CHECK)
