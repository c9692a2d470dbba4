"""What others read in DLMS bytes: one JSON request per line on standard input, one JSON answer per line.

{"do": "data", "hex": …}                     → gurux's and dlms-cosem's values of A-XDR data
{"do": "frames", "hex": …, "keys": [EK, AK]} → gurux's values and time of pushed HDLC frames
{"do": "open", "hex": …, "keys": [EK, AK]}   → dlms-cosem's plain text of a general-glo-ciphering APDU
{"do": "seal", "hex": …, "keys": [EK, AK], "title": …, "counter": …, "control": …} → its cipher text
{"do": "han", "hex": …}                      → amshan's dictionary of an HDLC frame
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import sys

from dlms_cosem.protocol.xdlms.general_global_cipher import GeneralGlobalCipher
from dlms_cosem.security import SecurityControlField, encrypt
from dlms_cosem.utils import parse_as_dlms_data
from gurux_dlms.enums import InterfaceType
from gurux_dlms.GXByteBuffer import GXByteBuffer
from gurux_dlms.GXDateTime import GXDateTime
from gurux_dlms.GXReplyData import GXReplyData
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.internal._GXDataInfo import _GXDataInfo
from gurux_dlms.secure import GXDLMSSecureClient
from han.autodecoder import AutoDecoder
from han.hdlc import HdlcFrameReader


def plain(value):
    """A value as JSON."""
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, GXDateTime):
        return value.value.timestamp() if value.value else None
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, bool) or value is None or isinstance(value, (str, float)):
        return value
    return int(value)


def data(wanted: dict) -> dict:
    raw = bytes.fromhex(wanted["hex"])
    gurux = _GXCommon.getData(None, GXByteBuffer(raw), _GXDataInfo())
    try:
        cosem = plain(parse_as_dlms_data(raw))
    except NotImplementedError:  # it has no floats, and older versions no visible-string
        cosem = None
    return {"gurux": plain(gurux), "dlms-cosem": cosem}


def frames(wanted: dict) -> dict:
    client = GXDLMSSecureClient(True, 16, 1, 0, None, InterfaceType.HDLC)
    if wanted.get("keys"):
        client.ciphering.blockCipherKey, client.ciphering.authenticationKey = map(bytearray.fromhex, wanted["keys"])
    stream, reply, notify = GXByteBuffer(bytes.fromhex(wanted["hex"])), GXReplyData(), GXReplyData()
    while stream.available():
        before = stream.position
        client.getData(stream, reply, notify)
        if (notify.isComplete() and not notify.isMoreData()) or stream.position == before:
            break
    return {"value": plain(notify.value), "time": plain(notify.time)}


def opened(wanted: dict) -> dict:
    keys = [bytes.fromhex(key) for key in wanted["keys"]]
    return {"hex": GeneralGlobalCipher.from_bytes(bytes.fromhex(wanted["hex"])).to_plain_apdu(*keys).hex()}


def sealed(wanted: dict) -> dict:
    key, authentication = (bytes.fromhex(one) for one in wanted["keys"])
    text = encrypt(
        security_control=SecurityControlField.from_bytes(bytes([wanted["control"]])),
        system_title=bytes.fromhex(wanted["title"]),
        invocation_counter=wanted["counter"],
        key=key,
        auth_key=authentication,
        plain_text=bytes.fromhex(wanted["hex"]),
    )
    return {"hex": bytes(text).hex()}


def han(wanted: dict) -> dict:
    (frame,) = HdlcFrameReader(False).read(bytes.fromhex(wanted["hex"]))
    return {name: plain(value) for name, value in (AutoDecoder().decode_message(frame) or {}).items()}


DO = {"data": data, "frames": frames, "open": opened, "seal": sealed, "han": han}


def main() -> None:
    for line in sys.stdin:
        wanted = json.loads(line)
        # gurux prints what it does.
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                answer = DO[wanted["do"]](wanted)
            except Exception as error:  # noqa: BLE001  (whatever a library raises is its answer)
                answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
