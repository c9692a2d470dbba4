"""The gateway in a hurry: packs of 512 entries, a round five times a second, and days of ten milliseconds.

``python -m tests.small_packs --config CONFIG run`` is ``meter-gateway`` but for that. Segments are small, so that each
pack sets some free, and the clock counts as synchronised: none of it can be configured.
"""

from __future__ import annotations

import functools
import sys

from gateway import __main__, chores, opening, retention, service
from gateway.clock import SystemClock
from gateway.log.log import open_log

PACK_ENTRIES = 512
_SEGMENT_BYTES = 32 * 1024
_ROUND_S = 0.2
_DAY_MS = 10


def hurry() -> None:
    """Makes this process a hasty one."""
    retention.ROUND_S = _ROUND_S
    retention._DAY_MS = _DAY_MS
    retention._SYNCHRONISED = chores._SYNCHRONISED = SystemClock()().quality
    service.Retention = functools.partial(retention.Retention, pack_entries=PACK_ENTRIES)  # type: ignore[misc]
    opening.open_log = functools.partial(open_log, segment_bytes=_SEGMENT_BYTES)


if __name__ == "__main__":
    hurry()
    sys.exit(__main__.main())
