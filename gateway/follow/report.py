"""What ``channel follow`` says: one line per accepted message and per finding, for people or as JSON.

JSON (one object per line on standard output):

    {"origin", "from_seq", "to_seq", "size", "verified"}
        An accepted message; both seqs are included. "size" is how many entries are held without a hole, "verified" the
        size of the newest checkpoint that fits them. Where a message held a checkpoint only, to_seq is from_seq - 1.
        Behind a gap there is "anchored": false as well: these entries chain, and nothing else is known of them.
    {"finding", "seq", "to_seq", "text"}
        "to_seq" is null where only one entry or size is concerned.
    {"done": true, "size", "verified", "findings", "keys", "origin"}
        Last. "keys" counts the keys given: with 0 nothing was verified against a key from outside.

Text from a channel is not trusted on a terminal: what is not printable is shown as U+FFFD.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TextIO

from gateway.errors import MalformedError
from gateway.log.entry import Entry, Kind, decode, description
from gateway.reading import MeterDescription
from gateway.receiver.receiver import Receiver
from gateway.receiver.run import Accepted, Finding
from gateway.show import entry_line, reading_text, rfc3339

MAX_DEFINITIONS = 1024


class JsonReport:
    """Objects for programs."""

    def __init__(self, receiver: Receiver, out: TextIO, notices: TextIO) -> None:
        self._receiver, self._out, self._notices = receiver, out, notices

    def accepted(self, accepted: Accepted) -> None:
        """One object."""
        found: dict[str, object] = {"origin": self._receiver.origin, "from_seq": accepted.from_seq}
        found |= {"to_seq": accepted.to_seq, "size": accepted.size, "verified": accepted.verified}
        self._print(found if accepted.anchored else found | {"anchored": False})

    def finding(self, finding: Finding) -> None:
        """One object."""
        self._print({"finding": finding.kind, "seq": finding.seq, "to_seq": finding.to_seq, "text": finding.text})

    def notice(self, text: str) -> None:
        """For people, so not in the JSON."""
        print(printable(text), file=self._notices, flush=True)

    def done(self, findings: int, keys: int) -> None:
        """The last object."""
        receiver = self._receiver
        found: dict[str, object] = {"done": True, "size": receiver.size, "verified": receiver.verified}
        self._print(found | {"findings": findings, "keys": keys, "origin": receiver.origin})

    def _print(self, found: dict[str, object]) -> None:
        print(json.dumps(found), file=self._out, flush=True)


class TextReport:
    """Lines for people; with *show*, every entry as well."""

    def __init__(self, receiver: Receiver, out: TextIO, notices: TextIO, *, show: bool) -> None:
        self._receiver, self._out, self._notices = receiver, out, notices
        self._show = show
        self._named = False
        self._definitions = Definitions(receiver.entry)

    def accepted(self, accepted: Accepted) -> None:
        """One line, and one per entry if they are to be shown."""
        if self._show:
            self._show_entries(accepted)
        count = accepted.to_seq - accepted.from_seq + 1
        what = f"{accepted.from_seq}..{accepted.to_seq}" if count > 1 else str(accepted.from_seq)
        if not accepted.anchored:
            self._print(f"followed {what}  cannot be verified: entries before are missing  ({self._receiver.origin})")
            return
        verified = f"verified to {accepted.verified}" if accepted.verified else "not verified yet"
        self._print(f"{f'accepted {what}' if count else 'checkpoint'}  {verified}  ({self._receiver.origin})")

    def finding(self, finding: Finding) -> None:
        """One line, which begins in capitals."""
        where = f"{finding.seq}" if finding.to_seq in (None, finding.seq) else f"{finding.seq}..{finding.to_seq}"
        self._print(f"{finding.kind.upper()} {where}: {finding.text}")

    def notice(self, text: str) -> None:
        """News of the connection."""
        print(printable(text), file=self._notices, flush=True)

    def done(self, findings: int, keys: int) -> None:
        """The last line."""
        receiver = self._receiver
        found = f"{findings} finding{'' if findings == 1 else 's'}" if findings else "no findings"
        what = f"{receiver.size} entries, verified to {receiver.verified}"
        against = "" if keys else "; UNVERIFIED: no --vkey was given, so nothing shows whose log this is"
        self._print(f"done: {what}, {found}{against}")

    def _show_entries(self, accepted: Accepted) -> None:
        for data in accepted.entries:
            entry = decode(data)
            self._definitions.learn(entry)
            mark = "✔ verified" if accepted.anchored and entry.seq < accepted.verified else "… pending"
            self._print(f"{entry_text(entry, self._definitions)}  {mark}")

    def _print(self, text: str) -> None:
        print(printable(text), file=self._out, flush=True)


class Definitions:
    """The meters that definition entries spell out: the last 1,024 used, others looked up by *entry*."""

    def __init__(self, entry: Callable[[int], bytes | None]) -> None:
        self._entry = entry
        self._known: dict[int, MeterDescription | None] = {}

    def learn(self, entry: Entry) -> None:
        """Remembers a definition entry."""
        if entry.kind is Kind.DEFINITION:
            self._remember(entry.seq, description(entry.body))

    def __call__(self, seq: int) -> MeterDescription | None:
        """The meter that entry *seq* spells out; None where that is not at hand."""
        if seq not in self._known:
            data = self._entry(seq)
            self._remember(seq, None if data is None else _definition(data))
        return self._known[seq]

    def _remember(self, seq: int, meter: MeterDescription | None) -> None:
        self._known[seq] = meter
        if len(self._known) > MAX_DEFINITIONS:
            del self._known[next(iter(self._known))]


def _definition(data: bytes) -> MeterDescription | None:
    try:
        entry = decode(data)
    except MalformedError:
        return None
    return description(entry.body) if entry.kind is Kind.DEFINITION else None


def entry_text(entry: Entry, definitions: Definitions) -> str:
    """A reading as time, meter and values; any other entry as ``log show`` has it."""
    if entry.kind is Kind.READING:
        return f"{entry.seq:>8}  {rfc3339(entry.moment.wall_ms)}  {reading_text(entry, definitions)}"
    return entry_line(entry, definitions)


def printable(text: str) -> str:
    """*text* without anything that would move a terminal's cursor or change its state."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
