"""The ledger of transactions and the fees that are offered: pure, with the real state file underneath."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chain.account import Signed
from gateway.chain.fees import coins, gwei, offer, raised
from gateway.chain.ledger import FAILED, FINAL, KEPT, Attempt, Ledger, Record
from gateway.chain.transaction import Fees
from gateway.chain.values import Call, FeeHint, Receipt
from gateway.errors import MalformedError, UnavailableError
from gateway.state import State

ADDRESS = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
GWEI = 10**9


def record(nonce: int, key: str = "") -> Record:
    signed = Signed(raw=b"\x02raw%d" % nonce, hash=nonce.to_bytes(32, "big"))
    fees = Fees(fee_max=3 * GWEI, priority_max=None if nonce % 2 else GWEI)
    call = Call(to=ADDRESS.lower() if nonce % 3 else None, data=b"\x01\x02", value=nonce)
    attempt = Attempt(signed=signed, fees=fees)
    return Record(job="anchor", key=key or f"k{nonce}", nonce=nonce, call=call, gas=40_000, attempts=(attempt,))


def receipt(nonce: int, *, succeeded: bool = True) -> Receipt:
    return Receipt(
        transaction=nonce.to_bytes(32, "big"),
        block_number=100 + nonce,
        block_hash=b"b" * 32,
        succeeded=succeeded,
        gas_used=24_000,
        gas_price=2 * GWEI,
        contract=None,
        logs=(),
    )


def ledger(folder: Path, chain_id: int = 246) -> Ledger:
    return Ledger(State(folder / "chain.json"), ADDRESS, chain_id)


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    """Every field, of both kinds of transaction, ended or not; in the order of the nonces."""
    first = ledger(tmp_path)
    ended = record(1).ended(FINAL, receipt(1))
    for one in (record(3), ended, record(2).ended(FAILED, receipt(2, succeeded=False)), record(0).superseded()):
        first.put(one)
    again = ledger(tmp_path)
    assert [one.nonce for one in (*again.ended, *again.live)] == [0, 1, 2, 3]
    assert again.find("k1") == ended
    assert list(again.live) == [record(3)]
    assert again.next_nonce == 4


def test_one_account_has_a_ledger_on_each_chain(tmp_path: Path) -> None:
    """The nonces of one chain say nothing of another's."""
    ledger(tmp_path).put(record(7))
    assert ledger(tmp_path, 73799).next_nonce is None
    assert ledger(tmp_path).next_nonce == 8


def test_a_record_is_replaced_under_its_own_nonce(tmp_path: Path) -> None:
    """A second attempt does not make a second record."""
    book, one = ledger(tmp_path), record(4)
    book.put(one)
    book.put(replace(one, attempts=one.attempts * 2))
    assert [len(kept.attempts) for kept in ledger(tmp_path).live] == [2]


def test_a_superseded_key_may_be_said_again(tmp_path: Path) -> None:
    """Its nonce is gone, so none of its attempts can be taken any more."""
    book = ledger(tmp_path)
    book.put(record(1, "k").superseded())
    assert book.find("k") is None
    book.put(record(2, "k"))
    assert book.find("k") == record(2, "k")


def test_the_newest_that_ended_are_kept_and_all_that_is_under_way(tmp_path: Path) -> None:
    """The file stays small for ever."""
    book = ledger(tmp_path)
    book.put(record(0))
    for nonce in range(1, KEPT + 11):
        book.put(record(nonce).ended(FINAL, receipt(nonce)))
    again = ledger(tmp_path)
    assert [one.nonce for one in again.live] == [0]
    assert [one.nonce for one in again.ended] == list(range(11, KEPT + 11))


def test_a_chain_that_went_back_revives_what_had_ended(tmp_path: Path) -> None:
    """All but what was superseded, and with the same bytes, so that it is taken once."""
    book = ledger(tmp_path)
    for nonce in range(4):
        book.put(record(nonce).ended(FINAL, receipt(nonce)))
    book.put(record(4).superseded())
    assert book.revive(2) == 2
    again = ledger(tmp_path)
    assert list(again.live) == [record(2), record(3)]
    assert [one.nonce for one in again.ended] == [0, 1, 4]
    assert book.revive(9) == 0
    book.forget(4)
    assert ledger(tmp_path).next_nonce == 4


