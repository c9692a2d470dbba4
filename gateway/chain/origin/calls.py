"""What Energy Web Origin's registries are asked and told: calls, answers and events of releases A, B and C.

Release A: energywebfoundation/ew-origin (solc 0.4). Release B: ew-asset-registry-contracts and
ew-user-registry-contracts (solc 0.5). Release C: energywebfoundation/origin, package device-registry, of December 2019
to March 2020; after it readings left the chain. A reading is the *accumulated* total in Wh.

====  ============================================================  ====================================================
A     ``saveSmartMeterRead(asset, total, down, hash, co2, co2Down)``  of the producing registry
A     ``saveSmartMeterRead(asset, total, hash, down)``                of the consuming one: hash and flag the other way
                                                                      round
B     ``saveSmartMeterRead(asset, total, hash)``                      of both; the hash is a text; the total must rise
C     ``saveSmartMeterRead(device, total, timestamp)``                no hash; the total must rise
====  ============================================================  ====================================================

A keeps whatever total it is given. Of its consuming registry, ``getAssetGeneral`` tells the capacity where that of the
producing one tells the total; the total comes two places later.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.chain import abi
from gateway.chain.values import LogRecord
from gateway.errors import CallReverted, ConfigError, MalformedError


class Release(StrEnum):
    """Of Origin's contracts."""

    A = "a"
    B = "b"
    C = "c"


class Role(StrEnum):
    """What an asset does."""

    PRODUCING = "producing"
    CONSUMING = "consuming"


_SAVE_A_PRODUCING = "saveSmartMeterRead(uint256,uint256,bool,bytes32,uint256,bool)"
_SAVE_A_CONSUMING = "saveSmartMeterRead(uint256,uint256,bytes32,bool)"
_SAVE_B = "saveSmartMeterRead(uint256,uint256,string)"
_SAVE_C = "saveSmartMeterRead(uint256,uint256,uint256)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Co2:
    """Release A's CO2 of a producer."""

    #: Saved since the asset's beginning; accumulated, as the energy is.
    total: int
    #: Nobody could tell how much this reading saved.
    down: bool


def save_a_producing(asset: int, total_wh: int, file_hash: bytes, co2: Co2, *, down: bool) -> bytes:
    """A's call of the producing registry; *file_hash* has 32 bytes."""
    return abi.encode_call(_SAVE_A_PRODUCING, [asset, total_wh, down, file_hash, co2.total, co2.down])


def save_a_consuming(asset: int, total_wh: int, file_hash: bytes, *, down: bool) -> bytes:
    """A's call of the consuming registry."""
    return abi.encode_call(_SAVE_A_CONSUMING, [asset, total_wh, file_hash, down])


def save_b(asset: int, total_wh: int, file_hash: str) -> bytes:
    """B's call of either registry."""
    return abi.encode_call(_SAVE_B, [asset, total_wh, file_hash])


def save_c(device: int, total_wh: int, timestamp_s: int) -> bytes:
    """C's call. Raises ConfigError for the timestamp 0, with which the contract would take the block's own."""
    if timestamp_s <= 0:
        raise ConfigError(f"timestamp {timestamp_s}: a reading has a time after 1970; check the clock")
    return abi.encode_call(_SAVE_C, [device, total_wh, timestamp_s])


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """What a registry holds of an asset, as far as a meter needs it."""

    #: Who may save readings: ``0x`` and 40 hex digits, lower case. None where the answer does not tell.
    smart_meter: str | None
    total_wh: int
    #: None where the release has no such state.
    active: bool | None
    #: A's 32 bytes; None elsewhere.
    file_hash: bytes | None = None
    #: B's text; None elsewhere.
    file_text: str | None = None


_GENERAL = "getAssetGeneral(uint256)"
_GENERAL_ANSWER = {
    Role.PRODUCING: ("address", "address", "uint256", "uint256", "bool", "bytes32"),
    Role.CONSUMING: ("address", "address", "uint256", "uint256", "bool", "uint256", "uint256", "bool", "bytes32"),
}
#: Where the total and the flag stand in the answer.
_GENERAL_PLACES = {Role.PRODUCING: (3, 4), Role.CONSUMING: (5, 7)}


def asset_a(asset: int) -> bytes:
    """Asks A's registry for an asset; for ``read_asset_a``."""
    return abi.encode_call(_GENERAL, [asset])


def read_asset_a(role: Role, answer: bytes) -> Asset:
    """The answer to ``asset_a``. Raises MalformedError."""
    found = abi.decode(_GENERAL_ANSWER[role], answer)
    total, active = _GENERAL_PLACES[role]
    return Asset(smart_meter=found[0], total_wh=found[total], active=found[active], file_hash=found[-1])


def co2_a(asset: int) -> bytes:
    """Asks A's producing registry for what else it knows of an asset; for ``read_co2_a``."""
    return abi.encode_call("getAssetProducingProperties(uint256)", [asset])


def read_co2_a(answer: bytes) -> int:
    """The accumulated CO2 of the answer to ``co2_a``. Raises MalformedError."""
    return int(abi.decode(["uint256"] * 6 + ["bytes32"] * 2, answer)[3])


def asset_b(asset: int) -> bytes:
    """Asks B's registry for the last total and hash; for ``read_asset_b``."""
    return abi.encode_call("getLastMeterReadingAndHash(uint256)", [asset])


def read_asset_b(answer: bytes) -> Asset:
    """The answer to ``asset_b``, which does not tell whose the asset is. Raises MalformedError."""
    total, text = abi.decode(["uint256", "string"], answer)
    return Asset(smart_meter=None, total_wh=total, active=None, file_text=text)


