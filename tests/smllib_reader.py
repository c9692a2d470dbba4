"""Reads a stream of SML with smllib, in the environment of the peers, and prints its telegrams as lines of JSON.

Run as ``python tests/smllib_reader.py < stream``. It knows nothing of the gateway.
"""

import json
import sys

from smllib import SmlStreamReader
from smllib.errors import SmlLibException
from smllib.sml_frame import SmlFrame


def main() -> None:
    reader = SmlStreamReader()
    data = sys.stdin.buffer.read()
    # In pieces: it keeps 50 KiB.
    for at in range(0, len(data), 1000):
        reader.add(data[at : at + 1000])
        while True:
            try:
                frame = reader.get_frame()
                if frame is None:
                    break
            except SmlLibException:
                continue
            print(json.dumps({"raw": frame.msg_ctx.hex(), "entries": entries(frame)}))


def entries(frame: SmlFrame) -> list[list[object]] | None:
    """Name, unit, power of ten and value of each entry; None where smllib refuses the content."""
    try:
        messages = frame.parse_frame()
    except ValueError:
        return None
    return [
        [str(entry.obis), entry.unit, entry.scaler, entry.value]
        for message in messages
        for entry in getattr(message.message_body, "val_list", [])
    ]


if __name__ == "__main__":
    main()
