"""A process that writes a gateway log until it is stopped or killed, and says on its output what it was told.

Run as ``python -m tests.log_writer STATE COMMITS PER_COMMIT SIGN_EVERY [RETRIES]``. It prints one line, unbuffered,
after each step::

    appended SEQ HASH      the entry was written
    durable SIZE           a commit returned that size
    signed SIZE            a checkpoint of that size is stored
    refused TEXT           the log took no entry, or the disk no commit
    done                   all that was asked for was done; it then waits for its input to be closed
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway.errors import LogUnavailable
from gateway.log.entry import Kind
from tests.log_dir import Station


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def write(station: Station, commits: int, per_commit: int, sign_every: int, retries: int) -> None:
    """Appends and commits; a refusal is told, and tried again so many times."""
    for number in range(1, commits + 1):
        for _ in range(per_commit):
            try:
                seq = station.log.size
                appended = station.log.append(Kind.READING, [1, [], [[0, seq.to_bytes(4, "big"), seq, -1]]])
                say("appended", appended.seq, appended.hash.hex())
            except LogUnavailable as error:
                say("refused", error)
        for _ in range(retries + 1):
            try:
                say("durable", station.log.commit())
                break
            except LogUnavailable as error:
                say("refused", error)
        if sign_every and number % sign_every == 0:
            size = int(station.sign().split(b"\n")[1])
            say("signed", size)


def main() -> None:
    state, commits, per_commit, sign_every, *rest = sys.argv[1:]
    station = Station(Path(state), segment_bytes=64 * 1024)
    station.start()
    say("durable", station.log.durable_size)
    write(station, int(commits), int(per_commit), int(sign_every), int(rest[0]) if rest else 0)
    say("done")
    sys.stdin.read()


if __name__ == "__main__":
    main()
