"""``channel follow --json`` as a child process, and what it has said so far."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, Self

from tests.parts import ROOT

DEADLINE_S = 40.0


class FarSide:
    """One process. Use as a context manager: it is killed at the end if it still runs."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "gateway", "channel", "follow", *map(str, arguments), "--json"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)  # type: ignore[call-overload]
        self.objects: list[dict[str, Any]] = []
        self.notices: list[str] = []
        self._news = threading.Condition()
        self._threads = [
            threading.Thread(target=self._read, args=(stream, take), daemon=True)
            for stream, take in ((self.process.stdout, self._object), (self.process.stderr, self.notices.append))
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _object(self, line: str) -> None:
        self.objects.append(json.loads(line))

    def _read(self, stream: Any, take: Callable[[str], None]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    take(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Blocks until *condition*, which is looked at after each line."""
        with self._news:
            met = self._news.wait_for(lambda: condition() or self.process.poll() is not None, DEADLINE_S)
        assert met, f"no {what} within {DEADLINE_S} s: {self}"
        assert condition(), f"ended with {self.process.returncode} before {what}: {self}"

    def verified(self, size: int) -> None:
        """Blocks until *size* entries are verified."""
        self.wait(lambda: any(o.get("verified", -1) >= size for o in self.objects[-3:]), f"verified size {size}")

    def noticed(self, text: str) -> None:
        """Blocks until *text* is said on standard error."""
        self.wait(lambda: any(text in line for line in self.notices), f"notice {text!r}")

    def found(self, kind: str) -> None:
        """Blocks until there is a finding of that kind."""
        self.wait(lambda: kind in self.findings, f"finding {kind}")

    @property
    def findings(self) -> list[str]:
        """The kinds of all findings."""
        return [found["finding"] for found in list(self.objects) if "finding" in found]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """(from, to) of all accepted messages with entries."""
        return [
            (found["from_seq"], found["to_seq"])
            for found in list(self.objects)
            if "size" in found and "done" not in found and found["to_seq"] >= found["from_seq"]
        ]

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        os.kill(self.process.pid, signal.SIGINT)
        return self.end()

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.end()

    def end(self) -> int:
        """Waits for the end; returns the exit code."""
        code = self.process.wait(DEADLINE_S)
        for thread in self._threads:
            thread.join(DEADLINE_S)
        return code

    def __str__(self) -> str:
        return f"said {self.objects[-5:]}, noticed {self.notices[-5:]}"
