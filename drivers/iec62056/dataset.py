"""Data lines of IEC 62056-21: addresses, values and units, the block check character, and what an address means.

Sources: IEC 62056-21:2002, clauses 6.5 and 6.6 (data block, data set) and 6.3 (block check); IEC 62056-61 and the
DLMS UA Blue Book (OBIS and its reduced notation); ISO 1155 (longitudinal parity).

- A data block is data lines, each ended by CR LF. A line is data sets: ``address(value*unit)``, the unit with its
  ``*`` left out where there is none. A group without an address belongs to the address in front of it; at the start
  of a line it continues the line before.
- An address is an OBIS code ``A-B:C.D.E*F`` or its short form. Left out are ``A-B:`` (electricity, ``1-0:``), E (0) and
  ``*F`` (255, the present value); the letters C, F, L and P stand for 96, 97, 98 and 99. So ``1.8.0`` is
  ``1-0:1.8.0``, ``F.F`` is ``1-0:97.97.0`` and ``1.8.0*01``, the value of billing period 1, is ``1-0:1.8.0*01``.
  ``&01``, a period that was ended by hand, is written ``*01``. Any other address is a name, and stays as it is.
- Values, units and addresses are printable ASCII without parentheses; an address has at most 64 characters. A number
  is digits with at most one decimal point, an optional sign in front and spaces around; it keeps its digits.
- The block check character is the exclusive or of all bytes behind STX up to ETX, ETX with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from gateway.reading import Scaled

STX, ETX, ACK = 0x02, 0x03, 0x06

#: No telegram and no data block is longer than this.
BLOCK_BYTES_MAX = 16_384

#: A meter sends the same addresses over and over; these answers are remembered.
ADDRESSES_KEPT = 512

_SET = re.compile(r"([\x20-\x27\x2a-\x7e]{0,64})((?:\([\x20-\x27\x2a-\x7e]*\))+)")
_OBIS = re.compile(
    r"(?:([0-9]{1,3})-([0-9]{1,3}):)?([0-9]{1,3}|[CFLP])\.([0-9]{1,3}|[CFLP])(?:\.([0-9]{1,3}|[CFLP]))?"
    r"(?:[*&]([0-9]{1,3}))?"
)
_NUMBER = re.compile(r" *([+-]?[0-9]{1,32})(?:\.([0-9]{1,32}))? *")
_LETTERS = {"C": "96", "F": "97", "L": "98", "P": "99"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One address and its groups."""

    #: As it stands in the line.
    address: str
    #: All groups with their parentheses, as they stand in the line.
    text: str

    @property
    def groups(self) -> list[str]:
        """What stands between each pair of parentheses; at least one."""
        return self.text[1:-1].split(")(")


def parse_line(line: str) -> list[DataSet]:
    """The data sets of *line*, without its line end. Raises ValueError for anything else than data sets."""
    found: list[DataSet] = []
    at = 0
    while at < len(line):
        match = _SET.match(line, at)
        if match is None:
            raise ValueError(f"{line[at : at + 40]!r} is no data set")
        found.append(DataSet(address=match[1], text=match[2]))
        at = match.end()
    if not found:
        raise ValueError("the line is empty")
    return found


def parse_lines(lines: list[str]) -> tuple[list[DataSet], list[str]]:
    """The data sets of *lines* in their order, and what is wrong with the lines that have none.

    A line that starts with a group continues the last data set of the line before.
    """
    found: list[DataSet] = []
    faults = []
    for number, line in enumerate(lines, 1):
        try:
            first, *others = parse_line(line)
        except ValueError as error:
            faults.append(f"data line {number}: {error}")
            continue
        if first.address:
            found.append(first)
        elif found:
            found.append(DataSet(address=found[-1].address, text=found.pop().text + first.text))
        else:
            faults.append(f"data line {number}: {line[:40]!r} continues no line")
        found += others
    return found, faults


@lru_cache(ADDRESSES_KEPT)
def obis(address: str) -> str:
    """The full OBIS code of *address*, ``*F`` left out where it is 255; *address* itself where it is none."""
    match = _OBIS.fullmatch(address)
    if match is None:
        return address
    a, b, c, d, e, f = match.groups()
    code = ".".join([_LETTERS.get(part, part) for part in (c, d, e or "0")])
    return f"{a or '1'}-{b or '0'}:{code}" + (f"*{f}" if f and f != "255" else "")


@lru_cache(ADDRESSES_KEPT)
def group_values(code: str) -> tuple[str, str, str]:
    """``C``, ``C.D`` and ``C.D.E`` of a full OBIS code; three times nothing for another name."""
    three = code.partition(":")[2].partition("*")[0]
    two = three.rpartition(".")[0]
    return two.partition(".")[0], two, three


def is_obis(address: str) -> bool:
    """Whether *address* is an OBIS code, full or short."""
    return _OBIS.fullmatch(address) is not None


def number(text: str) -> Scaled | None:
    """The exact value of *text*, with the digits behind its point; None where it is no number."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    fraction = match[2] or ""
    return Scaled(mantissa=int(match[1] + fraction), exponent=-len(fraction))


def block_check(data: bytes) -> int:
    """The block check character of *data*: the bytes behind STX, up to and with ETX."""
    value = 0
    for byte in data:
        value ^= byte
    return value
