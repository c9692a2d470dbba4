"""What the log says of the sessions at one rented object: the fold of its own entries, and nothing else.

Each entry is an event of the log whose text is a JSON object with sorted keys and no spaces. In all of them are
*chain*, *contract* and *object*, and *block* and *index*: all events of the object up to that one are accounted for,
counted from 0 in each block; *index* is null for all of the block. *hash* is the block's (but for ``session-void``).
*rent* names the LogRented by ``0xTRANSACTION:LOGINDEX``, and with it the session.

=====================  ============================================================================================
code                   further fields
=====================  ============================================================================================
``session-listening``  the first entry: what happened before this block is in no entry. *point*
``session-booked``     rented for later. *rent*, *controller*, *from*, *until* (unix seconds), *no_return*, *amount*
                       (decimal text), *token*
``session-opened``     the same, *at*: the chain's time when it began, *start*: the register then, and *log*: the origin
                       of the log that this is in
``session-closed``     *rent*, *controller*, *from*, *until*, *opened* (seq of its entry), *opened_log* and *start*
                       (null where it never began), *at*, *end*: the register then, and *why*: ``returned``,
                       ``expired`` (the chain's time passed *until*) or ``rented-again`` (another rent began, and
                       nobody had returned it); *return* and *paid_back* where it was returned
``session-unmatched``  a return that closes nothing. *return*, *controller*, *from*, *until*, *paid_back*, *at*, *end*,
                       *rent* (null, or the session that was closed before)
``session-ignored``    an event that opens and closes nothing. *event*, *reason*
``session-void``       the chain was reorganised: what *entries* (their seqs) say of blocks above *block* is void;
                       *earlier*: there may be more that are not remembered. What follows counts again
=====================  ============================================================================================

A register is ``{"seq","unit","value","wall_ms"}``: the exact decimal text that reading entry *seq* holds; or
``{"reason"}`` where there is no good value, never another one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from gateway.chain.event_cursor import END, Place

LISTENING, BOOKED, OPENED, CLOSED = "session-listening", "session-booked", "session-opened", "session-closed"
UNMATCHED, IGNORED, VOID = "session-unmatched", "session-ignored", "session-void"
CODES = frozenset({LISTENING, BOOKED, OPENED, CLOSED, UNMATCHED, IGNORED, VOID})
#: Closed sessions, and entries, that are remembered: what a reorganisation may touch.
CLOSED_MAX, ENTRIES_MAX = 32, 128
#: Rents for later that are held at a time.
BOOKED_MAX = 64

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One rent."""

    rent: str
    controller: str
    from_s: int
    until_s: int
    no_return: bool
    #: What the entries of booking and opening repeat.
    terms: Facts
    #: Of the entry that said it first.
    rented: Place
    opened: Place | None = None
    #: Of the opening: seq of the entry, in which log, and unix seconds.
    opened_seq: int | None = None
    opened_log: str | None = None
    begun_s: int | None = None
    start: Facts | None = None
    closed: Place | None = None

    @property
    def is_booked(self) -> bool:
        """It has not begun."""
        return self.opened is None and self.closed is None

    @property
    def is_open(self) -> bool:
        """It has begun, and not ended."""
        return self.opened is not None and self.closed is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """All sessions of one object, as far as they matter."""

    #: What is accounted for; None: nothing yet.
    place: Place | None = None
    #: By when they were rented.
    sessions: tuple[Session, ...] = ()
    #: Seq and block of the newest entries, ascending by seq, without void ones.
    entries: tuple[tuple[int, int], ...] = ()
    #: The highest block of an entry that is remembered no more; -1 for none.
    forgotten: int = -1

    @property
    def open(self) -> Session | None:
        """The session that is going on: one at most, since the object has one meter."""
        return next((session for session in self.sessions if session.is_open), None)

    @property
    def booked(self) -> tuple[Session, ...]:
        """Those that have not begun."""
        return tuple(session for session in self.sessions if session.is_booked)

    def returned(self, controller: str, from_s: int) -> Session | None:
        """The session that such a return ends; where there is none, the newest one that it would have ended."""
        theirs = [session for session in self.sessions if session.controller == controller]
        going = [session for session in theirs if session.closed is None]
        exact = [session for session in going if session.from_s == from_s]
        running = [session for session in going if session.is_open]
        ended = [session for session in theirs if session.closed is not None and session.from_s == from_s]
        return next(iter([*exact, *running, *reversed(ended)]), None)

    def void_after(self, block: int) -> tuple[list[int], bool]:
        """Seqs of the entries that rest on blocks above *block*, and whether there may be more."""
        return [seq for seq, at in self.entries if at > block], self.forgotten > block

    def apply(self, code: str, seq: int, facts: Facts) -> Book:
        """The book after entry *seq* was read."""
        place = (facts["block"], END if facts["index"] is None else facts["index"])
        if code == VOID:
            return self._back_to(place)
        sessions = self.sessions
        if code in (BOOKED, OPENED):
            sessions = self._with(self._begun(code, seq, facts, place))
        elif code == CLOSED:
            sessions = tuple(replace(one, closed=place) if one.rent == facts["rent"] else one for one in sessions)
        return _trimmed(replace(self, place=place, sessions=sessions, entries=(*self.entries, (seq, place[0]))))

    def _with(self, session: Session) -> tuple[Session, ...]:
        if all(one.rent != session.rent for one in self.sessions):
            return (*self.sessions, session)
        return tuple(session if one.rent == session.rent else one for one in self.sessions)

    def _begun(self, code: str, seq: int, facts: Facts, place: Place) -> Session:
        known = next((one for one in self.sessions if one.rent == facts["rent"]), None)
        session = Session(
            rent=facts["rent"],
            controller=facts["controller"],
            from_s=facts["from"],
            until_s=facts["until"],
            no_return=facts["no_return"],
            terms={name: facts[name] for name in TERMS},
            rented=known.rented if known else place,
        )
        if code == BOOKED:
            return session
        begun = {"opened_log": facts["log"], "begun_s": facts["at"], "start": facts["start"]}
        return replace(session, opened=place, opened_seq=seq, **begun)

    def in_new_log(self) -> Book:
        """The same where another log goes on: seqs of entries are now those of that one."""
        return replace(self, entries=(), forgotten=max([self.forgotten, *(block for _, block in self.entries)]))

    def _back_to(self, place: Place) -> Book:
        """As it was when the chain ended at *place*."""
        sessions = tuple(_as_of(one, place) for one in self.sessions if one.rented <= place)
        entries = tuple(entry for entry in self.entries if entry[1] <= place[0])
        return replace(self, place=place, sessions=sessions, entries=entries, forgotten=min(self.forgotten, place[0]))


