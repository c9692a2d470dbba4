"""CRC-16 with the reflected polynomial 0xA001 (x¹⁶ + x¹⁵ + x² + 1): Modbus RTU starts at 0xFFFF, DSMR's CRC at 0.

Sources: MODBUS over Serial Line V1.02, appendix B; DSMR 5.0.2 P1 companion standard, section 6.2.
"""

from __future__ import annotations


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)  # noqa: PLW2901  (the shift register itself)
        table.append(value)
    return tuple(table)


_TABLE = _table()


def crc16(data: bytes, start: int = 0xFFFF) -> int:
    """The CRC of *data*; data with its CRC appended (low byte first) gives 0."""
    value = start
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value
