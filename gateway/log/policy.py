"""What a verifier demands of a checkpoint, in one file: whose log, and which witnesses must have seen it.

A line-based text, that of C2SP tlog-policy with three words of ours (``origin``, ``logs``, ``fresh``). Items are
separated by spaces and tabs; empty lines and lines that begin with ``#`` are ignored. At most 64 KiB::

    origin meters.example.org/roof-7
    log meters.example.org/roof-7+1f0c3a77+AaBb…        a key of the log; one or more, all must have signed …
    logs all                                            … or `any`, or a number of them
    witness utility utility.example/w1+9ad2f3c1+BCdd…   a witness, under a name that is used in this file only
    witness tenant  tenant.example/w+0b1c2d3e+BEef…
    group both all utility tenant                       `all`, `any` or a number of the members, named before
    quorum both                                         a witness, a group, or `none`; needed, exactly once
    fresh 86400                                         seconds; older cosignatures are as good as none

``origin`` is left out where it is the name of the first log key. An epoch of that log is accepted as well. Two lines
for one public key, and one name in two groups, are refused: nobody may count twice. A URL behind a key, which C2SP
allows, is ignored. Where C2SP takes one log's signature of several, we demand all, since ours are keys of one log.

``gateway.log.witnessing`` says how it is judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ConfigError, MalformedError
from gateway.log.cosignature import WitnessKey
from gateway.log.lines import split_lines
from gateway.log.note import of_origin
from gateway.log.vkey import VerifierKey, is_key_name

MAX_POLICY = 65_536
MAX_FRESH_S = 10 * 366 * 86_400
NONE = "none"
UNSEEN = -1
_MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """*needed* of the members make the group."""

    needed: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy file's content."""

    origin: str
    keys: tuple[VerifierKey, ...]
    #: How many of the keys must have signed; None for all.
    key_quorum: int | None
    witnesses: Mapping[str, WitnessKey]
    groups: Mapping[str, Group]
    #: Name of a witness or group; None where no witness is demanded.
    quorum: str | None
    fresh_s: int | None

    def level(self, values: Mapping[str, int], name: str | None = None) -> int:
        """The largest value that enough witnesses reach; -1 for none. *values* are by witness."""
        name = name or self.quorum or NONE
        group = self.groups.get(name)
        if group is None:
            return values.get(name, UNSEEN)
        return sorted((self.level(values, member) for member in group.members), reverse=True)[group.needed - 1]