#: What a rent says, as an entry repeats it.
TERMS = ("rent", "controller", "from", "until", "no_return", "amount", "token")


def _trimmed(book: Book) -> Book:
    ended = [one.rent for one in book.sessions if one.closed is not None]
    surplus = set(ended[:-CLOSED_MAX])
    dropped = book.entries[:-ENTRIES_MAX]
    return replace(
        book,
        sessions=tuple(one for one in book.sessions if one.rent not in surplus),
        entries=book.entries[len(dropped) :],
        forgotten=max([book.forgotten, *(block for _, block in dropped)]),
    )


def _as_of(session: Session, place: Place) -> Session:
    if session.opened is not None and session.opened > place:
        session = replace(session, opened=None, opened_seq=None, opened_log=None, begun_s=None, start=None)
    if session.closed is not None and session.closed > place:
        session = replace(session, closed=None)
    return session


def text_of(facts: Facts) -> str:
    """The text of an entry."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def facts_of(text: str) -> dict[str, Any] | None:
    """What such a text says; None where it is none."""
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and text_of(facts) == text and {"block", "index"} <= facts.keys() else None


def book_value(book: Book) -> dict[str, Any]:
    """As JSON, for the state file."""
    value: dict[str, Any] = json.loads(json.dumps(asdict(book)))
    return value


def book_of(value: Any) -> Book | None:
    """The inverse of ``book_value``; None for anything else."""
    try:
        book = Book(
            place=_place(value["place"]),
            sessions=tuple(map(_session, value["sessions"])),
            entries=tuple((int(seq), int(block)) for seq, block in value["entries"]),
            forgotten=int(value["forgotten"]),
        )
        return book if book_value(book) == value else None
    except (TypeError, ValueError, LookupError, AttributeError):
        return None


def _session(item: Any) -> Session:
    rented = _place(item["rented"])
    if rented is None:
        raise ValueError("a session that was never rented")
    places = {name: _place(item[name]) for name in ("opened", "closed")}
    return Session(**{**item, **places, "rented": rented})


def _place(item: Any) -> Place | None:
    if item is None:
        return None
    block, index = item
    return int(block), int(index)
