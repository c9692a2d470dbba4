"""JSON lines: one object for each entry, as ``log show --json`` prints it, with the log's origin in front.

Entries of every kind are shown; with a meter, only its readings. Values are decimal texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from gateway.show import entry_object
from gateway.views.source import Source


def lines(source: Source) -> Iterator[str]:
    """The lines, each with its newline."""
    for entry in source.entries():
        yield json.dumps({"origin": source.origin} | entry_object(entry, source.view.meter)) + "\n"
