"""Finds all meters of a line by their secondary addresses, with wildcards (EN 13757-3, annex on wildcard search).

A pattern is tried: nobody answers, one does, or several collide. Where they collide the next digit of the
identification takes each of its values, so a tree of digits is walked where meters are. Meters of the same
identification are told apart by their medium; what still collides is reported as such, never dropped.

Two meters that answer in step, bit for bit, can add up to a good telegram, of one of them or of a meter that is not
there. So who was found is asked once more by the whole address; and a thorough search also asks for everybody that a
meter found with wildcards could hide.

Identifications are decimal by the standard; some makers use A to E as digits, which costs five more tries at each
collision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from drivers.mbus.address import ANYBODY, Secondary
from drivers.mbus.header import MEDIA

_ID_DIGITS = 8
DECIMAL, HEXADECIMAL = "0123456789", "0123456789ABCDE"


class Probing(Protocol):
    """What a search needs of a master."""

    async def probe(self, pattern: Secondary) -> str | None:
        """Who fits *pattern*: None for nobody, the secondary address of the only one, or empty for several."""

    async def release(self) -> None:
        """Deselects whoever is selected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found."""

    #: Secondary addresses, in order.
    meters: tuple[str, ...]
    #: Patterns that several meters fit which could not be told apart, or that somebody answers who tells no identity.
    unresolved: tuple[str, ...]
    #: Patterns that were tried.
    probes: int


async def search(master: Probing, within: str = ANYBODY, digits: str = DECIMAL, *, thorough: bool = False) -> Found:
    """All meters that fit *within* (16 hex digits). Raises LinkLost, or NoReply when the line is never silent.

    *thorough* costs nine tries for each wildcard digit of each meter found.
    """
    await master.release()
    meters: set[str] = set()
    unresolved: list[str] = []
    probes = 0
    patterns = [within]
    while patterns:
        pattern = patterns.pop()
        probes += 1
        found = await master.probe(Secondary(pattern=pattern))
        if found and found != pattern:
            probes += 1
            found = await master.probe(Secondary(pattern=found)) or ""
        if found:
            meters.add(found)
            patterns += _beside(pattern, found, digits) if thorough else []
        elif found is not None:
            split = _split(pattern, digits)
            patterns += reversed(split)
            unresolved += [] if split else [pattern]
    await master.release()
    return Found(meters=tuple(sorted(meters)), unresolved=tuple(unresolved), probes=probes)


def _split(pattern: str, digits: str) -> list[str]:
    """Patterns that together stand for the same meters; none where nothing is left to tell them apart by."""
    at = pattern.find("F")
    if 0 <= at < _ID_DIGITS:
        return [pattern[:at] + digit + pattern[at + 1 :] for digit in digits]
    if pattern.endswith("FF"):
        return [f"{pattern[:-2]}{medium:02X}" for medium in MEDIA]
    return []


def _beside(pattern: str, found: str, digits: str) -> list[str]:
    """Patterns that together stand for all that fit *pattern*, but those with the identification that was found."""
    return [
        found[:at] + digit + ANYBODY[at + 1 : _ID_DIGITS] + pattern[_ID_DIGITS:]
        for at in range(_ID_DIGITS)
        if pattern[at] == "F"
        for digit in digits
        if digit != found[at]
    ]