def load_policy(path: Path) -> Policy:
    """The policy in a file. Raises ConfigError, which names every faulty line."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_POLICY + 1)
    except OSError as error:
        raise ConfigError(f"policy {path}: {error.strerror}; name a policy file (docs/witness.md shows one)") from error
    return parse_policy(data, str(path))


def parse_policy(data: bytes, name: str) -> Policy:
    """The policy in *data*; *name* is how errors call it. Raises ConfigError, which names every faulty line."""
    return _Reader(name).read(data)


class _Fault(Exception):  # noqa: N818  (a line's fault, turned into a message with its number)
    """What is wrong with a line and what to do about it."""


class _Reader:
    """Reads one policy line by line; all faults are told together."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._faults: list[str] = []
        self._origin = ""
        self._keys: list[VerifierKey] = []
        self._needed = "all"
        self._witnesses: dict[str, WitnessKey] = {}
        self._groups: dict[str, Group] = {}
        self._members: set[str] = set()
        self._quorum: str | None = None
        self._fresh_s: int | None = None
        self._once: set[str] = set()

    def read(self, data: bytes) -> Policy:
        """The policy. Raises ConfigError."""
        words = {"origin": self._read_origin, "log": self._read_log, "logs": self._read_logs}
        words |= {"witness": self._read_witness, "group": self._read_group, "quorum": self._read_quorum}
        words["fresh"] = self._read_fresh
        for number, (word, *items) in split_lines(data, self._name, MAX_POLICY):
            try:
                _expect(word in words, f"unknown word {word[:40]!r}; known: {', '.join(words)}")
                words[word](items)
            except (_Fault, MalformedError) as fault:
                self._faults.append(f"{self._name}:{number}: {fault}")
        return self._finish()

    def _finish(self) -> Policy:
        origin = self._origin or (self._keys[0].name if self._keys else "")
        if not self._faults:
            self._faults += [f"{self._name}: {fault}" for fault in self._missing(origin)]
        if self._faults:
            raise ConfigError("\n".join(self._faults[:_MAX_PROBLEMS]))
        needed = None if self._needed == "all" else 1 if self._needed == "any" else int(self._needed)
        return Policy(
            origin=origin,
            keys=tuple(self._keys),
            key_quorum=needed,
            witnesses=self._witnesses,
            groups=self._groups,
            quorum=None if self._quorum == NONE else self._quorum,
            fresh_s=self._fresh_s,
        )

    def _missing(self, origin: str) -> list[str]:
        """What the lines lack when taken together."""
        found = [
            f"the log key {key.name} is not named for the origin {origin}; give the log's own key, or correct origin"
            for key in self._keys
            if not of_origin(origin, key.name)
        ]
        if not self._keys:
            found.append("no log line; add log VKEY (key show prints it)")
        if self._needed.isdecimal() and not 1 <= int(self._needed) <= len(self._keys):
            found.append(f"logs {self._needed}, but there are {len(self._keys)} log keys; take all or a number of them")
        if self._quorum is None:
            found.append("no quorum line; add quorum NAME, or quorum none where no witness is demanded")
        if self._fresh_s is not None and self._quorum == NONE:
            found.append("fresh demands news from witnesses, and quorum none demands no witness; remove one of them")
        return found

    def _read_origin(self, items: list[str]) -> None:
        self._one("origin", items, "origin meters.example.org/roof-7")
        if not is_key_name(items[0]):
            raise _Fault(f"origin {items[0][:80]!r} cannot name a log; take the log's origin line")
        self._origin = items[0]

    def _read_log(self, items: list[str]) -> None:
        _expect(1 <= len(items) <= 2, "write log VKEY")
        key = VerifierKey.parse(items[0])
        _expect(
            all(key.public_key != other.public_key for other in self._keys),
            "this public key is in a log line already; remove one of them",
        )
        self._keys.append(key)

    def _read_logs(self, items: list[str]) -> None:
        self._one("logs", items, "logs all")
        self._needed = _threshold(items[0])

    def _read_witness(self, items: list[str]) -> None:
        _expect(2 <= len(items) <= 3, "write witness NAME VKEY")
        name, key = items[0], WitnessKey.parse(items[1])
        self._new_name(name)
        _expect(
            all(key.data != other.data for other in self._witnesses.values()),
            "this public key is another witness's already; nobody may count twice",
        )
        _expect(
            all(key.data != log.public_key.data for log in self._keys),
            "this public key is the log's own; a log cannot be its witness",
        )
        self._witnesses[name] = key

    def _read_group(self, items: list[str]) -> None:
        _expect(len(items) >= 3, "write group NAME all MEMBER…, with any or a number in place of all")
        name, needed, *members = items
        self._new_name(name)
        for member in members:
            self._require_known(member)
            _expect(member not in self._members, f"{member} is in a group already; nobody may count twice")
            self._members.add(member)
        self._groups[name] = Group(needed=_count(needed, len(members)), members=tuple(members))

    def _read_quorum(self, items: list[str]) -> None:
        self._one("quorum", items, "quorum NAME")
        if items[0] != NONE:
            self._require_known(items[0])
        self._quorum = items[0]

    def _read_fresh(self, items: list[str]) -> None:
        self._one("fresh", items, "fresh 86400")
        good = items[0].isascii() and items[0].isdecimal() and len(items[0]) < 12
        _expect(
            good and 1 <= int(items[0]) <= MAX_FRESH_S,
            f"found {items[0][:40]}; wanted whole seconds from 1 to {MAX_FRESH_S}",
        )
        self._fresh_s = int(items[0])

    def _one(self, word: str, items: Sequence[str], example: str) -> None:
        _expect(len(items) == 1, f"write {example}")
        _expect(word not in self._once, f"a second {word} line; remove one of them")
        self._once.add(word)

    def _new_name(self, name: str) -> None:
        _expect(name != NONE, "none is no name: it stands for no witness; take another one")
        taken = name in self._witnesses or name in self._groups
        _expect(not taken, f"{name} is a witness or group already; each needs its own name")

    def _require_known(self, name: str) -> None:
        known = [*self._witnesses, *self._groups]
        _expect(name in known, f"{name[:80]} is not named before this line; known: {', '.join(known) or 'nobody'}")


def _expect(good: bool, otherwise: str) -> None:  # noqa: FBT001  (reads like an assertion)
    if not good:
        raise _Fault(otherwise)


def _threshold(text: str) -> str:
    """``all``, ``any`` or a number, as it stands."""
    number = text.isascii() and text.isdecimal() and len(text) < 4 and text[0] != "0"
    _expect(text in ("all", "any") or number, f"found {text[:40]}; wanted all, any or a number from 1")
    return text


def _count(text: str, members: int) -> int:
    """How many of the *members* the threshold *text* asks for."""
    threshold = _threshold(text)
    needed = members if threshold == "all" else 1 if threshold == "any" else int(threshold)
    _expect(needed <= members, f"{needed} of {members} members cannot be asked for; name more, or ask for fewer")
    return needed
