"""The kinds of value that are particular to ``chains``: addresses, amounts, numbers of blocks."""

from __future__ import annotations

import re

from gateway.config import kinds
from gateway.config.section import Kind, Refused, seconds, text, whole
from gateway.config.text import Scalar

_YEAR_MS = 365 * kinds.DAY_MS


def _address(value: str) -> str | None:
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", value):
        return None
    # Imported late: a config without chains needs no Keccak.
    from gateway.signing.evm import checksummed

    digits = value[2:]
    if digits not in (digits.lower(), digits.upper()) and checksummed(digits.lower()) != value:
        raise Refused("the upper and lower case of this address do not fit (EIP-55): a digit is wrong; copy it again")
    return value.lower()


def _object_id(value: str) -> bytes | None:
    return bytes.fromhex(value[2:]) if re.fullmatch(r"0x[0-9a-fA-F]{64}", value) else None


def _endpoint(value: str) -> str | None:
    if value.startswith(("credential:", "file:")):
        return value
    return kinds.HTTP.parse(Scalar(line=1, column=1, text=value, plain=False))


def _amount(wanted: str, example: str, decimals: int, most: int) -> Kind[int]:
    """A plain decimal number; the value is in units of 10^-*decimals*, exactly."""

    def parse(value: Scalar) -> int | None:
        match = re.fullmatch(rf"(0|[1-9][0-9]{{0,11}})(?:\.([0-9]{{1,{decimals}}}))?", value.text)
        if not match:
            return None
        number = int(match[1]) * 10**decimals + int((match[2] or "0").ljust(decimals, "0"))
        return number if number <= most else None

    return Kind(wanted=wanted, example=example, parse=parse, filler=0)


def _co2(value: str) -> tuple[str, str] | None:
    meter, _, point = value.partition(" ")
    return (meter, point) if meter and point and " " not in point else None


ADDRESS = text("an address, 0x and 40 hex digits", '"0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"', _address, "")
OBJECT_ID = text("an object's id, 0x and 64 hex digits", f'"0x{"0" * 62}2a"', _object_id, b"")
ENDPOINT = text(
    "a URL https://HOST[:PORT][/PATH], or credential:NAME or file:PATH that holds one",
    '"https://rpc.energyweb.org"',
    _endpoint,
    "",
)
CHAIN_ID = whole(1, 2**53, 246)
CONFIRMATIONS = whole(1, 1000, 12)
RPC_MAX = 8
AGREE = whole(1, RPC_MAX, 2)
BLOCK = whole(0, 2**53, 31000000)
WATT_HOURS = whole(0, 2**63, 4711000)
ASSET = whole(0, 2**53, 7)
FEE = _amount("gwei, a number from 0 to 1000000", "100", 9, 10**15)
COINS = _amount("coins, a number from 0 to 1000000", "0.05", 18, 10**24)
EVERY = seconds(1_000, _YEAR_MS, "3600")
CO2 = text("METER POINT of a carbon source", '"grid co2_intensity"', _co2, ("", ""))
