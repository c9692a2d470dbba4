"""Associations without I/O (drivers/dlms/session.py, acse.py, service.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.dlms import acse, axdr, ciphering
from drivers.dlms.ciphering import Undeciphered
from drivers.dlms.service import BadReply, Failure, Refused
from drivers.dlms.session import Security, Session, State
from gateway.errors import MeterProtocolError
from tests.dlms_line import ENERGY, INITIATED, SECURE, VALUE, aare
from tests.dlms_telegrams import KEYS, TITLE


def sealed(apdu: bytes, counter: int, tag: int) -> bytes:
    return ciphering.build_specific(ciphering.seal(apdu, KEYS, TITLE, counter, 0x30), tag)


def opened(security: Security | None = None) -> Session:
    """A session whose association is open."""
    session = Session(security or Security())
    session.open()
    answer = aare() if not security else aare(initiate=sealed(INITIATED, 0, 0x28), title=TITLE)
    assert session.take(answer) is None
    assert session.state is State.OPEN
    return session


class TestSession:
    """Associations."""

    def test_a_golden_request(self) -> None:
        """Without security; no field more than needed."""
        golden = "601da109060760857405080101be10040e01000000065f1f04004012157fff"
        assert Session(Security()).open().hex() == golden

    def test_a_password_stands_in_the_request(self) -> None:
        """Low-level security."""
        request = Session(Security(mechanism=acse.LOW, password=b"12345678")).open()
        assert bytes.fromhex("8a0207808b0760857405080201ac0a80083132333435363738") in request

    def test_a_value_is_read(self) -> None:
        """GET and its response; the invoke ids go up."""
        session = opened()
        assert session.get([ENERGY]).hex() == "c001c100030100010800ff0200"
        assert session.take(bytes.fromhex("c401c100") + VALUE) is None
        assert session.values[0] == axdr.parse(VALUE)
        assert session.get([ENERGY])[2] == 0xC2

    def test_several_values_come_in_order(self) -> None:
        """Some refused."""
        session = opened()
        session.get([ENERGY, ENERGY])
        session.take(bytes.fromhex("c403c1020103 00") + VALUE)
        assert session.values == (Failure(code=3), axdr.parse(VALUE))
        assert str(session.values[0]) == "read or write denied"

    @given(st.integers(1, 9))
    def test_blocks_are_put_together(self, size: int) -> None:
        """Of any size."""
        session = opened()
        session.get([ENERGY])
        parts = [VALUE[at : at + size] for at in range(0, len(VALUE), size)]
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            answer = bytes([0xC4, 2, 0xC1, last]) + number.to_bytes(4, "big") + b"\x00" + bytes([len(part)]) + part
            asked = session.take(answer)
            assert asked == (None if last else bytes.fromhex("c002c1") + number.to_bytes(4, "big"))
        assert session.values == (axdr.parse(VALUE),)

    def test_a_list_may_come_in_blocks(self) -> None:
        """Its count and results are put together first."""
        session = opened()
        session.get([ENERGY, ENERGY])
        data = b"\x02\x00" + VALUE + b"\x01\x03"
        assert session.take(bytes.fromhex("c402c1 00 00000001 00 03") + data[:3]) is not None
        assert session.take(bytes.fromhex("c402c1 01 00000002 00 06") + data[3:]) is None
        assert session.values == (axdr.parse(VALUE), Failure(code=3))

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            ("c402c101000000020001ff", "block 2 came instead of 1"),
            ("c402c1010000000101 0f", "broke the block transfer off: long get aborted"),
            ("c401c1000600001267ff", "bytes follow"),
            ("c403c10000", "0 values came; 1 were asked for|bytes follow"),
            ("c401c102", "no result begins with 02"),
            ("c501c100", "begins with 0xc5"),
            ("d80101", "service not allowed, operation not possible"),
            ("0e010600", "confirmed-service-error"),
        ],
    )
    def test_what_is_no_reply_is_refused(self, answer: str, error: str) -> None:
        """And named."""
        session = opened()
        session.get([ENERGY])
        with pytest.raises(MeterProtocolError, match=error):
            session.take(bytes.fromhex(answer))

    @given(st.binary(max_size=60))
    def test_any_reply_is_taken_or_refused(self, answer: bytes) -> None:
        """In each state, with errors that the gateway knows."""
        for session, asked in ((Session(Security()), Session.open), (opened(SECURE), None), (opened(), None)):
            if asked is None:
                session.get([ENERGY])
            else:
                asked(session)
            try:
                session.is_stale(answer)
                session.take(answer)
            except MeterProtocolError:
                continue

    def test_a_refused_association_says_what_to_check(self) -> None:
        """A wrong password, mostly."""
        session = Session(Security(mechanism=acse.LOW, password=b"wrong"))
        session.open()
        with pytest.raises(Refused, match="authentication failure; check the authentication, the password") as caught:
            session.take(aare(result=1, diagnostic=13))
        assert caught.value.code == 13
        assert session.state is State.CLOSED

    def test_a_late_reply_is_stale(self) -> None:
        """By its invoke id; an AARE outside of an opening."""
        session = opened()
        session.get([ENERGY])
        session.get([ENERGY])
        assert session.is_stale(bytes.fromhex("c401c100") + VALUE)
        assert not session.is_stale(bytes.fromhex("c401c200") + VALUE)
        assert session.is_stale(aare())


class TestCiphered:
    """Suite 0."""

    def test_a_reply_is_opened(self) -> None:
        """glo-get-response, and general-glo too."""
        session = opened(SECURE)
        session.get([ENERGY])
        session.take(sealed(bytes.fromhex("c401c100") + VALUE, 1, 0xCC))
        assert session.values == (axdr.parse(VALUE),)
        session.get([ENERGY])
        general = ciphering.seal(bytes.fromhex("c401c200") + VALUE, KEYS, TITLE, 2, 0x30)
        session.take(ciphering.build_general(general))
        assert session.counter == 4

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (sealed(bytes.fromhex("c401c100") + VALUE, 0, 0xCC), "did not rise above 0: an old reply"),
            (bytes.fromhex("c401c100") + VALUE, "answered in the clear"),
            (sealed(bytes.fromhex("c401c100") + VALUE, 1, 0xCC)[:-1] + b"\x00", "not authentic"),
            (
                ciphering.build_specific(ciphering.seal(b"\xc4\x01\xc1\x00" + VALUE, KEYS, TITLE, 1, 0x20), 0xCC),
                "no authentication tag",
            ),
            (
                ciphering.build_general(ciphering.seal(b"\xc4\x01\xc1\x00" + VALUE, KEYS, b"ANOTHER1", 1, 0x30)),
                "answered instead of",
            ),
        ],
    )
    def test_what_is_not_the_meters_is_refused(self, answer: bytes, error: str) -> None:
        """Played again, in the clear, altered, without a tag, another meter's."""
        session = opened(SECURE)
        session.get([ENERGY])
        with pytest.raises((Undeciphered, BadReply), match=error):
            session.take(answer)

    def test_a_counter_is_never_used_twice(self) -> None:
        """Not even by requests that are the same."""
        session = opened(SECURE)
        counters = [session.get([ENERGY])[3:7] for _ in range(20)]
        assert len(set(counters)) == 20
        with pytest.raises(Undeciphered, match="used up"):
            Session(Security(keys=KEYS, title=TITLE, counter=2**32)).open()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"keys": KEYS},
            {"keys": KEYS, "title": TITLE, "mechanism": acse.HLS_GMAC, "challenge": b"short"},
            {"mechanism": acse.HLS_GMAC, "challenge": b"12345678"},
        ],
    )
    def test_settings_that_cannot_work_are_refused(self, wrong: dict[str, object]) -> None:
        """Before anything is sent."""
        with pytest.raises(ValueError, match=r"needs"):
            Security(**wrong)  # type: ignore[arg-type]

    def test_a_proof_that_is_wrong_is_refused(self) -> None:
        """HLS with GMAC: the meter must know the keys, too."""
        session = Session(
            Security(keys=KEYS, title=b"CLIENT\x00\x01", mechanism=acse.HLS_GMAC, challenge=b"0123456789abcdef")
        )
        session.open()
        challenge = b"fedcba9876543210"
        answer = aare(diagnostic=14, initiate=sealed(INITIATED, 0, 0x28), title=TITLE)
        extra = bytes([0xAA, len(challenge) + 2, 0x80, len(challenge)]) + challenge
        at = answer.index(b"\xbe\x23")
        answer = bytes([0x61, answer[1] + len(extra)]) + answer[2:at] + extra + answer[at:]
        assert session.take(answer) is not None
        assert session.state is State.PROVING
        proof = bytes.fromhex("10 00000001") + bytes(12)
        with pytest.raises(Undeciphered, match="not authentic"):
            session.take(sealed(bytes.fromhex("c701c1000100") + axdr.octets(proof), 1, 0xCF))
