"""Entries behind a gap: followed by their chain alone, and not kept."""

from __future__ import annotations

from gateway.receiver.run import Finding, RefusedError, Run, span


class Loose:
    """The newest unbroken series of entries behind the last hole."""

    def __init__(self) -> None:
        self._first = 0
        self._last_hash = b""
        #: The seq behind the last entry; 0 when there is no hole.
        self.end = 0

    def follow(self, run: Run, size: int, findings: list[Finding]) -> Run | None:
        """Takes entries that chain to nothing held; *size* is how many are. Returns those that are new.

        Raises RefusedError where they would have to chain to what is held, and do not.
        """
        if run.first <= size:
            seq = run.first - 1
            raise RefusedError("fork", seq, f"entry {run.first} follows another entry {seq} than the one held")
        fresh: Run | None = run
        if self._first <= run.first <= self.end:
            fresh = self._go_on(run, findings)
        else:
            start = self.end if size < self.end < run.first else size
            text = f"{span(start, run.first)} {'is' if run.first - start == 1 else 'are'} missing"
            findings.append(Finding(kind="gap", seq=start, to_seq=run.first - 1, text=text))
            self._first = run.first
        if fresh is not None:
            self.end, self._last_hash = fresh.end, fresh.leaves[-1]
            fresh.added, fresh.anchored = len(fresh.entries), False
        return fresh

    def _go_on(self, run: Run, findings: list[Finding]) -> Run | None:
        skip = self.end - run.first
        if skip >= len(run.entries):
            text = f"{span(run.first, run.end)} came again behind a gap, and could not be compared"
            findings.append(Finding(kind="duplicate", seq=run.first, to_seq=run.end - 1, text=text))
            return None
        fresh = run.without(skip)
        if fresh.prev != self._last_hash:
            seq = fresh.first - 1
            text = f"entry {fresh.first} follows another entry {seq} than the one that came before it"
            findings.append(Finding(kind="fork", seq=seq, text=text))
        return fresh

    def close(self, size: int) -> None:
        """The hole is filled once *size* entries are held that reach behind it."""
        if self.end <= size:
            self.end = self._first = 0
