"""What ``scan`` prints: results and walks as text and as JSON objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.scanning import FOUND, GARBLED, ScanOrder, ScanResult

_WORDS_A_LINE = 8


def result_object(result: ScanResult, walked: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One unit for ``--json``."""
    found: dict[str, Any] = {"unit": result.unit, "state": result.state, "models": list(result.models)}
    found |= {**result.place.settings, "any_unit": result.any_unit}
    return found if walked is None else found | {"walk": walked}


def result_text(result: ScanResult, *, with_place: bool) -> str:
    """One unit in a line; *with_place* where that is not the only one."""
    place = f"{result.place}, " if with_place else ""
    text = f"{place}unit {result.unit:>3}: {result.state}"
    if result.state == GARBLED:
        text += ": noise, or two meters with this unit id; leave one of them connected"
    if result.state == FOUND:
        text += f": {' or '.join(result.models) or 'model not known'}"
    return text + (" (answers to every unit id)" if result.any_unit else "")


def nothing_text(order: ScanOrder, away: int) -> str:
    """Why nothing may have been found."""
    if order.places[0].device:
        settings = f" at {len(order.places)} line settings" if len(order.places) > 1 else ""
        return f"no meter answered on {len(order.units)} unit ids{settings}; check wiring (A and B), power, baud rate"
    where = f" at {len(order.places)} addresses, {away} of which are not there" if len(order.places) > 1 else ""
    return f"no meter answered on {len(order.units)} unit ids{where}; check unit ids and the gateway's own line"


def walk_text(result: ScanResult, walked: Mapping[str, Any]) -> list[str]:
    """A walk through the registers of one unit."""
    lines = [f"unit {result.unit}: registers"]
    for run in walked["runs"]:
        lines.append(f"  fc{run['fc']} 0x{run['first']:04x} to 0x{run['last']:04x}: {run['answer']}")
        if run["answer"] == "answers":
            lines += _dump(run, walked["words"])
    if walked["guesses"]:
        lines.append(f"unit {result.unit}: what could be in them (a guess: compare with the meter's display)")
    for guess in walked["guesses"]:
        value = f"{guess['value']} {guess['unit']}".rstrip()
        lines.append(f"  fc{guess['fc']} 0x{guess['address']:04x} {guess['how']:<20} {value}")
    return lines


def _dump(run: Mapping[str, Any], words: Mapping[str, str]) -> Sequence[str]:
    places = range(run["first"], run["last"] + 1)
    content = {place: words[f"fc{run['fc']} 0x{place:04x}"] for place in places}
    chunks = [places[start : start + _WORDS_A_LINE] for start in range(0, len(places), _WORDS_A_LINE)]
    return [f"    0x{chunk[0]:04x}  {' '.join(content[place] for place in chunk)}" for chunk in chunks]
