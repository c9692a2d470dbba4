"""The durable ledger of one account on one chain: what each of its transactions says, and what became of it.

A nonce is used by one transaction only, so whatever is signed under one nonce can be on the chain at most once. A
record is therefore bound to its nonce for ever: all its attempts, the later ones with higher fees, have the same nonce
and say the same; only one of them can be taken. It ends as

==============  ======================================================================================================
``final``       one attempt succeeded and lies deep enough
``failed``      one attempt was reverted by the contract, and lies deep enough; its fee is spent
``superseded``  another transaction has the nonce, so that none of the attempts can ever be taken: somebody else uses
                the key, or an older copy of this board
==============  ======================================================================================================

Records stand in one value of ``gateway.state``, under the account's address; an attempt is durable before it is sent.
The newest ``KEPT`` records that have ended are kept with their bytes, so that they can be sent again should the chain
go back behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gateway.chain.account import Signed
from gateway.chain.transaction import Fees
from gateway.chain.values import Call, Receipt
from gateway.errors import MalformedError

KEPT = 64
#: How often the fees of one record are raised at most.
ATTEMPTS_MAX = 16
FINAL, FAILED, SUPERSEDED = "final", "failed", "superseded"
_TABLE = "transactions"


class LedgerStore(Protocol):
    """Where the ledger lies; ``gateway.state.State`` is one."""

    def get(self, table: str, key: str) -> Any:
        """The value, or None."""

    def set(self, table: str, key: str, value: Any) -> None:
        """On return the value is durable. Blocks. Raises UnavailableError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One signed transaction."""

    signed: Signed
    fees: Fees


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a record has ended."""

    #: ``final``, ``failed`` or ``superseded``.
    kind: str
    #: Of the attempt that was taken; for a superseded one the newest attempt, and a block of -1 without a hash.
    transaction: bytes
    block_number: int
    block_hash: bytes
    gas_used: int
    gas_price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing that is said once, under one nonce."""

    #: The name of the job that wants it, and the key of what it says.
    job: str
    key: str
    nonce: int
    call: Call
    gas: int
    #: Oldest first, never empty.
    attempts: tuple[Attempt, ...]
    outcome: Outcome | None = None

    def ended(self, kind: str, receipt: Receipt) -> Record:
        """The same, ended by *receipt*."""
        outcome = Outcome(
            kind=kind,
            transaction=receipt.transaction,
            block_number=receipt.block_number,
            block_hash=receipt.block_hash,
            gas_used=receipt.gas_used,
            gas_price=receipt.gas_price,
        )
        return replace(self, outcome=outcome)

    def superseded(self) -> Record:
        """The same, which can never be taken."""
        newest = self.attempts[-1].signed.hash
        outcome = Outcome(kind=SUPERSEDED, transaction=newest, block_number=-1, block_hash=b"", gas_used=0, gas_price=0)
        return replace(self, outcome=outcome)


class Ledger:
    """All records of one account. ``put`` and ``revive`` block until the change is durable."""

    def __init__(self, store: LedgerStore, address: str, chain_id: int) -> None:
        """Raises MalformedError where *store* holds something else than a ledger under that name."""
        self._store = store
        self._key = f"{chain_id} {address.lower()}"
        kept = store.get(_TABLE, self._key)
        try:
            self._records = [_record(item) for item in kept or []]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            advice = "move its file in state_dir/chain away: what the chain has is read back from it"
            raise MalformedError(f"the ledger of {address} cannot be read ({error!r}); {advice}") from error

    @property
    def live(self) -> Sequence[Record]:
        """What has not ended, by nonce."""
        return [record for record in self._records if record.outcome is None]

    @property
    def ended(self) -> Sequence[Record]:
        """What has ended and is still kept, by nonce."""
        return [record for record in self._records if record.outcome is not None]

    @property
    def next_nonce(self) -> int | None:
        """The nonce after the highest one that is known; None for an empty ledger."""
        return self._records[-1].nonce + 1 if self._records else None

    def find(self, key: str) -> Record | None:
        """The newest record that says *key* and was not superseded."""
        fitting = (record for record in reversed(self._records) if record.key == key)
        return next((record for record in fitting if record.outcome is None or record.outcome.kind != SUPERSEDED), None)

    def put(self, record: Record) -> None:
        """Enters *record*, in place of the one with the same nonce and key. On return it is durable."""
        others = [kept for kept in self._records if (kept.nonce, kept.key) != (record.nonce, record.key)]
        self._replace([*others, record])

    def revive(self, nonce: int) -> int:
        """What had ended from *nonce* on has not: the chain went back behind it. Returns how many that are."""
        back = [record for record in self.ended if record.nonce >= nonce and record.outcome.kind != SUPERSEDED]  # type: ignore[union-attr]
        if back:
            others = [record for record in self._records if record not in back]
            self._replace([*others, *(replace(record, outcome=None) for record in back)])
        return len(back)

    def forget(self, nonce: int) -> None:
        """Drops what was superseded from *nonce* on: the chain went back, and the nonces are free again."""
        self._replace([record for record in self._records if record.outcome is None or record.nonce < nonce])

    def _replace(self, records: list[Record]) -> None:
        records = sorted(records, key=lambda record: record.nonce)
        ended = [record for record in records if record.outcome is not None]
        surplus = ended[: max(0, len(ended) - KEPT)]
        records = [record for record in records if record not in surplus]
        self._store.set(_TABLE, self._key, list(map(_value, records)))
        self._records = records


def _value(record: Record) -> dict[str, Any]:
    outcome = record.outcome
    return {
        "job": record.job,
        "key": record.key,
        "nonce": record.nonce,
        "to": record.call.to,
        "data": record.call.data.hex(),
        "value": record.call.value,
        "gas": record.gas,
        "attempts": [
            {
                "raw": attempt.signed.raw.hex(),
                "hash": attempt.signed.hash.hex(),
                "fee": attempt.fees.fee_max,
                "priority": attempt.fees.priority_max,
            }
            for attempt in record.attempts
        ],
        "outcome": None
        if outcome is None
        else {
            "kind": outcome.kind,
            "transaction": outcome.transaction.hex(),
            "block": outcome.block_number,
            "block_hash": outcome.block_hash.hex(),
            "gas_used": outcome.gas_used,
            "gas_price": outcome.gas_price,
        },
    }


def _record(item: dict[str, Any]) -> Record:
    outcome = item["outcome"]
    return Record(
        job=item["job"],
        key=item["key"],
        nonce=item["nonce"],
        call=Call(to=item["to"], data=bytes.fromhex(item["data"]), value=item["value"]),
        gas=item["gas"],
        attempts=tuple(map(_attempt, item["attempts"])),
        outcome=None
        if outcome is None
        else Outcome(
            kind=outcome["kind"],
            transaction=bytes.fromhex(outcome["transaction"]),
            block_number=outcome["block"],
            block_hash=bytes.fromhex(outcome["block_hash"]),
            gas_used=outcome["gas_used"],
            gas_price=outcome["gas_price"],
        ),
    )


def _attempt(item: dict[str, Any]) -> Attempt:
    signed = Signed(raw=bytes.fromhex(item["raw"]), hash=bytes.fromhex(item["hash"]))
    return Attempt(signed=signed, fees=Fees(fee_max=item["fee"], priority_max=item["priority"]))
