"""What nodes mean by their errors: why a transaction was not taken, why a call reverted, that a range is too wide.

JSON-RPC has no codes for most of this, so the words decide. They are those of anvil, ganache, hardhat, go-ethereum,
Nethermind (both the names it used, such as ``OldNonce``, and the words since) and OpenEthereum.

A revert's data (docs.soliditylang.org, "Error handling") is ``Error(string)``, ``Panic(uint256)``, an error of the
contract's own, or nothing. Nodes send it as the error's ``data``: as hex, as hex behind some words, or within objects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.chain import abi
from gateway.chain.rpc import RpcRefused
from gateway.errors import CallReverted, ChainUnavailable, MalformedError, TransactionRefused

#: Kind → what nodes say; the first that fits counts.
_KINDS: dict[str, str] = {
    "known": r"already known|known transaction|already imported|alreadyknown",
    "replacement-underpriced": r"replace|same nonce in the queue|ownnoncealreadyused",
    "nonce-too-low": r"nonce (is )?too low|oldnonce|nonce has already been used",
    "nonce-gap": r"nonce (is )?too (high|far|distant)|noncegap|noncetoofarinfuture|future nonce|gapped",
    "no-funds": r"insufficient *(funds|balance)|enough funds|exceeds (account )?balance",
    "underpriced": r"underpriced|less than (the )?block('s)? base ?fee|fee ?too ?low|gas price (is )?(too low|below)"
    r"|does not satisfy your node's minimal|too many transactions in the queue|cannot be lower than .*base fee",
    "wrong-chain": r"chain ?id|invalid sender|replay.protected|invalid signature v",
    "gas-limit": r"gas limit|intrinsic ?gas|gas (is )?too (low|high)|exceeds (current |block )?gas|beyond limit"
    r"|floor data",
}
#: The values of ``TransactionRefused.kind``. Of "known" none is raised: it is what was wanted.
REFUSALS = (*_KINDS, "other")
_REVERTED = re.compile(
    r"revert|vm exec|vm exception|evm error|invalid opcode|bad ?instruction|bad ?jump|invalid jump|out ?of ?gas"
    r"|gas required exceeds|stack (under|over)flow",
    re.IGNORECASE,
)
#: EIP-1474 and OpenEthereum: execution failed.
_REVERT_CODES = (3, -32015)
_WIDE = re.compile(r"range|result|logs|size|too (many|large|big)|limited to|timeout|timed out|max", re.IGNORECASE)
_BUSY = re.compile(r"\brate|too many requests|request count|quota|capacity|per second|credits", re.IGNORECASE)
_HEX_AT_END = re.compile(r"0x((?:[0-9a-fA-F]{2})*)$")
_DATA_KEYS = ("data", "result", "return", "output")
_DEPTH_MAX = 4
_ERROR, _PANIC = bytes.fromhex("08c379a0"), bytes.fromhex("4e487b71")
_PANICS = {
    0x01: "an assertion failed",
    0x11: "a number left its range",
    0x12: "a division by zero",
    0x21: "a value that its enum does not have",
    0x22: "stored bytes that are encoded wrongly",
    0x31: "something taken from an empty array",
    0x32: "an index beyond the end of an array",
    0x41: "too much memory asked for",
    0x51: "a function that was never set called",
}


class LogsRefused(ChainUnavailable):
    """These blocks have more events than the node, or we, want in one answer: ask for fewer blocks at a time."""


def refusal_kind(text: str) -> str:
    """Why a transaction was not taken: one of ``REFUSALS``."""
    return next((kind for kind, words in _KINDS.items() if re.search(words, text, re.IGNORECASE)), "other")


def refused(error: RpcRefused) -> TransactionRefused:
    """What to raise for the error that a node answered a transaction with."""
    return TransactionRefused(str(error), kind=refusal_kind(error.text))


def is_busy(error: RpcRefused) -> bool:
    """Whether the node only wants to be asked less often."""
    return bool(_BUSY.search(error.text))


def is_too_wide(error: RpcRefused) -> bool:
    """Whether the node wants to be asked for fewer blocks of events at a time."""
    return not is_busy(error) and bool(_WIDE.search(error.text))


def reverted(error: RpcRefused, to: str | None) -> CallReverted | None:
    """What to raise where the call to *to* failed in the chain's machine; None where the node has another trouble."""
    if error.code not in _REVERT_CODES and not _REVERTED.search(error.text):
        return None
    data = _revert_data(error.data) or b""
    reason = revert_reason(data) or error.text
    subject = f"the contract {to}" if to is not None else "the new contract's constructor"
    return CallReverted(f"{subject} refused the call: {reason}", reason=reason, data=data)


def revert_reason(data: bytes) -> str:
    """The words of what a contract gave back when it reverted; empty where there are none."""
    try:
        if data[:4] == _ERROR:
            text: str = abi.decode(["string"], data[4:])[0]
            return "".join(mark if mark.isprintable() else " " for mark in text)[:200]
        if data[:4] == _PANIC:
            code: int = abi.decode(["uint256"], data[4:])[0]
            return f"{_PANICS.get(code, 'a panic')} (panic {code:#04x})"
    except MalformedError:
        return f"bytes that are no error: 0x{data[:36].hex()}"
    return f"error 0x{data[:4].hex()} of its own" if len(data) >= 4 else ""


def _revert_data(value: object, depth: int = 0) -> bytes | None:
    """The first hex in an error's ``data``, or in the objects within it."""
    if isinstance(value, str):
        found = _HEX_AT_END.search(value)
        return bytes.fromhex(found[1]) if found else None
    if not isinstance(value, Mapping) or depth > _DEPTH_MAX:
        return None
    inner = [value[key] for key in _DATA_KEYS if key in value]
    inner += [one for one in value.values() if isinstance(one, Mapping)]
    return next((data for one in inner if (data := _revert_data(one, depth + 1)) is not None), None)
