"""Transactions: what is signed, what is sent, and by what hash a chain knows them.

==========  ==========================================================================================================
EIP-1559    ``0x02 ‖ rlp([chain, nonce, priority fee, fee, gas, to, value, data, access list])`` is signed; what is sent
            has v, r and s behind (the access list is empty here)
legacy      ``rlp([nonce, gas price, gas, to, value, data, chain, 0, 0])`` is signed (EIP-155); what is sent has
            chain × 2 + 35 + v, r and s in place of the last three
==========  ==========================================================================================================

Both are signed over Keccak-256, and the hash of a transaction is that of what is sent. Without its chain no transaction
is signed here: it could be repeated on another one.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.chain import rlp
from gateway.chain.rlp import Item, number
from gateway.chain.values import Call
from gateway.errors import ConfigError, MalformedError
from gateway.signing.evm import keccak256

_TYPED = b"\x02"
_NUMBER_MAX = 2**256 - 1
_NONCE_MAX = 2**64 - 2  # EIP-2681


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """What is offered for one unit of gas, in wei."""

    #: The most that is paid altogether; the gas price of a legacy transaction.
    fee_max: int
    #: Of that, the most for who makes the block; None makes a legacy transaction.
    priority_max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A transaction before it is signed."""

    chain_id: int
    nonce: int
    fees: Fees
    gas: int
    call: Call

    def __post_init__(self) -> None:
        if not 0 < self.chain_id < 2**63:
            raise ConfigError(f"chain id {self.chain_id}: a transaction without its chain could be repeated elsewhere")
        if not 0 <= self.nonce <= _NONCE_MAX:
            raise ConfigError(f"nonce {self.nonce} is not from 0 to 2^64 - 2")
        priority = self.fees.priority_max
        if not 0 <= (priority or 0) <= self.fees.fee_max <= _NUMBER_MAX:
            raise ConfigError(f"fees: a priority fee of {priority} wei in {self.fees.fee_max} wei is not possible")

    @property
    def unsigned(self) -> bytes:
        """What is signed."""
        if self.fees.priority_max is None:
            return rlp.encode([*self._head(), number(self.chain_id), b"", b""])
        return _TYPED + rlp.encode(self._head())

    def signed(self, signature: bytes) -> bytes:
        """What is sent, with the 65 bytes of its signature: r, s and the recovery id 0 or 1."""
        r, s, parity = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
        if self.fees.priority_max is None:
            return rlp.encode([*self._head(), number(self.chain_id * 2 + 35 + parity), number(r), number(s)])
        return _TYPED + rlp.encode([*self._head(), number(parity), number(r), number(s)])

    @property
    def cost_max(self) -> int:
        """The wei that it can cost."""
        return self.gas * self.fees.fee_max + self.call.value

    def _head(self) -> list[Item]:
        to = b"" if self.call.to is None else bytes.fromhex(self.call.to[2:])
        body: list[Item] = [number(self.gas), to, number(self.call.value), self.call.data]
        if self.fees.priority_max is None:
            return [number(self.nonce), number(self.fees.fee_max), *body]
        fees: list[Item] = [number(self.fees.priority_max), number(self.fees.fee_max)]
        return [number(self.chain_id), number(self.nonce), *fees, *body, []]


def transaction_hash(raw: bytes) -> bytes:
    """The hash by which a chain knows what was sent."""
    return keccak256(raw)


def nonce_of(raw: bytes) -> int:
    """The nonce of what was sent. Raises MalformedError for what is none of the two kinds."""
    items = rlp.decode(raw.removeprefix(_TYPED))
    place, count = (1, 12) if raw[:1] == _TYPED else (0, 9)
    if isinstance(items, bytes) or len(items) != count:
        raise MalformedError(f"{len(raw)} bytes are no signed transaction of a known kind")
    nonce = items[place]
    if not isinstance(nonce, bytes):
        raise MalformedError("the nonce of a transaction is a list")
    return int.from_bytes(nonce, "big")
