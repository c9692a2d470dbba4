"""Batches of readings for tests."""

from __future__ import annotations

import random
from collections.abc import Callable

from gateway.chain.notary.batch_fields import BatchReading
from gateway.chain.notary.batches import Batch, make_batch

#: The root that upstream's code gave the three readings of ``golden``.
GOLDEN = bytes.fromhex("b544e48a01367927fec01e38c4a798e831555f32744fc3815636e705c4e47a9a")


def counting() -> Callable[[int], bytes]:
    """A source of 16 bytes of 0, 16 bytes of 1, …"""
    numbers = iter(range(256))
    return lambda count: bytes([next(numbers)]) * count


def golden() -> Batch:
    readings = [(1625000400, 1000), (1625004000, 0), (1625007600, 2500)]
    return make_batch("main", [reading(*stated, seq=7 + at) for at, stated in enumerate(readings)], None, counting())


def reading(timestamp: int, value: int, seq: int) -> BatchReading:
    return BatchReading(timestamp=timestamp, value=value, seq=seq)


def chain(counts: list[int], seed: int = 1) -> list[Batch]:
    """Batches of that many readings, one after the other."""
    source, batches, seq = random.Random(seed), [], 0
    for count in counts:
        readings = [reading(1_700_000_000 + 900 * (seq + at), 125 * (seq + at), seq + at) for at in range(count)]
        batches.append(make_batch("main", readings, batches[-1].link if batches else None, source.randbytes))
        seq += count
    return batches
