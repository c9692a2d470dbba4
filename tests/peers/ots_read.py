"""Reads OpenTimestamps files with python-opentimestamps: hex in a JSON list on stdin, a JSON list of what it read.

Of each file: the file's digest, and of every attestation the message that it is about, its tag, its payload or repr,
and the file as the library writes it again. A file that the library refuses is its error's name.
"""

import json
import sys

from opentimestamps.core.notary import UnknownAttestation
from opentimestamps.core.serialize import (
    BytesDeserializationContext,
    BytesSerializationContext,
    DeserializationError,
)
from opentimestamps.core.timestamp import DetachedTimestampFile


def read(data):
    try:
        found = DetachedTimestampFile.deserialize(BytesDeserializationContext(data))
    except (DeserializationError, ValueError) as error:
        return type(error).__name__
    again = BytesSerializationContext()
    found.serialize(again)
    attestations = [
        [message.hex(), seen.TAG.hex(), seen.payload.hex() if type(seen) is UnknownAttestation else repr(seen)]
        for message, seen in found.timestamp.all_attestations()
    ]
    return {"digest": found.file_digest.hex(), "attestations": attestations, "again": again.getbytes().hex()}


print(json.dumps([read(bytes.fromhex(text)) for text in json.load(sys.stdin)]))
