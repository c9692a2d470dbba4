"""The index of ew-link-bond's chain: the same bytes as Python's pickler, and no pickle but that one is taken."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bond.index import Link, write_index
from gateway.bond.index_reader import IndexCutOff, read_index
from gateway.errors import MalformedError
from tests.parts import ROOT

START = datetime(2019, 4, 11, 12, 0, 0, 123456)  # noqa: DTZ001


def links(count: int, store: str = "store/") -> list[Link]:
    found = []
    for number in range(count):
        time = START + timedelta(minutes=number)
        found.append(Link(file=time.strftime(f"{store}%Y-%m-%d-%H:%M:%S.json"), time=time))
    return found


def ours(chain: list[Link]) -> bytes:
    return b"".join(write_index(reversed(chain)))


@pytest.fixture
def classes(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[Any, Any]]:
    """Makes classes like upstream's, under any module's name, which Python's pickler finds."""

    def make(module: str) -> tuple[Any, Any]:
        made = types.ModuleType(module)
        for place, mark in enumerate(module):
            if mark == ".":
                monkeypatch.setitem(sys.modules, module[:place], types.ModuleType(module[:place]))
        for name in ("ChainFile", "ChainLink"):
            setattr(made, name, type(name, (), {"__module__": module}))
        monkeypatch.setitem(sys.modules, module, made)
        return made.ChainFile, made.ChainLink  # type: ignore[attr-defined]

    return make


def chain_of(made: tuple[Any, Any], chain: list[Link]) -> Any:
    """The linked list that upstream would pickle."""
    file_class, link_class = made
    newest = None
    for link in chain:
        data, one = file_class(), link_class()
        data.file, data.timestamp = link.file, link.time
        one.data, one.last_link = data, newest
        newest = one
    return newest


@pytest.fixture
def deep() -> Iterator[None]:
    """Python's pickler recurses: let it, as far as a test needs."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize(("count", "store"), [(1, "s/"), (2, "s/"), (330, "s" * 250 + "/"), (1500, "ä" * 150 + "/")])
@pytest.mark.usefixtures("deep")
def test_an_index_is_python_s_pickle_byte_for_byte(classes: Callable[..., Any], count: int, store: str) -> None:
    """With frames of 64 KiB, long paths and what is not ASCII; and it is read back, in both protocols."""
    chain = links(count, store)
    newest = chain_of(classes("energyweb.storage"), chain)
    assert ours(chain) == pickle.dumps(newest, protocol=4)
    assert read_index(pickle.dumps(newest, protocol=5)) == read_index(ours(chain)) == chain


def test_an_index_in_other_words_is_read_as_well(classes: Callable[..., Any]) -> None:
    """By the older application's classes, and by the pickler that is written in Python, as PyPy has it."""
    chain = links(7, "/mnt/data/tobalaba/production/")
    newest = chain_of(classes("core.abstract.bond"), chain)
    assert read_index(pickle.dumps(newest, protocol=4)) == chain
    written = io.BytesIO()
    pickle._Pickler(written, protocol=4).dump(newest)  # type: ignore[attr-defined]
    assert read_index(written.getvalue()) == chain


def test_twenty_thousand_links_need_no_stack() -> None:
    """Neither to write nor to read; Python's own reader takes them too."""
    chain = links(20_000)
    data = ours(chain)
    assert read_index(data) == chain
    assert sum(opcode.name == "BUILD" for opcode, _, _ in pickletools.genops(data)) == 40_000


TIMES = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31))  # noqa: DTZ001
PATHS = st.text(st.characters(codec="utf-8"), max_size=300)


@given(st.lists(st.builds(Link, file=PATHS, time=TIMES), min_size=1, max_size=5))
def test_what_is_written_is_read_as_it_was(chain: list[Link]) -> None:
    """Any path, any time."""
    assert read_index(ours(chain)) == chain


def test_an_index_needs_no_frame() -> None:
    """A pickler may leave it out."""
    assert read_index(BARE) == links(2)


def test_a_repeated_hour_is_kept(classes: Callable[..., Any]) -> None:
    """The second of two equal local times, in autumn."""
    chain = [Link(file="f", time=START.replace(fold=1))]
    data = pickle.dumps(chain_of(classes("energyweb.storage"), chain), protocol=4)
    assert ours(chain) == data
    assert read_index(data)[0].time.fold == 1


# What is no index.


class Evil:
    """A pickle of it makes a file when Python reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_a_command_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    """Python's reader does run it."""
    data = pickle.dumps(Evil(tmp_path / "ran"), protocol=protocol)
    with pytest.raises(MalformedError, match=r"refused|protocol"):
        read_index(data)
    assert not (tmp_path / "ran").exists()
    pickle.loads(data)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("where", ["timestamp", "file", "data", "last_link", "extra"])
def test_a_command_hidden_in_a_chain_is_refused_and_not_run(
    classes: Callable[..., Any], tmp_path: Path, where: str
) -> None:
    """In each place of an index that is right otherwise."""
    newest = chain_of(classes("energyweb.storage"), links(3))
    setattr(newest if where in ("data", "last_link", "extra") else newest.last_link.data, where, Evil(tmp_path / "ran"))
    data = pickle.dumps(newest, protocol=4)
    with pytest.raises(MalformedError, match=r"refused: .*at offset [0-9]+"):
        read_index(data)
    assert not (tmp_path / "ran").exists()
    pickle.loads(data)
    assert (tmp_path / "ran").exists()


GOOD = ours(links(2))
#: The same without its frame, whose length would have to fit what is changed.
BARE = GOOD[:2] + GOOD[11:]


