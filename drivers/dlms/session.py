"""An association with a meter as a client has it, without any I/O: APDUs out, APDUs in.

    closed --AARQ--> opening --AARE--> open --RLRQ--> closing --RLRE--> closed
                                |
                                +-- AARE "authentication required" --> proving --action response--> open

Security: none, a password (low-level security), or HLS with GMAC (mechanism 5), in which each side proves that it
knows both keys by the tag over the other's challenge. With keys, every APDU is ciphered and authenticated (control
byte 0x30), and one from the meter whose counter did not rise is refused: it is an old one, played again.

The invocation counter must never be used twice with one key, across restarts too. The caller gives the first one and
may keep ``counter`` when it is done; seconds since some year serve as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from drivers.dlms import acse, axdr, ciphering, service
from drivers.dlms.apdu import Attribute
from drivers.dlms.ciphering import Keys, Undeciphered
from drivers.dlms.service import BadReply, Failure, Refused, ResultBlock, Wanted

#: The association object of the association that one is in, and its method that takes the proof.
ASSOCIATION = Attribute(class_id=15, name=bytes.fromhex("0000280000ff"), attribute=1)
_PROTECTED = ciphering.AUTHENTICATED | ciphering.ENCRYPTED
#: A reply is at most so long, in all its blocks together.
REPLY_MAX = 4_000_000
PDU_MAX = 0x7FFF


class State(Enum):
    """Where the association is."""

    CLOSED = "closed"
    OPENING = "opening"
    PROVING = "proving"
    OPEN = "open"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """How an association is secured."""

    #: acse.NONE, LOW or HLS_GMAC.
    mechanism: int = acse.NONE
    password: bytes = field(default=b"", repr=False)
    #: Unicast and authentication key, for ciphered APDUs; empty for clear ones.
    keys: Keys = field(default_factory=Keys)
    #: System title of this client, 8 bytes.
    title: bytes = b""
    #: System title of the meter, where its AARE does not tell.
    meter_title: bytes = b""
    #: This client's challenge, 8 to 64 random bytes; needed for HLS_GMAC.
    challenge: bytes = field(default=b"", repr=False)
    #: First invocation counter, and the one behind the last that may be used.
    counter: int = 0
    counter_end: int = 1 << 32

    def __post_init__(self) -> None:
        ciphered = bool(self.keys.unicast)
        if ciphered and (len(self.title) != 8 or not self.keys.authentication):
            raise ValueError("a ciphered association needs a system title of 8 bytes and both keys")
        if self.mechanism == acse.HLS_GMAC and not (ciphered and 8 <= len(self.challenge) <= 64):
            raise ValueError("HLS with GMAC needs keys and a challenge of 8 to 64 bytes")


class Session:
    """One association. A method that begins an exchange gives the APDU to send; ``take`` gives what follows."""

    def __init__(self, security: Security) -> None:
        self._security = security
        self.state = State.CLOSED
        #: The next invocation counter to be used.
        self.counter = security.counter
        self._meter_title = security.meter_title
        self._heard = -1
        self._invoke_id = 0
        self._blocks = bytearray()
        self._block = 0
        self._wanted = 0
        #: What the exchange that ended last brought.
        self.values: tuple[axdr.Datum | Failure, ...] = ()
        #: What the meter agreed to; None until an association was open, and stays when it is not any more.
        self.agreed: acse.Agreed | None = None
        self._proposed: acse.Agreed | None = None

    def open(self) -> bytes:
        """Begins the association."""
        security = self._security
        initiate = acse.initiate_request(PDU_MAX)
        secret = security.challenge if security.mechanism == acse.HLS_GMAC else security.password
        self.state, self._heard, self._meter_title = State.OPENING, -1, security.meter_title
        return acse.request(
            ciphered=self._is_ciphered,
            mechanism=security.mechanism,
            title=security.title,
            secret=secret,
            initiate=self._seal(initiate),
        )

    def get(self, wanted: Sequence[Wanted]) -> bytes:
        """Begins to read attributes, one or more; ``values`` holds them when ``take`` gives None."""
        self._blocks, self._block, self._wanted = bytearray(), 0, len(wanted)
        return self._seal(service.get(self._next_id(), wanted))

    def close(self) -> bytes:
        """Ends the association."""
        self.state = State.CLOSING
        return acse.release(self._seal(acse.initiate_request(PDU_MAX)) if self._is_ciphered else b"")

    def is_stale(self, apdu: bytes) -> bool:
        """Whether a reply is one to an earlier request, which came late."""
        if apdu[:1] == bytes([acse.AARE]):
            return self.state is not State.OPENING
        if self.state in (State.OPENING, State.CLOSING):
            return apdu[:1] not in (bytes([acse.RLRE]), bytes([service.SERVICE_ERROR]), bytes([service.EXCEPTION]))
        try:
            found = service.invoke_id(self._unsealed(apdu)[0])
        except (Undeciphered, axdr.Malformed):
            return False
        return found not in (-1, self._invoke_id)

    def take(self, apdu: bytes) -> bytes | None:
        """The next APDU to send after the meter's reply; None when the exchange is complete.

        Raises Refused when the meter refuses, BadReply, axdr.Malformed or Undeciphered when the reply is none.
        """
        if self.state is State.OPENING:
            return self._opened(apdu)
        if self.state is State.CLOSING:
            self.state = State.CLOSED
            return None
        plain = self._open(apdu)
        if self.state is State.PROVING:
            self._proved(plain)
            return None
        found = service.parse_get(plain)
        if isinstance(found, ResultBlock):
            return self._next_block(found)
        self._finish(found.values)
        return None

    def _next_id(self) -> int:
        self._invoke_id = (self._invoke_id + 1) & 0x0F
        return self._invoke_id

    @property
    def _is_ciphered(self) -> bool:
        return bool(self._security.keys.unicast)

    def _seal(self, apdu: bytes) -> bytes:
        if not self._is_ciphered:
            return apdu
        security = self._security
        sealed = ciphering.seal(apdu, security.keys, security.title, self._next_counter(), _PROTECTED)
        return ciphering.build_specific(sealed, ciphering.GLO[apdu[0]])

    def _next_counter(self) -> int:
        """One that was never used; it is used up even if what it is for is not sent."""
        if self.counter > 0xFFFFFFFF:
            raise Undeciphered("the invocation counter is used up; the meter needs new keys")
        if self.counter >= self._security.counter_end:
            raise Undeciphered("the invocation counters of this session are used up; read less at a time")
        self.counter += 1
        return self.counter - 1

    def _unsealed(self, apdu: bytes) -> tuple[bytes, int]:
        """What is in a reply, and its counter; -1 for one in the clear."""
        if apdu[:1] in (bytes([service.EXCEPTION]), bytes([service.SERVICE_ERROR])) or not self._is_ciphered:
            return apdu, -1
        if apdu[:1] in (bytes([ciphering.GENERAL_GLO]), bytes([ciphering.GENERAL_DED])):
            sealed = ciphering.parse_general(apdu)
        elif apdu[:1] and apdu[0] in ciphering.GLO.values():
            sealed = ciphering.parse_specific(apdu)
        else:
            raise BadReply(f"the meter answered in the clear (0x{apdu[:1].hex()}) where ciphered was agreed")
        if sealed.title and self._meter_title and sealed.title != self._meter_title:
            raise BadReply(f"system title {sealed.title.hex()} answered instead of {self._meter_title.hex()}")
        opened = ciphering.open_(sealed, self._security.keys, self._meter_title)
        if not opened.authentic:
            raise Undeciphered("the meter's reply has no authentication tag")
        return opened.apdu, sealed.counter

    def _open(self, apdu: bytes) -> bytes:
        plain, counter = self._unsealed(apdu)
        if counter != -1:
            if counter <= self._heard:
                raise Undeciphered(f"the meter's counter {counter} did not rise above {self._heard}: an old reply")
            self._heard = counter
        return plain

    def _opened(self, apdu: bytes) -> bytes | None:
        service_error = apdu[:1] in (bytes([service.EXCEPTION]), bytes([service.SERVICE_ERROR]))
        if service_error:
            service.check(apdu, acse.AARE)
        accepted = acse.parse_aare(apdu)
        self._meter_title = accepted.title or self._meter_title
        is_pending = accepted.diagnostic == acse.AUTHENTICATION_REQUIRED and self._security.mechanism == acse.HLS_GMAC
        if accepted.result != 0 or (accepted.diagnostic != 0 and not is_pending):
            self.state = State.CLOSED
            raise Refused(
                f"the meter refuses the association: {accepted.reason}; check the authentication, the password or "
                "the keys, and the client address",
                code=accepted.diagnostic or 250,
            )
        self._proposed = acse.parse_initiate(self._open(accepted.initiate))
        if self._security.mechanism != acse.HLS_GMAC:
            self.state, self.agreed = State.OPEN, self._proposed
            return None
        if not accepted.challenge or accepted.challenge == self._security.challenge:
            raise BadReply("the meter sends no challenge of its own")
        self.state = State.PROVING
        proof = self._proof(accepted.challenge)
        return self._seal(service.action(self._next_id(), ASSOCIATION, axdr.octets(proof)))

    def _proof(self, challenge: bytes) -> bytes:
        """Control byte, counter, and the tag over the meter's challenge."""
        security = self._security
        counter = self._next_counter()
        sealed = ciphering.seal(challenge, security.keys, security.title, counter, ciphering.AUTHENTICATED)
        return bytes([sealed.control]) + sealed.counter.to_bytes(4, "big") + sealed.tag

    def _proved(self, apdu: bytes) -> None:
        """Checks the meter's proof over this client's challenge."""
        returned = service.parse_action(apdu)
        proof = returned.octets if returned is not None else b""
        if len(proof) != 5 + ciphering.TAG_SIZE or proof[0] != ciphering.AUTHENTICATED:
            raise BadReply(f"the meter proves nothing: {proof.hex()}")
        text = self._security.challenge + proof[5:]
        counter = int.from_bytes(proof[1:5], "big")
        sealed = ciphering.Sealed(title=self._meter_title, control=proof[0], counter=counter, text=text)
        ciphering.open_(sealed, self._security.keys)
        self.state, self.agreed = State.OPEN, self._proposed

    def _next_block(self, block: ResultBlock) -> bytes | None:
        if block.number != self._block + 1:
            raise BadReply(f"block {block.number} came instead of {self._block + 1}")
        self._block = block.number
        self._blocks += block.data
        if len(self._blocks) > REPLY_MAX:
            raise BadReply(f"a reply of more than {REPLY_MAX} bytes")
        if not block.last:
            return self._seal(service.get_next(self._invoke_id, block.number))
        data = bytes(self._blocks)
        if self._wanted == 1:
            self._finish((axdr.parse(data),))
            return None
        count, at = axdr.read_length(data, 0)
        values, stop = service.read_results(data, at, min(count, self._wanted + 1))
        if stop != len(data):
            raise BadReply(f"offset {stop}: bytes follow the results")
        self._finish(values)
        return None

    def _finish(self, values: tuple[axdr.Datum | Failure, ...]) -> None:
        if len(values) != self._wanted:
            raise BadReply(f"{len(values)} values came; {self._wanted} were asked for")
        self.values = values
