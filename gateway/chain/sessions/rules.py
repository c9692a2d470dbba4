"""Which entry comes next in a book of sessions: one at a time, so that a crash between two changes nothing.

Time is the chain's, told by the blocks. A session begins with the block of its LogRented, or at *rentedFrom* where that
is later. It ends with the block of its LogReturned, at the latest at *rentedUntil*. That it expired is known when the
chain's confirmed time has passed *rentedUntil*, for then no return can come before it any more; a return that comes
later is told and changes nothing. One meter serves one session: where the next rent begins before anybody returned, the
session before ends there.

An event may lead to several entries, such as the end of one session and the beginning of the next. All but its own, the
last one, carry the place before the event, so until that is written the event counts as new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.chain.event_cursor import Event, Place
from gateway.chain.sessions.book import (
    BOOKED,
    BOOKED_MAX,
    CLOSED,
    IGNORED,
    OPENED,
    UNMATCHED,
    Book,
    Facts,
    Session,
)
from gateway.chain.sessions.renting import Rented, Returned, decode
from gateway.errors import MalformedError
from gateway.log.entry import INFORMATION, WARNING

RETURNED, EXPIRED, AGAIN = "returned", "expired", "rented-again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An entry to be written; *registers* are the fields that a register is still to be read for, each with when.

    Times are unix seconds.
    """

    code: str
    severity: int
    place: Place
    facts: Facts
    registers: Mapping[str, int] = field(default_factory=dict)


def step_for(book: Book, event: Event, now_s: int) -> Step:
    """The next entry that *event* leads to, whose block is of *now_s*; its own has its place."""
    before = (event.place[0], event.index - 1)
    due = step_due(book, now_s, before)
    if due is not None:
        return due
    try:
        said = decode(event.record)
    except MalformedError as error:
        return _ignored(event, str(error))
    if isinstance(said, Returned):
        return _returned(book, event, said, now_s)
    if said.from_s <= now_s and book.open is not None:
        return _displace(book.open, now_s, before)
    return _rented(book, event, said, now_s)


def step_due(book: Book, now_s: int, place: Place) -> Step | None:
    """The next entry that is due because the chain's time has come to *now_s* at *place*."""
    running = book.open
    ending = running if running is not None and running.until_s < now_s else None
    coming = min((one for one in book.booked if one.from_s <= now_s), key=lambda one: one.from_s, default=None)
    if ending is not None and (coming is None or ending.until_s <= coming.from_s):
        return _close(ending, EXPIRED, ending.until_s, place)
    if coming is None:
        return None
    if running is not None:
        return _displace(running, coming.from_s, place)
    return _open(coming.terms, coming.from_s, place)


def _rented(book: Book, event: Event, said: Rented, now_s: int) -> Step:
    terms = {
        "rent": event.key,
        "controller": said.controller,
        "from": said.from_s,
        "until": said.until_s,
        "no_return": said.no_return,
        "amount": str(said.amount),
        "token": said.token,
    }
    if said.from_s <= now_s:
        return _open(terms, now_s, event.place)
    if len(book.booked) >= BOOKED_MAX:
        return _ignored(event, f"{BOOKED_MAX} rents for later are waiting already")
    return Step(code=BOOKED, severity=INFORMATION, place=event.place, facts=terms)


def _open(terms: Facts, at_s: int, place: Place) -> Step:
    facts = {**terms, "at": at_s}
    return Step(code=OPENED, severity=INFORMATION, place=place, facts=facts, registers={"start": at_s})


def _close(session: Session, why: str, at_s: int, place: Place, extra: Facts | None = None) -> Step:
    begun_s = session.begun_s
    at_s = at_s if begun_s is None else max(begun_s, min(at_s, session.until_s))
    facts: dict[str, Any] = {
        "rent": session.rent,
        "controller": session.controller,
        "from": session.from_s,
        "until": session.until_s,
        "opened": session.opened_seq,
        "opened_log": session.opened_log,
        "start": session.start,
        "at": at_s,
        "why": why,
        **(extra or {}),
    }
    planned = why == RETURNED or (why == EXPIRED and session.no_return)
    severity = INFORMATION if planned else WARNING
    # A session that never began has no registers.
    registers = {} if begun_s is None else {"end": at_s}
    return Step(code=CLOSED, severity=severity, place=place, facts={"end": None, **facts}, registers=registers)


def _displace(session: Session, at_s: int, place: Place) -> Step:
    """Another session begins."""
    return _close(session, EXPIRED if session.until_s <= at_s else AGAIN, at_s, place)


def _returned(book: Book, event: Event, said: Returned, now_s: int) -> Step:
    key, place = event.key, event.place
    session = book.returned(said.controller, said.from_s)
    extra = {"return": key, "paid_back": str(said.paid_back)}
    if session is not None and session.closed is None:
        return _close(session, RETURNED, now_s, place, extra)
    facts = {
        **extra,
        "controller": said.controller,
        "from": said.from_s,
        "until": said.until_s,
        "rent": session.rent if session else None,
        "at": now_s,
    }
    severity = WARNING if session is None else INFORMATION
    return Step(code=UNMATCHED, severity=severity, place=place, facts=facts, registers={"end": now_s})


def _ignored(event: Event, reason: str) -> Step:
    facts = {"event": event.key, "reason": reason}
    return Step(code=IGNORED, severity=WARNING, place=event.place, facts=facts)
