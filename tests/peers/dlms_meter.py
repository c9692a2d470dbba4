"""A DLMS/COSEM meter made of gurux-dlms, for tests: python dlms_meter.py JSON, with its port on standard output.

JSON: {"framing": "wrapper" or "hdlc", "password": text, "keys": [EK, AK] in hexadecimal or [], "rows": number,
"pdu": longest APDU, "information": longest information of a frame}. It serves one TCP connection at a time until its
standard input closes.

Also {"port": TCP port, "device": true for a pseudo-terminal instead, whose name is on standard output, "servers": HDLC
addresses that are there, "name": logical device name, "scaler": that of the energy, "lists": false for one attribute in
a request, "counters": a file that takes system title and invocation counter of each ciphered APDU; one that did not
rise is not answered, and the public client is told the highest}.

Framing, ciphering, authentication and blocks are the library's. Its server (1.0.203) calls methods of other languages'
editions that this one does not have, so GET, ACTION and SNRM are answered here, with its codecs, and the AARE is made
by dlms-cosem.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import pty
import socket
import sys
import threading
import tty
from pathlib import Path

from dlms_cosem import enumerations
from dlms_cosem.protocol.acse.aare import ApplicationAssociationResponse
from dlms_cosem.protocol.acse.user_information import UserInformation
from gurux_dlms._GXAPDU import _GXAPDU
from gurux_dlms.AesGcmParameter import AesGcmParameter
from gurux_dlms.ConnectionState import ConnectionState
from gurux_dlms.enums import Authentication, DataType, InterfaceType, ObjectType, Security
from gurux_dlms.enums.Command import Command
from gurux_dlms.enums.Conformance import Conformance
from gurux_dlms.enums.ErrorCode import ErrorCode
from gurux_dlms.enums.RequestTypes import RequestTypes
from gurux_dlms.enums.SourceDiagnostic import SourceDiagnostic
from gurux_dlms.enums.Unit import Unit
from gurux_dlms.GXByteBuffer import GXByteBuffer
from gurux_dlms.GXCiphering import GXCiphering
from gurux_dlms.GXDateTime import GXDateTime
from gurux_dlms.GXDLMS import GXDLMS
from gurux_dlms.GXDLMSConnectionEventArgs import GXDLMSConnectionEventArgs
from gurux_dlms.GXDLMSLNParameters import GXDLMSLNParameters
from gurux_dlms.GXSecure import GXSecure
from gurux_dlms.GXServerReply import GXServerReply
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.internal._GXDataInfo import _GXDataInfo
from gurux_dlms.objects import (
    GXDLMSAssociationLogicalName,
    GXDLMSCaptureObject,
    GXDLMSClock,
    GXDLMSData,
    GXDLMSProfileGeneric,
    GXDLMSRegister,
)
from gurux_dlms.secure.GXDLMSSecureServer import GXDLMSSecureServer
from gurux_dlms.ValueEventArgs import ValueEventArgs


def aare(settings, data, result, diagnostic, cipher, error, encrypted) -> None:
    """The library's AARE fails where there is a system title; this one is dlms-cosem's, around gurux's initiate."""
    secured = settings.authentication > Authentication.LOW
    inside = bytes(error.array() if error else _GXAPDU.getUserInformation(settings, cipher))
    answer = ApplicationAssociationResponse(
        result=enumerations.AssociationResult(int(result)),
        result_source_diagnostics=enumerations.AcseServiceUserDiagnostics(int(diagnostic)),
        ciphered=cipher is not None,
        authentication=enumerations.AuthenticationMechanism(int(settings.authentication)) if secured else None,
        system_title=bytes(cipher.systemTitle) if cipher is not None else None,
        authentication_value=bytes(settings.stoCChallenge) if secured else None,
        user_information=UserInformation.from_bytes(bytes([4, len(inside)]) + inside),
    )
    data.set(answer.to_bytes())
    if cipher is not None:
        # The library would use this counter again for its next APDU.
        cipher.invocationCounter = cipher.invocationCounter + 1


def deciphered(settings, data) -> None:
    """The library's own puts the parameters of its decryption in the wrong places."""
    if data.moreData & RequestTypes.FRAME:
        data.data.position -= 1
        return
    cipher = settings.cipher
    data.data.position -= 1
    keys = AesGcmParameter(0, settings.sourceSystemTitle, cipher.blockCipherKey, cipher.authenticationKey)
    plain = GXCiphering.decrypt(settings, keys, data.data)
    data.data.clear()
    data.data.set(plain)
    data.command = Command(data.data.getUInt8())