def asset_c(device: int) -> bytes:
    """Asks C's registry for a device; for ``read_asset_c``."""
    return abi.encode_call("getDevice(uint256)", [device])


def read_asset_c(answer: bytes) -> Asset:
    """The answer to ``asset_c``. Raises MalformedError."""
    meter, _, total = abi.decode(["address", "address", "uint256"], answer)
    return Asset(smart_meter=meter, total_wh=total, active=None)


_LOOKUPS = {Role.PRODUCING: "assetProducingRegistry()", Role.CONSUMING: "assetConsumingRegistry()"}


def registry(role: Role) -> bytes:
    """Asks B's AssetContractLookup, or A's CoO, for the registry; for ``read_address``."""
    return abi.encode_call(_LOOKUPS[role], [])


def user_registry() -> bytes:
    """Asks the same for the registry of users."""
    return abi.encode_call("userRegistry()", [])


def read_address(answer: bytes) -> str:
    """The address of an answer, lower case. Raises MalformedError."""
    return str(abi.decode(["address"], answer)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRead:
    """A ``LogNewMeterRead`` event; None is what the release's event does not tell."""

    asset: int
    old_wh: int
    new_wh: int
    file_hash: bytes | None = None
    down: bool | None = None
    old_co2: int | None = None
    co2: Co2 | None = None
    timestamp_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    signature: str
    #: Names of the topics behind the first, and of the words of the data, as ``_meter_read`` knows them.
    topics: tuple[str, ...]
    words: tuple[str, ...]


_A_PRODUCING = _Event(
    signature="LogNewMeterRead(uint256,bytes32,uint256,uint256,bool,uint256,uint256,uint256,bool)",
    topics=("asset", "hash"),
    words=("old", "new", "down", "certificates", "old_co2", "new_co2", "co2_down"),
)
_A_CONSUMING = _Event(
    signature="LogNewMeterRead(uint256,bytes32,uint256,uint256,uint256,bool)",
    topics=("asset", "hash"),
    words=("old", "new", "certificates", "down"),
)
_B = _Event(signature="LogNewMeterRead(uint256,uint256,uint256)", topics=("asset",), words=("old", "new"))
_C = _Event(
    signature="LogNewMeterRead(uint256,uint256,uint256,uint256)",
    topics=("asset",),
    words=("old", "new", "timestamp"),
)
_EVENTS = {
    (Release.A, Role.PRODUCING): _A_PRODUCING,
    (Release.A, Role.CONSUMING): _A_CONSUMING,
    (Release.B, Role.PRODUCING): _B,
    (Release.B, Role.CONSUMING): _B,
    (Release.C, Role.PRODUCING): _C,
    (Release.C, Role.CONSUMING): _C,
}


def topics_of(release: Release, role: Role, asset: int) -> tuple[bytes, bytes]:
    """The first two topics of the asset's ``LogNewMeterRead`` events."""
    return abi.topic(_EVENTS[release, role].signature), asset.to_bytes(abi.WORD, "big")


def read_event(release: Release, role: Role, record: LogRecord) -> MeterRead:
    """The event that *record* is. Raises MalformedError for another one."""
    event = _EVENTS[release, role]
    topics = record.topics
    if len(topics) != 1 + len(event.topics) or topics[0] != abi.topic(event.signature):
        raise MalformedError(f"an event of {record.address} that is no {event.signature}")
    types = ["bool" if word.endswith("down") else "uint256" for word in event.words]
    found = dict(zip(event.words, abi.decode(types, record.data), strict=True))
    told_co2 = "new_co2" in found
    return MeterRead(
        asset=int.from_bytes(topics[1], "big"),
        old_wh=found["old"],
        new_wh=found["new"],
        file_hash=topics[2] if "hash" in event.topics else None,
        down=found.get("down"),
        old_co2=found.get("old_co2"),
        co2=Co2(total=found["new_co2"], down=found["co2_down"]) if told_co2 else None,
        timestamp_s=found.get("timestamp"),
    )


class Remedy(StrEnum):
    """Who must act when a registry has refused a reading."""

    #: The asset's manager: nothing helps before the enrolment is right.
    ENROL = "enrol"
    #: Nobody: it may be taken later.
    WAIT = "wait"
    #: We: what the contract holds is not what we thought.
    READ_AGAIN = "read-again"


#: What the registries say: the words, who must act, and what it means.
_REFUSALS = (
    ("wrong sender", Remedy.ENROL, "another account is the asset's smart meter; updateSmartMeter makes it this one"),
    ("not active", Remedy.ENROL, "the asset is not active; setActive by an asset admin makes it so"),
    ("meterread too low", Remedy.READ_AGAIN, "the contract holds this total already, or a higher one"),
    ("meter read too low", Remedy.READ_AGAIN, "the contract holds this total already, or a higher one"),
    ("timestamp cannot be higher", Remedy.WAIT, "the board's clock is more than a minute ahead of the chain's"),
)


def refusal(error: CallReverted) -> tuple[Remedy, str]:
    """Who must act when a reading was refused, and what it means. A gives no reasons: there it is the enrolment."""
    # Without data, the reason is only what the node calls a revert.
    reason = error.reason if error.data else ""
    for words, remedy, meaning in _REFUSALS:
        if words in reason:
            return remedy, meaning
    if reason:
        return Remedy.WAIT, f"the contract says {reason[:200]!r}"
    return Remedy.ENROL, "no reason given: the asset is not there, not active, or has another account as smart meter"
