"""A book of sessions and the entries that made it, without a log and without a chain."""

from __future__ import annotations

from typing import Any

from gateway.chain import abi
from gateway.chain.event_cursor import END, Event
from gateway.chain.sessions.book import LISTENING, OPENED, VOID, Book
from gateway.chain.sessions.renting import RENTED, RETURNED
from gateway.chain.sessions.rules import Step, step_due, step_for
from gateway.chain.values import LogRecord
from gateway.log.entry import INFORMATION

CONTRACT, OBJECT = "0x" + "c0" * 20, bytes(31) + b"\x2a"
ANNA, BERT = "0x" + "a1" * 20, "0x" + "b2" * 20
TOKEN = "0x" + "00" * 20


def record(block: int, signature: str, values: list[Any], data: bytes | None = None) -> Event:
    found = LogRecord(
        address=CONTRACT,
        topics=(abi.topic(signature), bytes(32), OBJECT),
        data=abi.encode(abi.types_of(signature)[2:], values) if data is None else data,
        block_number=block,
        block_hash=block.to_bytes(32, "big"),
        transaction=block.to_bytes(32, "big"),
        index=5,
    )
    return Event(record=found, index=0)


def rented(block: int, who: str, from_s: int, until_s: int, *, no_return: bool = False) -> Event:
    return record(block, RENTED, [who, from_s, until_s, no_return, 7, TOKEN, 0])


def returned(block: int, who: str, from_s: int, until_s: int = 0) -> Event:
    return record(block, RETURNED, [who, from_s, until_s, 3])


class SessionLog:
    """A book and the entries that made it; block n is of second n."""

    def __init__(self) -> None:
        self.book = Book()
        self.entries: list[tuple[str, int, dict[str, Any]]] = []
        self._write(Step(code=LISTENING, severity=INFORMATION, place=(0, END), facts={"point": "import_total"}))

    def _write(self, step: Step) -> None:
        index = None if step.place[1] == END else step.place[1]
        looked = {name: {"value": str(at)} for name, at in step.registers.items()}
        facts = {"block": step.place[0], "index": index, **step.facts, **looked}
        facts |= {"log": "here"} if step.code == OPENED else {}
        self.entries.append((step.code, step.severity, facts))
        assert step.code == VOID or self.book.place is None or step.place >= self.book.place
        self.book = self.book.apply(step.code, len(self.entries) - 1, facts)

    def hear(self, event: Event) -> SessionLog:
        while self.book.place is None or self.book.place < event.place:
            self._write(step_for(self.book, event, event.record.block_number))
        return self

    def reach(self, block: int) -> SessionLog:
        while (step := step_due(self.book, block, (block, END))) is not None:
            self._write(step)
        return self

    def go_back(self, block: int) -> SessionLog:
        entries, earlier = self.book.void_after(block)
        facts = {"entries": entries, "earlier": earlier}
        self._write(Step(code=VOID, severity=2, place=(block, END), facts=facts))
        return self

    @property
    def said(self) -> list[tuple[Any, ...]]:
        """What the entries say, in short."""
        shown = ("why", "opened", "start", "at", "end", "rent")
        return [
            (code, severity, *(facts[name] for name in shown if name in facts))
            for code, severity, facts in self.entries[1:]
        ]


def at(value: int) -> dict[str, str]:
    return {"value": str(value)}