class Heard:
    """The invocation counters so far; the file outlives this process, as a meter's memory does."""

    path: Path | None = None
    refused = False

    @classmethod
    def highest(cls) -> int:
        lines = cls.path.read_text().splitlines() if cls.path and cls.path.exists() else []
        return max((int(line.split()[1]) for line in lines), default=0)

    @classmethod
    def take(cls, title: bytes, counter: int) -> None:
        if cls.path is None:
            return
        cls.refused = counter <= cls.highest()
        if cls.refused:
            raise ValueError("an old invocation counter")
        with cls.path.open("a") as file:
            file.write(f"{title.hex()} {counter}\n")


original_decrypt = GXCiphering.decrypt.__func__


def decrypt(cls, settings, p, data):
    plain = original_decrypt(cls, settings, p, data)
    Heard.take(bytes(settings.sourceSystemTitle), p.invocationCounter)
    return plain


GXCiphering.decrypt = classmethod(decrypt)
_GXAPDU.generateAARE = aare
GXDLMS.handleGloDedRequest = deciphered
# The accessors that the library's server asks for and its reply lacks.
GXServerReply.getConnectionInfo = lambda self: self.connectionInfo
GXServerReply.setReply = lambda self, value: setattr(self, "reply", value)
ValueEventArgs.isSkipMaxPduSize = True

TITLE = b"GRX\x00\x00\x00\x00\x07"
MOMENT = dt.datetime(2026, 1, 15, 12, 0, 0, tzinfo=dt.UTC)


