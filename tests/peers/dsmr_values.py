"""Reads telegrams as JSON lines ``[specification, text]``, or ``[specification, frame, key, key]``, all in hex.

Prints what dsmr-parser makes of each: for each code ``[value, unit, milliseconds]``. Only lines of one value are
compared. A specification for encrypted telegrams is used for the plain text in them.
"""

import json
import re
import sys

from dlms_cosem.connection import XDlmsApduFactory
from dsmr_parser import telegram_specifications
from dsmr_parser.parsers import CosemParser, MBusParser, TelegramParser


def milliseconds(moment):
    return None if moment is None else int(moment.timestamp()) * 1000


for line in sys.stdin:
    name, text, *keys = json.loads(line)
    if keys:
        apdu = XDlmsApduFactory.apdu_from_bytes(apdu_bytes=bytes.fromhex(text))
        text = apdu.to_plain_apdu(*[bytes.fromhex(key) for key in keys]).decode("ascii")
    specification = getattr(telegram_specifications, name)
    if specification["checksum_support"]:
        TelegramParser.validate_checksum(text)
    found = {}
    for known in specification["objects"]:
        if not isinstance(known["value_parser"], (CosemParser, MBusParser)):
            continue
        for match in re.findall(known["obis_reference"], text, re.DOTALL | re.MULTILINE):
            parsed = known["value_parser"].parse(match)
            when = milliseconds(parsed.datetime) if hasattr(parsed, "datetime") else None
            value = parsed.value
            if hasattr(value, "timestamp"):
                when, value = milliseconds(value), None
            found[match.partition("(")[0]] = [None if value is None else str(value), parsed.unit, when]
    print(json.dumps(found))
