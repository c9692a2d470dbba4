"""The state file: durable, replaced as a whole, and never a reason not to start."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway import durable
from gateway.errors import UnavailableError
from gateway.state import MAX_BYTES, State


def test_values_survive_a_restart(tmp_path: Path) -> None:
    """What set() returned from is there for the next process, as it was."""
    path = tmp_path / "state.json"
    state = State(path)
    assert state.recovered is None
    state.set("cursors", "a", 1)
    state.set("cursors", "a", 2)
    state.set("cursors", "b", {"deep": [1, None, "ü"]})
    state.set("other", "a", "x")
    state.delete("other", "a")
    again = State(path)
    assert again.recovered is None
    assert again.items("cursors") == {"a": 2, "b": {"deep": [1, None, "ü"]}}
    assert again.get("other", "a") is None
    assert again.get("nowhere", "a") is None


def test_file_is_private_and_alone(tmp_path: Path) -> None:
    """The file is for its owner only, and no temporary stays beside it."""
    State(tmp_path / "state.json").set("t", "k", 1)
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 4096,
        b'{"cursors": {"1": {"key": "a", "value": 1}',
        b"[]",
        b"null",
        b'{"cursors": 1}',
        b'{"cursors": {"1": {"key": 1, "value": 1}}}',
        b'{"cursors": {"x": {"key": "a", "value": 1}}}',
        b'{"cursors": {"\xc2\xb2": {"key": "a", "value": 1}}}',
        b'{"cursors": {"1": {"key": "a"}}}',
        b"\xff\xfe",
        b"[" * 100_000,
        b" " * (MAX_BYTES + 1),
    ],
)
def test_broken_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    """Whatever is in the file: it is kept, said, and the state starts empty and works."""
    path = tmp_path / "state.json"
    path.write_bytes(content)
    state = State(path)
    assert state.recovered is not None
    assert "state.json.broken" in state.recovered
    assert (tmp_path / "state.json.broken").read_bytes() == content
    state.set("t", "k", 1)
    assert State(path).get("t", "k") == 1


def test_second_broken_file_does_not_replace_the_first(tmp_path: Path) -> None:
    """Each broken file is kept."""
    path = tmp_path / "state.json"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        assert State(path).recovered is not None
    assert (tmp_path / "state.json.broken").read_bytes() == b"one"
    assert len(list(tmp_path.glob("state.json.broken*"))) == 2


def test_unreadable_file_starts_empty(tmp_path: Path) -> None:
    """A file that cannot be read at all, here a directory, is said and does not stop the start."""
    path = tmp_path / "state.json"
    path.mkdir()
    state = State(path)
    assert state.recovered is not None
    assert "cannot be read" in state.recovered


def test_full_disk_keeps_the_old_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails leaves file and memory as they were, and says so in one sentence."""
    path = tmp_path / "state.json"
    state = State(path)
    state.set("t", "k", 1)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_all", full)
        with pytest.raises(UnavailableError, match="No space left on device"):
            state.set("t", "k", 2)
        with pytest.raises(UnavailableError):
            state.delete("t", "k")
    assert state.get("t", "k") == State(path).get("t", "k") == 1
    state.set("t", "k", 3)
    assert State(path).get("t", "k") == 3


def test_threads_lose_nothing(tmp_path: Path) -> None:
    """Several outboxes save their cursors at once."""
    state = State(tmp_path / "state.json")

    def work(name: str) -> None:
        for number in range(50):
            state.set("cursors", name, number)

    threads = [threading.Thread(target=work, args=(f"sink-{index}",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert State(tmp_path / "state.json").items("cursors") == {f"sink-{index}": 49 for index in range(4)}


def test_killed_process_leaves_a_whole_file(tmp_path: Path) -> None:
    """SIGKILL at any moment of a stream of writes leaves the old content or the new."""
    path = tmp_path / "state.json"
    program = (
        "import sys; from pathlib import Path; from gateway.state import State\n"
        "state = State(Path(sys.argv[1])); number = state.get('t', 'k') or 0\n"
        "while True:\n    number += 1\n    state.set('t', 'k', number)\n    print(number, flush=True)\n"
    )
    reached = 0
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(20):
            reached = int(process.stdout.readline())
        process.kill()
        rest = process.stdout.read().split()
        process.stdout.close()
        process.wait()
        reached = int(rest[-1]) if rest else reached
        state = State(path)
        assert state.recovered is None
        # One write may have become durable without the line that says so.
        assert state.get("t", "k") - reached in (0, 1)
    assert json.loads(path.read_bytes())