class Meter(GXDLMSSecureServer):
    """The server with a few objects."""

    def __init__(self, wanted: dict, client: int, server: int) -> None:
        self.is_public = client == 16 and bool(wanted.get("counters"))
        self.server = server
        framing = InterfaceType.WRAPPER if wanted["framing"] == "wrapper" else InterfaceType.HDLC
        super().__init__(True, framing)
        self.wanted = wanted
        self.settings.maxServerPDUSize = wanted.get("pdu", 512)
        self.hdlc = self.settings.hdlc
        self.hdlc.maxInfoTX = self.hdlc.maxInfoRX = wanted.get("information", 128)
        self.hdlc.inactivityTimeout = 0
        if wanted.get("keys") and not self.is_public:
            cipher = self.settings.cipher = self.settings.ciphering
            cipher.systemTitle = TITLE
            cipher.blockCipherKey, cipher.authenticationKey = (bytes.fromhex(key) for key in wanted["keys"])
            cipher.security = Security.AUTHENTICATION_ENCRYPTION
        if not wanted.get("lists", True):
            self.conformance = self.conformance & ~Conformance.MULTIPLE_REFERENCES
        self.rest = GXByteBuffer()
        self.started = False
        self.fill(wanted.get("rows", 3))
        self.initialize()

    def fill(self, rows: int) -> None:
        name = GXDLMSData("0.0.42.0.0.255")
        name.value = self.wanted.get("name", "GRX0000000007")
        if self.wanted.get("servers"):
            name.value = f"GRX{self.server:010}"
        frames = GXDLMSData("0.0.43.1.0.255")
        frames.value = Heard.highest()
        frames.setDataType(2, DataType.UINT32)
        energy = GXDLMSRegister("1.0.1.8.0.255")
        energy.value, energy.scaler, energy.unit = 123456789, self.wanted.get("scaler", 0.1), Unit.ACTIVE_ENERGY
        energy.setDataType(2, DataType.UINT32)
        volts = GXDLMSRegister("1.0.32.7.0.255")
        volts.value, volts.scaler, volts.unit = 2301, 0.1, Unit.VOLTAGE
        volts.setDataType(2, DataType.UINT16)
        clock = GXDLMSClock("0.0.1.0.0.255")
        clock.time = GXDateTime(MOMENT)
        profile = GXDLMSProfileGeneric("1.0.99.1.0.255")
        profile.capturePeriod = 900
        profile.captureObjects.append((clock, GXDLMSCaptureObject(2, 0)))
        profile.captureObjects.append((energy, GXDLMSCaptureObject(2, 0)))
        for row in range(rows):
            moment = MOMENT + dt.timedelta(minutes=15 * row)
            profile.buffer.append([GXDateTime(moment), 1000 + row])
        profile.entriesInUse = profile.profileEntries = rows
        association = GXDLMSAssociationLogicalName("0.0.40.0.0.255")
        items = [frames] if self.is_public else []
        for item in (*items, name, energy, volts, clock, profile, association):
            self.items.append(item)
            association.objectList.append(item)
        self.profile = profile

    def isTarget(self, serverAddress, clientAddress):
        return True

    def onValidateAuthentication(self, authentication, password):
        wanted = "" if self.is_public else self.wanted.get("password", "")
        if wanted and authentication == Authentication.LOW:
            same = bytes(password or b"") == wanted.encode()
            return SourceDiagnostic.NONE if same else SourceDiagnostic.AUTHENTICATION_FAILURE
        if wanted and authentication == Authentication.NONE:
            return SourceDiagnostic.AUTHENTICATION_REQUIRED
        return SourceDiagnostic.NONE

    def onFindObject(self, objectType, sn, ln): ...
    def onPreRead(self, args): ...
    def onGetAttributeAccess(self, arg): ...
    def onGetMethodAccess(self, arg): ...
    def onPreGet(self, args): ...
    def onPostGet(self, args): ...
    def onPostRead(self, args): ...
    def onPreWrite(self, args): ...
    def onPostWrite(self, args): ...
    def onPreAction(self, args): ...
    def onPostAction(self, args): ...
    def onConnected(self, connectionInfo): ...
    def onInvalidConnection(self, connectionInfo): ...
    def onDisconnected(self, connectionInfo): ...

    def handleSnrmRequest(self, data):
        """The library's own fails, too: its settings have no limits of the meter."""
        hdlc, most = self.settings.hdlc, self.wanted.get("information", 128)
        GXDLMS.parseSnrmUaResponse(data, hdlc)
        self.reset(True)
        hdlc.maxInfoTX, hdlc.maxInfoRX = min(hdlc.maxInfoTX, most), min(hdlc.maxInfoRX, most)
        limits = GXByteBuffer()
        for code, value in ((5, hdlc.maxInfoTX), (6, hdlc.maxInfoRX)):
            limits.setUInt8(code)
            GXDLMS.appendHdlcParameter(limits, value)
        for code in (7, 8):
            limits.set(bytes([code, 4, 0, 0, 0, 1]))
        self.replyData.set(bytes([0x81, 0x80, len(limits)]) + limits.array())
        self.settings.connected = ConnectionState.HDLC

    def handleCommand(self, cmd, data, sr):
        """GET and ACTION; the rest is the library's."""
        if cmd == Command.GET_REQUEST and data:
            self.get(data)
        elif cmd == Command.METHOD_REQUEST:
            self.prove(data)
        elif cmd in (Command.GET_REQUEST, Command.NONE) or (cmd == Command.METHOD_REQUEST and self.replyData):
            pass  # the next frame of a long reply
        else:
            return super().handleCommand(cmd, data, sr)
        if self.settings.interfaceType == InterfaceType.WRAPPER:
            return GXDLMS.getWrapperFrame(self.settings, cmd, self.replyData)
        return GXDLMS.getHdlcFrame(self.settings, self.frame(), self.replyData)

    def frame(self) -> int:
        started, self.started = self.started, bool(self.replyData)
        return self.settings.getNextSend(not started)

    def get(self, data: GXByteBuffer) -> None:
        kind, invoke = data.getUInt8(), data.getUInt8()
        self.settings.updateInvokeId(invoke)
        status = 0
        if kind == 1:
            self.settings.resetBlockIndex()
            self.rest = GXByteBuffer()
            status = self.one(data, self.rest)
        elif kind == 2:
            data.getUInt32()
            self.settings.increaseBlockIndex()
        else:
            self.rest = GXByteBuffer()
            count = data.getUInt8()
            self.rest.setUInt8(count)
            for _ in range(count):
                value = GXByteBuffer()
                error = self.one(data, value)
                self.rest.setUInt8(1 if error else 0)
                self.rest.set(bytes([error]) if error else value.array())
            status = 0xFF
        parameters = GXDLMSLNParameters(self.settings, invoke, Command.GET_RESPONSE, kind, None, self.rest, status)
        parameters.multipleBlocks = kind == 2
        GXDLMS.getLNPdu(parameters, self.replyData)

    def one(self, data: GXByteBuffer, out: GXByteBuffer) -> int:
        """Puts one attribute's value into *out*, or gives the error."""
        class_id = data.getUInt16()
        name = bytearray(6)
        data.get(name)
        attribute = data.getUInt8()
        parameters = None
        if data.getUInt8():
            data.getUInt8()
            parameters = _GXCommon.getData(self.settings, data, _GXDataInfo())
        found = self.items.findByLN(ObjectType(class_id), _GXCommon.toLogicalName(name))
        if found is None:
            return ErrorCode.UNDEFINED_OBJECT
        if found is self.profile and attribute == 2:
            first, last = (parameters[0], parameters[1]) if parameters else (1, len(found.buffer))
            rows = found.buffer[first - 1 : last]
            out.setUInt8(DataType.ARRAY)
            _GXCommon.setObjectCount(len(rows), out)
            for moment, value in rows:
                out.set(bytes([DataType.STRUCTURE, 2]))
                _GXCommon.setData(self.settings, out, DataType.OCTET_STRING, moment)
                _GXCommon.setData(self.settings, out, DataType.UINT32, value)
            return 0
        value = found.getValue(self.settings, ValueEventArgs(self, found, attribute, 0, None))
        if isinstance(value, (bytes, bytearray)) and value[:1] in (b"\x01", b"\x02"):
            out.set(value)
        else:
            GXDLMS.appendData(self.settings, found, attribute, out, value)
        return 0

    def prove(self, data: GXByteBuffer) -> None:
        """Takes the client's proof of HLS with GMAC and gives this meter's."""
        settings = self.settings
        data.getUInt8()
        invoke = data.getUInt8()
        data.position = data.position + 9
        given = bytes(_GXCommon.getData(settings, data, _GXDataInfo())) if data.getUInt8() else b""
        counter = int.from_bytes(given[1:5], "big")
        secure = GXSecure.secure
        wanted = secure(settings, settings.cipher, counter, settings.stoCChallenge, settings.sourceSystemTitle)
        out = GXByteBuffer()
        good = bytes(wanted) == given
        if good:
            own = settings.cipher.invocationCounter
            settings.cipher.invocationCounter = own + 1
            proof = secure(settings, settings.cipher, own, settings.ctoSChallenge, settings.cipher.systemTitle)
            out.set(bytes([1, 0]))
            _GXCommon.setData(settings, out, DataType.OCTET_STRING, proof)
            settings.connected |= ConnectionState.DLMS
        else:
            out.setUInt8(0)
        error = 0 if good else ErrorCode.READ_WRITE_DENIED
        parameters = GXDLMSLNParameters(settings, invoke, Command.METHOD_RESPONSE, 1, None, out, error)
        GXDLMS.getLNPdu(parameters, self.replyData)

    def answer(self, data: bytes) -> bytes:
        reply = GXServerReply(data)
        reply.connectionInfo = GXDLMSConnectionEventArgs()
        self.handleRequest(reply)
        return bytes(reply.reply or b"")


