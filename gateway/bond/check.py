"""Checks the chains of a folder that ew-link-bond wrote, and names each link that does not hold.

The order of a chain is that of its index; files that no readable index lists come in the order of their names. Each
file states the hash of the one before. Where it does not:

============  ======================================================================================================
changed       the hash belongs to no file here: one of the two files was changed, or, where no index tells their order,
              one between them was removed or overwritten
missing       the index lists a file that is not here, or the first file states one before it
reordered     the hash is that of another file here
unreadable    the file holds no record of bond's
index         the index is no index of bond's
overwritten   the index lists the file twice: two readings in one second, and the older record is gone
anew          a chain begins in the middle
unlisted      files are here that no index lists
cut off       the index ends too early
============  ======================================================================================================

Bond does the last four by itself. The first five are evidence that somebody, or the disk, changed something.

What such a chain cannot show: whether its newest file is as it was, since nothing states its hash until the next
reading; whether newer ones were removed; whether somebody wrote all of it anew from some point on, since nothing is
signed; when anything was written, since no hash covers names and indices; and outages, which bond does not store. A
hash that a registry holds (``anchored``) vouches for the file that it names and those before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.bond.record import NOTHING_BEFORE
from gateway.bond.store import Store, Stored, name_of
from gateway.errors import EXIT_NO, EXIT_OK, EXIT_TAMPER
from gateway.show import printable


class Fault(StrEnum):
    """What is wrong with a link; see the table above."""

    CHANGED = "changed"
    MISSING = "missing"
    REORDERED = "reordered"
    UNREADABLE = "unreadable"
    INDEX = "index"
    OVERWRITTEN = "overwritten"
    ANEW = "anew"
    UNLISTED = "unlisted"
    CUT_OFF = "cut off"


#: What bond does by itself.
OWN_FAULTS = frozenset({Fault.OVERWRITTEN, Fault.ANEW, Fault.UNLISTED, Fault.CUT_OFF})


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One link that does not hold."""

    fault: Fault
    #: The file, or the index, that it shows at.
    file: str
    #: Its place in its chain, from 0; None where it is of a whole chain.
    position: int | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The files of one chain, oldest first."""

    #: None: no index lists them.
    index: str | None
    #: Names; one that is overwritten stands here more than once.
    files: tuple[str, ...]
    breaks: tuple[Break, ...]

    @property
    def newest(self) -> str | None:
        """The last file's name; None of an empty chain."""
        return self.files[-1] if self.files else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found in a folder."""

    store: Store
    chains: tuple[Chain, ...]
    #: Of the folder, not of a chain.
    breaks: tuple[Break, ...]

    @property
    def all_breaks(self) -> list[Break]:
        """In the order in which they are told."""
        return [*self.breaks, *(found for chain in self.chains for found in chain.breaks)]

    @property
    def first(self) -> Break | None:
        """The first link that does not hold; where only the folder is at fault, that."""
        return next((found for chain in self.chains for found in chain.breaks), None) or next(iter(self.breaks), None)

    def hash_of(self, name: str | None) -> str | None:
        """The hash of a file of the folder; None where it is not here."""
        stored = self.store.files.get(name) if name is not None else None
        return stored.hash if stored is not None else None

    @property
    def exit_code(self) -> int:
        """0 where all links hold, 1 where bond's own faults explain the others, 4 where they do not."""
        faults = {found.fault for found in self.all_breaks}
        return EXIT_TAMPER if faults - OWN_FAULTS else EXIT_NO if faults else EXIT_OK


def check(store: Store) -> Report:
    """Checks all chains of a folder."""
    by_hash = {stored.hash: stored.name for stored in store.files.values()}
    chains, breaks, listed = [], [], set[str]()
    for index in store.indices:
        if index.links is None:
            fault = Fault.CUT_OFF if index.cut_off else Fault.INDEX
            breaks.append(Break(fault=fault, file=index.name, position=None, text=index.fault))
        else:
            names = tuple(map(name_of, index.links))
            listed.update(names)
            found = _breaks(names, store.files, by_hash)
            chains.append(Chain(index=index.name, files=names, breaks=tuple(found)))
    unlisted = tuple(name for name in store.files if name not in listed)
    if unlisted:
        found = _breaks(unlisted, store.files, by_hash, ordered=False)
        chains.insert(0, Chain(index=None, files=unlisted, breaks=tuple(found)))
        if len(chains) > 1:
            text = f"{len(unlisted)} of {len(store.files)} files are in no index; bond forgets them when it begins anew"
            breaks.append(Break(fault=Fault.UNLISTED, file=unlisted[0], position=None, text=text))
    return Report(store=store, chains=tuple(chains), breaks=tuple(breaks))


def _breaks(
    names: Sequence[str], files: Mapping[str, Stored], by_hash: Mapping[str, str], *, ordered: bool = True
) -> Iterator[Break]:
    """The links of one chain that do not hold; *ordered* by an index, not by the names alone."""
    # Of a path that is listed twice, the file is that of the last time.
    places = {name: position for position, name in enumerate(names)}
    times = Counter(names)
    expected: str | None = NOTHING_BEFORE
    for position, name in enumerate(names):
        stored = files.get(name)
        if places[name] != position:
            text = f"listed {times[name]} times: bond writes over a file of the same second, and this record is gone"
            yield Break(fault=Fault.OVERWRITTEN, file=name, position=position, text=text)
            expected = None
        elif stored is None:
            yield Break(fault=Fault.MISSING, file=printable(name), position=position, text="it is listed, and not here")
            expected = None
        else:
            if stored.record is None:
                yield Break(fault=Fault.UNREADABLE, file=name, position=position, text=stored.fault)
            elif (stated := stored.record.previous_hash) != expected:
                yield from _unfit(names, position, stated, expected, by_hash, ordered=ordered)
            expected = stored.hash


def _unfit(
    names: Sequence[str],
    position: int,
    stated: str,
    expected: str | None,
    by_hash: Mapping[str, str],
    *,
    ordered: bool,
) -> Iterator[Break]:
    """What is wrong where a file states *stated*, and the one before it has the hash *expected*, if that is known."""
    name, before = names[position], names[position - 1] if position else ""
    fault = Fault.CHANGED
    if stated == NOTHING_BEFORE:
        fault, text = Fault.ANEW, f"it states nothing before it, and {before} is before it"
    elif stated in by_hash:
        fault, text = Fault.REORDERED, f"it states {by_hash[stated]} as the file before it ({stated})"
    elif expected is None:
        # Its file is gone, and so is the way to check this.
        return
    elif not position:
        fault, text = Fault.MISSING, f"it is the first, and states a file before it ({stated})"
    else:
        why = "one of the two was changed" if ordered else "one was changed, or one between was removed or overwritten"
        text = f"it states {stated}, and {before} before it is {expected}: {why}"
    yield Break(fault=fault, file=name, position=position, text=text)


def anchored(report: Report, hash_text: str) -> str | None:
    """The file of a hash that somebody else holds, such as a registry; None when it is not here, or not as it was."""
    return next((stored.name for stored in report.store.files.values() if stored.hash == hash_text), None)
