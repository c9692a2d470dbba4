"""What ``channel follow`` prints: lines for people, objects for programs, and nothing that harms a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

from gateway.follow.report import JsonReport, TextReport, printable
from gateway.log.entry import Kind
from gateway.receiver.receiver import Receiver
from gateway.receiver.run import Accepted, Finding
from gateway.receiver.store import ReceiverStore
from tests.honest_log import ORIGIN, HonestLog

DEFINITION = ["main", "eastron-sdm630", bytes(32), "bench unit 1", [["power_total", "1-0:1.7.0", "W", "fc4 52", 0, -1]]]


def metered(name: str = "main") -> HonestLog:
    """A log with a definition and two readings, one of them failed."""
    log = HonestLog()
    log.append(Kind.DEFINITION, [name, *DEFINITION[1:]])
    log.append(Kind.READING, [1, [], [[0, bytes(4), 5123, -1]]])
    log.append(Kind.READING, [1, [], [[17, b""]]])
    return log


def told(log: HonestLog, receiver: Receiver, *messages: bytes, show: bool = True) -> list[str]:
    out = io.StringIO()
    report = TextReport(receiver, out, out, show=show)
    for message in messages:
        for outcome in receiver.accept(message):
            report.accepted(outcome) if isinstance(outcome, Accepted) else report.finding(outcome)
    report.done(0, 1)
    return out.getvalue().splitlines()


def test_readings_are_shown_with_their_values(tmp_path: Path) -> None:
    """Each entry as a line that says whether it is verified, then one line for the message."""
    log = metered()
    lines = told(log, Receiver(keys=[log.vkey]), log.message(0, 4, 3))
    assert lines[2:] == [
        "       2  1970-01-01T00:00:02.000Z  main: power_total 512.3 W  ✔ verified",
        "       3  1970-01-01T00:00:03.000Z  main: power_total (timeout)  … pending",
        f"accepted 0..3  verified to 3  ({ORIGIN})",
        "done: 4 entries, verified to 3, no findings",
    ]


def test_a_resumed_follower_knows_the_meters_from_its_store(tmp_path: Path) -> None:
    """The definition came in an earlier run; a reading whose definition is nowhere is shown by its number."""
    log = metered()
    receiver = Receiver(keys=[log.vkey], store=ReceiverStore(tmp_path))
    told(log, receiver, log.message(0, 2, 2))
    receiver.commit()
    receiver._store.close()  # type: ignore[union-attr]
    receiver = Receiver(keys=[log.vkey], store=ReceiverStore(tmp_path))
    assert "main: power_total 512.3 W" in told(log, receiver, log.message(2, 3))[0]
    assert "definition 1: point_0 512.3" in told(log, Receiver(keys=[log.vkey]), log.message(2, 3))[1]


def test_text_for_people() -> None:
    """One line per message and finding, findings in capitals."""
    log = HonestLog().grow(60)
    other = log.branch(10, "x").grow(20)
    receiver = Receiver(keys=[log.vkey])
    messages = [log.message(0, 10, 8), log.message(10, 10, 10), log.message(5, 11), other.message(10, 12), b"junk"]
    messages += [log.message(40, 50), log.message(50, 51)]
    assert told(log, receiver, *messages, show=False) == [
        f"accepted 0..9  verified to 8  ({ORIGIN})",
        f"checkpoint  verified to 10  ({ORIGIN})",
        "DUPLICATE 5..9: entries 5 to 9 came again, the same",
        f"accepted 10  verified to 10  ({ORIGIN})",
        "FORK 10: another entry 10 than the one that came before it; a signed checkpoint will tell which is true",
        "MALFORMED 11: channel message: byte 0 is 0x6a, an item of another type",
        "GAP 11..39: entries 11 to 39 are missing",
        f"followed 40..49  cannot be verified: entries before are missing  ({ORIGIN})",
        f"followed 50  cannot be verified: entries before are missing  ({ORIGIN})",
        "done: 11 entries, verified to 10, no findings",
    ]


def test_objects_for_programs() -> None:
    """The keys that the contract names, and what was added."""
    log = HonestLog().grow(60)
    receiver, out, notices = Receiver(keys=[log.vkey]), io.StringIO(), io.StringIO()
    report = JsonReport(receiver, out, notices)
    for message in (log.message(0, 10, 8), log.message(5, 8), log.message(40, 50)):
        for outcome in receiver.accept(message):
            report.accepted(outcome) if isinstance(outcome, Accepted) else report.finding(outcome)
    report.notice("for people")
    report.done(2, 0)
    first, duplicate, gap, loose, done = map(json.loads, out.getvalue().splitlines())
    assert first == {"origin": ORIGIN, "from_seq": 0, "to_seq": 9, "size": 10, "verified": 8}
    assert (duplicate["finding"], duplicate["seq"], duplicate["to_seq"]) == ("duplicate", 5, 7)
    assert (gap["finding"], gap["seq"], gap["to_seq"]) == ("gap", 10, 39)
    assert loose == {"origin": ORIGIN, "from_seq": 40, "to_seq": 49, "size": 10, "verified": 8, "anchored": False}
    assert done == {"done": True, "size": 10, "verified": 8, "findings": 2, "keys": 0, "origin": ORIGIN}
    assert notices.getvalue() == "for people\n"


def test_without_keys_the_last_line_says_so() -> None:
    """Whatever was compared, nothing shows whose log it is."""
    out = io.StringIO()
    TextReport(Receiver(), out, out, show=False).done(0, 0)
    assert "UNVERIFIED: no --vkey was given" in out.getvalue()


def test_a_hostile_name_moves_no_cursor(tmp_path: Path) -> None:
    """Escape sequences in a meter's name, an event, a finding: shown as U+FFFD, on one line."""
    log = metered("main\x1b]0;owned\x07\x1b[2J\nforged line")
    log.append(Kind.EVENT, ["\x1b[31m", 0, "a\rb", "c\u202ed"])
    lines = told(log, Receiver(keys=[log.vkey]), log.message(0, 5, 5))
    assert len(lines) == 7
    assert all(char.isprintable() for line in lines for char in line)
    finding = Finding(kind="malformed", seq=0, text="x\x1b[2J")
    out = io.StringIO()
    TextReport(Receiver(), out, out, show=False).finding(finding)
    assert out.getvalue() == "MALFORMED 0: x\ufffd[2J\n"
    assert printable("täglich ✔ 5 €") == "täglich ✔ 5 €"