def swapped(old: bytes, new: bytes) -> bytes:
    assert old in BARE
    return BARE.replace(old, new, 1)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cut off: it has 0 bytes"),
        (GOOD[:-1], "cut off"),
        (GOOD + b".", "goes on behind its STOP"),
        (b"\x80\x03" + GOOD[2:], "protocol 3; bond writes 4 or 5"),
        (b"\x80\xff", "protocol 255"),
        (b"(I1\n.", "opcode MARK at offset 0, where bond writes PROTO"),
        (b"\x80\x04cos\nsystem\n(S'id'\ntR.", "opcode GLOBAL at offset 2"),
        (b"\x80\x04(S'id'\nios\nsystem\n.", "opcode MARK at offset 2"),
        (b"\x80\x04\x82\x01.", "opcode EXT1 at offset 2"),
        (b"\x80\x04Ppersistent\n.", "opcode PERSID at offset 2"),
        (b"\x80\x04\xfe", "opcode 0xfe at offset 2"),
        (swapped(b"ChainLink", b"ChainFile"), "asks for energyweb.storage.ChainFile, and only core.abstract.bond"),
        (swapped(b"energyweb.storage", b"energyweb.stor.ge"), "asks for energyweb.stor.ge.ChainLink"),
        (swapped(b"\x8c\x08datetime\x94\x8c\x08datetime", b"\x8c\x08builtins\x94\x8c\x08evaluate"), "only datetime"),
        (swapped(b"\x8c\x04data", b"\x8c\x04atad"), "'atad' stands in the place of 'data'"),
        (swapped(b"\x8c\x04file", b"h\x02"), "a class stands in the place of the name 'file'"),
        (swapped(b"h\x02", b"h\x63"), "place 99 of the memo holds no text"),
        (swapped(b"h\x02", b"h\x03"), "place 3 of the memo holds no text"),
        (swapped(b"h\x02", b"j\xff\xff\xff\xff"), "place 4294967295 of the memo"),
        (swapped(b"\x8c\x04data", b"X\xff\xff\xff\xff"), "a text of 4294967295 bytes"),
        (swapped(b"\x8c\x04data", b"\x8d" + b"\xff" * 8), "opcode BINUNICODE8 at offset"),
        (swapped(b"\x8c\x04data", b"\x8c\x04\xff\xfe\xfd\xfc"), "no UTF-8"),
        (swapped(b"C\x0a", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"), "opcode BINBYTES8 at offset"),
        (swapped(b"C\x0a", b"C\x09"), "opcode .* at offset"),
        (swapped(b"\x07\xe3\x04\x0b", b"\x07\xe3\x0d\x0b"), "is no time"),
        (swapped(b"\x07\xe3\x04\x0b", b"\x00\x00\x04\x0b"), "is no time"),
        (swapped(b"R\x94", b"\x81\x94"), "opcode NEWOBJ at offset [0-9]+, where bond writes REDUCE"),
        (swapped(b")\x81", b")R"), "opcode REDUCE at offset [0-9]+, where bond writes NEWOBJ"),
        (GOOD[:3] + b"\xff" * 8 + GOOD[11:], "cut off"),
        (GOOD[:2] + b"\x95" + (len(GOOD) - 11).to_bytes(8, "little") + GOOD[2:], "no frame in a frame"),
        (BARE[:2] + b"(" * 1_000_000, "opcode MARK at offset 2"),
        (swapped(b"N", b"l"), "opcode LIST at offset"),
        (swapped(b"ub.", b"u."), "opcode STOP at offset [0-9]+, where bond writes BUILD"),
        (swapped(b"ub.", b"ubub."), "opcode SETITEMS at offset [0-9]+, where bond writes STOP"),
    ],
    ids=lambda value: repr(value)[-40:],
)
def test_no_other_pickle_is_taken(data: bytes, why: str) -> None:
    """Named by the opcode and its offset; sizes are not believed, and nothing nests."""
    with pytest.raises(MalformedError, match=why):
        read_index(data)


def test_only_a_beginning_counts_as_cut_off() -> None:
    """Bond makes such an index by itself; whatever else is wrong is not its doing."""
    for length in range(len(GOOD)):
        with pytest.raises(IndexCutOff):
            read_index(GOOD[:length])


def test_a_damaged_index_is_refused_or_says_something_else() -> None:
    """Twenty thousand seeded mutations: no other error, and never the same links from other bytes but in a frame."""
    random, whole, refused = Random(331), links(2), 0
    for _ in range(20_000):
        data = bytearray(GOOD)
        for _ in range(random.randint(1, 4)):
            place, change = random.randrange(len(data)), random.randrange(3)
            data[place : place + (change > 0)] = random.randbytes(change < 2)
        try:
            if read_index(bytes(data)) == whole:
                assert data[11:] == GOOD[11:]
        except MalformedError:
            refused += 1
    assert refused > 15_000


READS = """
import sys
from pathlib import Path
from gateway.bond.check import check
from gateway.bond.store import read_store
report = check(read_store(Path(sys.argv[1])))
assert len(report.chains) == 1 and not report.all_breaks, report
assert "pickle" not in sys.modules and "_pickle" not in sys.modules
"""


def test_reading_a_folder_does_not_even_load_python_s_pickle(tmp_path: Path) -> None:
    """What is not there cannot be called."""
    (tmp_path / "origin.pkl").write_bytes(ours(links(1)))
    text = b'{"value": 1, "previous_hash": "0x0", "is_meter_down": false}'
    (tmp_path / "2019-04-11-12:00:00.json").write_bytes(text)
    done = subprocess.run([sys.executable, "-c", READS, str(tmp_path)], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