def test_one_nonce_may_have_what_was_superseded_and_what_came_instead(tmp_path: Path) -> None:
    """Both are kept; what is under way stays when the nonces are free again."""
    book = ledger(tmp_path)
    book.put(record(4, "a").superseded())
    book.put(record(4, "b"))
    assert [one.key for one in (*book.ended, *book.live)] == ["a", "b"]
    book.forget(3)
    assert [one.key for one in (*ledger(tmp_path).ended, *ledger(tmp_path).live)] == ["b"]


def test_what_was_said_last_is_found(tmp_path: Path) -> None:
    """A key that failed and was said again."""
    book = ledger(tmp_path)
    book.put(record(1, "k").ended(FAILED, receipt(1, succeeded=False)))
    book.put(record(2, "k"))
    assert book.find("k") == record(2, "k")


def test_what_could_not_be_written_is_not_there(tmp_path: Path) -> None:
    """A disk that takes nothing: what is in memory is what a restart would find."""
    book = ledger(tmp_path)
    book.put(record(1))

    class Full(State):
        def set(self, table: str, key: str, value: object) -> None:
            raise UnavailableError("the disk is full")

    book._store = Full(tmp_path / "chain.json")
    for change in (lambda: book.put(record(2)), lambda: book.put(record(1).ended(FINAL, receipt(1)))):
        with pytest.raises(UnavailableError):
            change()
        assert list(book.live) == list(ledger(tmp_path).live) == [record(1)]


@pytest.mark.parametrize("value", [[{"job": "x"}], [[]], "text", [{"nonce": 1}]])
def test_a_ledger_that_is_none_is_refused(tmp_path: Path, value: object) -> None:
    """What cannot be read is no reason to begin at nonce 0 without a word."""
    State(tmp_path / "chain.json").set("transactions", f"246 {ADDRESS.lower()}", value)
    with pytest.raises(MalformedError, match="cannot be read"):
        ledger(tmp_path)


def hint(base: int | None, priority: int = GWEI) -> FeeHint:
    return FeeHint(base_fee=base, priority_fee=priority, gas_price=(base or 0) + priority)


def test_the_offer_is_enough_for_a_rising_chain_and_never_above_the_cap() -> None:
    """Twice the base fee and what the miner gets; a chain without EIP-1559 has a gas price."""
    assert offer(hint(7 * GWEI), 100 * GWEI) == Fees(fee_max=15 * GWEI, priority_max=GWEI)
    assert offer(hint(7 * GWEI), 10 * GWEI) == Fees(fee_max=10 * GWEI, priority_max=GWEI)
    assert offer(hint(7 * GWEI), 8 * GWEI) == Fees(fee_max=8 * GWEI, priority_max=GWEI)
    assert offer(hint(7 * GWEI), 8 * GWEI - 1) is None
    assert offer(hint(None, 5 * GWEI), 5 * GWEI) == Fees(fee_max=5 * GWEI, priority_max=None)
    assert offer(hint(None, 5 * GWEI), 4 * GWEI) is None


@given(
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.none() | st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(1, 10**13),
)
def test_a_raised_offer_is_an_eighth_higher_or_none(
    fee: int, priority: int, base: int | None, wanted: int, cap: int
) -> None:
    """Both fees, as nodes ask for a replacement; within the cap, and the priority within the fee."""
    legacy = base is None
    before = Fees(fee_max=fee + priority, priority_max=None if legacy else priority)
    after = raised(before, hint(base, wanted), cap)
    if after is None:
        assert before.fee_max + before.fee_max // 8 + 1 > cap or max(priority + priority // 8 + 1, wanted) > cap
        return
    assert after.fee_max * 8 > before.fee_max * 9
    assert after.fee_max <= cap
    assert (after.priority_max is None) == legacy
    # And no less than what the chain asks now, as far as the cap goes.
    assert after.fee_max >= min(cap, wanted if base is None else 2 * base + wanted)
    assert legacy or (after.priority_max or 0) >= wanted
    if after.priority_max is not None:
        assert after.priority_max * 8 > priority * 9
        assert after.priority_max <= after.fee_max


def test_amounts_are_told_exactly() -> None:
    """People compare them with what a wallet says."""
    assert gwei(1_500_000_000) == "1.5 gwei"
    assert gwei(7) == "0.000000007 gwei"
    assert coins(10**18 + 1) == "1.000000000000000001"
    assert coins(0) == "0"
