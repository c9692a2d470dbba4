"""Whom a master addresses (EN 13757-2, section 5.7.5; EN 13757-3, section 8.4).

Primary addresses are 1 to 250; 0 is a meter that got none yet. 253 is the meter that was selected by its secondary
address, 254 any meter, which answers, 255 all of them, which do not. A secondary address is 16 hex digits in the order
identification (8 digits), manufacturer (low byte, high byte), version, medium, as ``header.py`` gives it; eight digits
alone stand for any manufacturer, version and medium. F is a wildcard: a digit of the identification, or all of one of
the other fields.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import ConfigError

PRIMARY_MAX, SELECTED, ANY, ALL = 250, 253, 254, 255
ANYBODY = "F" * 16
_ID_DIGITS, _DIGITS = 8, 16
#: The fields behind the identification that are wildcards as a whole.
_FIELDS = (slice(8, 12), slice(12, 14), slice(14, 16))


@dataclass(frozen=True, slots=True, kw_only=True)
class Primary:
    """A meter by its number on the bus."""

    number: int

    def __str__(self) -> str:
        return f"meter {self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secondary:
    """A meter by what is printed on it, or those that fit a pattern with wildcards."""

    #: 16 hex digits, capital letters.
    pattern: str

    def __str__(self) -> str:
        return f"meter {self.pattern}"

    @property
    def selection(self) -> bytes:
        """The eight bytes that select it: as in the long header, the identification with its lowest digits first."""
        return bytes.fromhex(self.pattern[:_ID_DIGITS])[::-1] + bytes.fromhex(self.pattern[_ID_DIGITS:])

    def fits(self, secondary: str) -> bool:
        """Whether a meter of that secondary address is meant."""
        digits = zip(self.pattern[:_ID_DIGITS], secondary[:_ID_DIGITS], strict=False)
        return (
            len(secondary) == _DIGITS
            and all(wanted in ("F", found) for wanted, found in digits)
            and all(set(self.pattern[field]) == {"F"} or self.pattern[field] == secondary[field] for field in _FIELDS)
        )


Address = Primary | Secondary


def parse_address(text: str) -> Address:
    """A number from 0 to 250, 8 digits of identification, or 16 hex digits. Raises ConfigError for anything else."""
    word = text.strip().upper()
    if len(word) <= 3 and word.isascii() and word.isdecimal() and int(word) <= PRIMARY_MAX:
        return Primary(number=int(word))
    if len(word) in (_ID_DIGITS, _DIGITS) and set(word) <= set("0123456789ABCDEF"):
        return Secondary(pattern=word.ljust(_DIGITS, "F"))
    raise ConfigError(
        f"{text!r} is no M-Bus address; give a number from 0 to {PRIMARY_MAX}, the 8 digits printed on the meter, or 16"
        " hex digits"
    )
