"""The writer under test: ``python -m tests.powercut.workload STATE MARKS SEED STEPS [BUG]``.

It does STEPS steps, drawn from a table with the seed, on the state directory STATE, and writes a marker to MARKS
whenever something is promised or leaves. To put more under test, add a row to ``STEPS``: a weight, and what is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gateway import cursor, durable
from gateway.log import seal
from gateway.log.entry import Kind
from tests.powercut.bugs import plant
from tests.powercut.device import Device

_LIBC = ctypes.CDLL(None, use_errno=True)
#: linux/fs.h: wait for a write-back under way, begin one, wait for it. No flush follows, so nothing is durable by it.
_SYNC_FILE_RANGE_ALL = 7


class Run:
    """One device, which is stopped, killed and started again."""

    def __init__(self, state: Path, marks: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self._busy = bool(seed % 2)
        self.state = state
        self._marks = os.open(marks, os.O_WRONLY | os.O_CLOEXEC)
        self.device: Device

    def tell(self, what: dict[str, Any]) -> None:
        """One marker: on return it stands in the trace, behind all that has reached the disk."""
        # Always at the start: a write across a page boundary would arrive in two parts.
        os.pwrite(self._marks, json.dumps(what).encode(), 0)

    async def start(self) -> None:
        self.device = Device(self.state, self.tell)
        self.device.run()
        await self.device.settled()

    async def work(self, steps: int) -> None:
        """Begins, does so many steps, and stops."""
        steps_of = STEPS if self._busy else {name: step for name, step in STEPS.items() if name not in BUSY}
        names, weights = list(steps_of), [weight for weight, _ in steps_of.values()]
        self.tell({"told": "begin"})
        await self.start()
        chosen = self.rng.choices(names, weights, k=steps)
        # However they fall: no busy run without some packs that go.
        for name in [*chosen, *(["let go"] * 2 if self._busy else [])]:
            await STEPS[name][1](self)
            await self.device.settled()
        await stop(self)
        self.tell({"told": "end"})


async def read(run: Run) -> None:
    """Some readings are appended."""
    for _ in range(run.rng.choice([1, 2, 5, 12, 30])):
        seq = run.device.log.size
        point = [0, seq.to_bytes(4, "big"), seq * 7, -1]
        run.device.writer.append(Kind.READING, [1, [], [point] * run.rng.randint(1, 14)])


async def read_many(run: Run) -> None:
    """A busy time: some packs."""
    for _ in range(8):
        for _ in range(run.rng.randint(60, 120)):
            seq = run.device.log.size
            run.device.writer.append(Kind.READING, [1, [], [[0, seq.to_bytes(4, "big"), seq * 7, -1]]])
        await run.device.writer.commit()
    await run.device.writer.checkpoint()


async def retain(run: Run) -> None:
    """A round of the retention: packs, removes what is packed, says what will go, prunes what was signed away."""
    packs = run.device.log.packs
    packed, pruned = packs.end_seq, packs.minimum_index()
    await run.device.retention.round()
    # Places to cut at: segments have gone, and entries.
    if packs.end_seq > packed:
        run.tell({"told": "packed"})
    if packs.minimum_index() > pruned:
        run.tell({"told": "pruned"})


async def let_go(run: Run) -> None:
    """All that it takes for the oldest three packs to go: the far side has everything, and says so."""
    await read_many(run)
    await run.device.settled()
    while run.device.shore.waiting:
        await confirm(run)
        await run.device.settled()
    # The second round must wait for the signature. The oldest pack has the first entry, which stays.
    for step in (retain, retain, commit, sign) * 3:
        await step(run)
    await retain(run)


async def kill_in_background(run: Run) -> None:
    """The work in the background dies, before or after a file has its name, and then the gateway."""
    what = run.rng.choice(["_read_back", "sync_directory"])
    where, parent = (seal if what == "_read_back" else durable), os.getpid()
    real = getattr(where, what)

    def dies(*args: Any, **more: Any) -> None:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        real(*args, **more)

    setattr(where, what, dies)
    await retain(run)
    setattr(where, what, real)
    await kill(run)


async def alarm(run: Run) -> None:
    """An event is appended and committed at once."""
    run.device.log.event("test", 2, "lab", f"after {run.device.log.size}")
    await run.device.writer.commit()


async def commit(run: Run) -> None:
    """All is made durable, and the next segment is prepared."""
    await run.device.writer.commit()


async def sign(run: Run) -> None:
    """What is durable is signed, and the checkpoint is stored and published."""
    await run.device.writer.checkpoint()


async def confirm(run: Run) -> None:
    """The far side confirms some of what was sent; the cursor moves and is saved."""
    run.device.shore.confirm(run.rng.randint(1, 4))


async def write_back(run: Run) -> None:
    """The kernel writes pages to the disk on its own account, as it may at any time."""
    for path in run.state.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            _LIBC.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), _SYNC_FILE_RANGE_ALL)
            os.close(fd)


async def stop(run: Run) -> None:
    """A clean stop."""
    await run.device.stop()


async def restart(run: Run) -> None:
    """A clean stop, and a start."""
    await run.device.stop()
    await run.start()


async def kill(run: Run) -> None:
    """The process dies and is started again; the power stays."""
    await run.device.die()
    await run.start()


class Death(BaseException):
    """The process ends here."""


async def kill_in_sync(run: Run) -> None:
    """The process dies when it has written and not yet synced, in a commit or a checkpoint; the power stays."""
    real = durable.sync_file

    def dies(fd: int) -> None:
        raise Death

    durable.sync_file = dies
    with contextlib.suppress(Death):
        await run.rng.choice([commit, sign])(run)
    durable.sync_file = real
    await kill(run)


#: Name: weight, what is done.
STEPS: dict[str, tuple[int, Callable[[Run], Awaitable[None]]]] = {
    "read": (30, read),
    "read many": (2, read_many),
    "retain": (8, retain),
    "let go": (4, let_go),
    "kill in background": (2, kill_in_background),
    "commit": (20, commit),
    "alarm": (4, alarm),
    "sign": (12, sign),
    "confirm": (14, confirm),
    "write back": (6, write_back),
    "restart": (2, restart),
    "kill": (2, kill),
    "kill in sync": (2, kill_in_sync),
}


#: Steps of busy runs only, those with an odd seed: among their many writes, small faults would seldom be hit.
BUSY = frozenset(("read many", "retain", "let go", "kill in background"))


def main() -> None:
    state, marks, seed, steps, *bug = sys.argv[1:]
    # Each confirmation is saved at once: a cursor that is seldom saved would seldom be wrong.
    cursor.SAVE_ENTRIES = 1
    if bug:
        plant(bug[0])
    asyncio.run(Run(Path(state), Path(marks), int(seed)).work(int(steps)))


if __name__ == "__main__":
    main()