def addresses(data: bytes) -> tuple[int, int]:
    """Client and server of a frame; the server's logical address."""
    if data[0] == 0:
        return int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:6], "big")
    end = 3
    while not data[end] & 1:
        end += 1
    logical = data[3] >> 1 if end < 6 else data[3] >> 1 << 7 | data[4] >> 1
    return data[end + 1] >> 1, logical


def serve(listener: socket.socket, wanted: dict) -> None:
    while True:
        connection, _ = listener.accept()
        meter = None
        with connection:
            while data := connection.recv(4096):
                meter = meter or Meter(wanted, *addresses(data))
                Heard.refused = False
                answer = meter.answer(data)
                if Heard.refused:
                    break
                if answer:
                    connection.sendall(answer)


def serve_line(far: int, wanted: dict) -> None:
    """Several meters on one line; who is not there says nothing."""
    meters: dict[int, Meter] = {}
    buffer = b""
    while True:
        buffer += os.read(far, 4096)
        while len(buffer) > 3 and len(buffer) >= (size := ((buffer[1] & 7) << 8 | buffer[2]) + 2):
            frame, buffer = buffer[:size], buffer[size:]
            client, server = addresses(frame)
            if server not in wanted["servers"]:
                continue
            if is_snrm(frame):
                meters[server] = Meter(wanted, client, server)
            Heard.refused = False
            answer = meters[server].answer(frame) if server in meters else b""
            if answer and not Heard.refused:
                os.write(far, answer)


def is_snrm(frame: bytes) -> bool:
    end = 3
    while not frame[end] & 1:
        end += 1
    return frame[end + 2] == 0x93


def main() -> None:
    wanted = json.loads(sys.argv[1])
    Heard.path = Path(wanted["counters"]) if wanted.get("counters") else None
    if wanted.get("device"):
        far, near = pty.openpty()
        tty.setraw(far)
        tty.setraw(near)
        print(os.ttyname(near), flush=True)
        threading.Thread(target=serve_line, args=(far, wanted), daemon=True).start()
        sys.stdin.read()
        os._exit(0)
    with socket.create_server(("127.0.0.1", wanted.get("port", 0))) as listener:
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=serve, args=(listener, wanted), daemon=True).start()
        sys.stdin.read()
        os._exit(0)


if __name__ == "__main__":
    main()
