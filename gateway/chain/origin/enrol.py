"""What an asset's manager does so that a gateway may report it to an Origin registry: calls, and their order.

A gateway cannot enrol itself: an asset admin of the registry says whose account is the smart meter of an asset.

=======  ======================================================================  =======================================
release  who must have which role, given by a user admin                         steps of the asset admin
=======  ======================================================================  =======================================
A        the owner is a user with the role asset manager; who enrols, asset      createAsset, initGeneral, initLocation,
         admin                                                                   of a producer initProducingProperties,
                                                                                 setActive
B        the same, by other numbers                                              createAsset; the asset is active
C        the owner and who enrols: device manager                                createDevice
=======  ======================================================================  =======================================

An account serves one asset in each registry; B refuses a second one. Another board takes an asset over by A's
``updateSmartMeter``; B and C have no such call, and enrol it as a new asset.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from gateway.chain import abi
from gateway.chain.origin.calls import Release, Role
from gateway.chain.values import Call, Receipt
from gateway.errors import CallReverted, ConfigError, MalformedError


class RoleA(IntFlag):
    """Release A's roles."""

    TOP_ADMIN = 1
    USER_ADMIN = 2
    ASSET_ADMIN = 4
    AGREEMENT_ADMIN = 8
    ASSET_MANAGER = 16
    TRADER = 32
    MATCHER = 64


class RoleB(IntFlag):
    """Release B's, which are numbered anew."""

    USER_ADMIN = 1
    ASSET_ADMIN = 2
    AGREEMENT_ADMIN = 4
    ASSET_MANAGER = 8
    TRADER = 16
    MATCHER = 32


class AssetType(IntEnum):
    """What release A's producers may be."""

    WIND = 0
    SOLAR = 1
    RUN_RIVER_HYDRO = 2
    BIOMASS_GAS = 3


class Compliance(IntEnum):
    """Of a producer of release A with a registry."""

    NONE = 0
    IREC = 1
    EEC = 2
    TIGR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where an asset of release A is; each text at most 32 bytes of UTF-8."""

    country: str = ""
    region: str = ""
    postcode: str = ""
    city: str = ""
    street: str = ""
    house_number: str = ""
    latitude: str = ""
    longitude: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The asset that shall be enrolled; addresses are ``0x`` and 40 hex digits."""

    release: Release
    role: Role
    #: The registry.
    contract: str
    #: The gateway's account.
    smart_meter: str
    owner: str
    #: Release A only, from here on.
    operational_since_s: int = 0
    capacity_wh: int = 0
    asset_type: AssetType = AssetType.SOLAR
    compliance: Compliance = Compliance.NONE
    location: Location = Location()
    #: Release B only, from here on: who may match, and the hash and place of the properties document.
    matchers: tuple[str, ...] = ()
    document_hash: str = ""
    url: str = ""
    owner_changes_max: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of an enrolment."""

    name: str
    call: Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A step that is on the chain."""

    name: str
    transaction: bytes
    gas_used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """What came of it."""

    asset: int
    wanted: Wanted
    steps: tuple[Done, ...]

    def lines(self) -> list[str]:
        """For people, the line for the config last."""
        wanted = self.wanted
        done = [f"{step.name}: {step.gas_used} gas, transaction 0x{step.transaction.hex()}" for step in self.steps]
        named = f"asset {self.asset} of the {wanted.role} registry {wanted.contract}, smart meter {wanted.smart_meter}"
        config = f'{{release: {wanted.release}, role: {wanted.role}, contract: "{wanted.contract}", asset: {self.asset}'
        return [*done, named, f"origin: [{config}, meter: METER, point: POINT}}]"]


#: Sends a call as an asset admin, and returns once it counts. Raises CallReverted.
Send = Callable[[Call], Awaitable[Receipt]]


def text32(text: str) -> bytes:
    """A text as release A keeps it. Raises ConfigError for one that does not fit."""
    data = text.encode()
    if len(data) > abi.WORD:
        raise ConfigError(f"{text!r} has {len(data)} bytes, and release A has room for {abi.WORD}")
    return data.ljust(abi.WORD, b"\0")


def set_user_a(user: str, texts: Sequence[str]) -> bytes:
    """A's call of a user admin: first name, surname, organisation, street, number, postcode, city, country, state."""
    return abi.encode_call(f"setUser(address{',bytes32' * 9})", [user, *map(text32, texts)])


def set_user_b(user: str, organisation: str) -> bytes:
    """B's."""
    return abi.encode_call("setUser(address,string)", [user, organisation])


def set_roles(user: str, roles: RoleA | RoleB) -> bytes:
    """Of both; the roles are those that the user has from then on."""
    return abi.encode_call("setRoles(address,uint256)", [user, int(roles)])


def full_user(user: str) -> bytes:
    """Asks B's registry of users; for ``read_full_user``."""
    return abi.encode_call("getFullUser(address)", [user])


def read_full_user(answer: bytes) -> tuple[str, RoleB, bool]:
    """Organisation, roles, and whether the user is active. Raises MalformedError."""
    organisation, roles, active = abi.decode(["string", "uint256", "bool"], answer)
    return str(organisation), RoleB(roles), bool(active)


def update_smart_meter(contract: str, asset: int, smart_meter: str) -> Step:
    """A's call by which another account reports an asset: another board, or another key."""
    data = abi.encode_call("updateSmartMeter(uint256,address)", [asset, smart_meter])
    return Step(name="updateSmartMeter", call=Call(to=contract, data=data))


def set_active(contract: str, asset: int, *, active: bool) -> Step:
    """Of A and B."""
    return Step(
        name="setActive", call=Call(to=contract, data=abi.encode_call("setActive(uint256,bool)", [asset, active]))
    )


def first_step(wanted: Wanted) -> Step:
    """The call that makes the asset."""
    values: list[object] = []
    if wanted.release is Release.A:
        name, types = "createAsset", ""
    elif wanted.release is Release.C:
        name, types, values = "createDevice", "address,address", [wanted.smart_meter, wanted.owner]
    else:
        name, types = "createAsset", "address,address,bool,address[],string,string"
        values = [wanted.smart_meter, wanted.owner, True, wanted.matchers, wanted.document_hash, wanted.url]
        if wanted.role is Role.PRODUCING:
            types, values = f"{types},uint256", [*values, wanted.owner_changes_max]
    return Step(name=name, call=Call(to=wanted.contract, data=abi.encode_call(f"{name}({types})", values)))


def created(wanted: Wanted, receipt: Receipt) -> int:
    """The number of the asset that the first step made. Raises MalformedError where the receipt does not tell."""
    name = "LogDeviceCreated" if wanted.release is Release.C else "LogAssetCreated"
    event = abi.topic(f"{name}(address,uint256)")
    for record in receipt.logs:
        if record.address.lower() == wanted.contract.lower() and record.topics[:1] == (event,):
            return int.from_bytes(record.topics[1], "big")
    raise MalformedError(f"{wanted.contract} made no asset in 0x{receipt.transaction.hex()}: is it such a registry?")


def further_steps(wanted: Wanted, asset: int) -> list[Step]:
    """The calls behind the first one."""
    if wanted.release is not Release.A:
        return []
    general = [asset, wanted.smart_meter, wanted.owner, wanted.operational_since_s]
    producing = wanted.role is Role.PRODUCING
    place = wanted.location
    texts = [place.country, place.region, place.postcode, place.city, place.street, place.house_number]
    calls = [
        ("initGeneral", "uint256,address,address,uint256,bool", [*general, False])
        if producing
        else (
            "initGeneral",
            "uint256,address,address,uint256,uint256,bool,bool",
            [*general, wanted.capacity_wh, wanted.capacity_wh > 0, False],
        ),
        (
            "initLocation",
            "uint256" + ",bytes32" * 8,
            [asset, *map(text32, [*texts, place.latitude, place.longitude])],
        ),
    ]
    if producing:
        values = [asset, int(wanted.asset_type), wanted.capacity_wh, int(wanted.compliance), text32(""), text32("")]
        calls.append(("initProducingProperties", "uint256,uint8,uint256,uint8,bytes32,bytes32", values))
    steps = [
        Step(name=name, call=Call(to=wanted.contract, data=abi.encode_call(f"{name}({types})", values)))
        for name, types, values in calls
    ]
    return [*steps, set_active(wanted.contract, asset, active=True)]


def check_complete(wanted: Wanted) -> None:
    """Raises ConfigError for what the registry would never count as complete."""
    if (wanted.release, wanted.role) == (Release.A, Role.PRODUCING) and wanted.capacity_wh <= 0:
        raise ConfigError(f"capacity {wanted.capacity_wh} Wh: a producer of release A is complete only with one")


async def enrol(wanted: Wanted, send: Send) -> Enrolment:
    """Does all of it, one step after the other.

    Raises CallReverted with the step that was refused; what was done before stays done, and *createAsset* makes another
    asset the next time. Raises ConfigError for what can never be complete.
    """
    check_complete(wanted)
    first = first_step(wanted)
    receipt = await _sent(first, send)
    asset, done = created(wanted, receipt), [_done(first, receipt)]
    done += [_done(step, await _sent(step, send)) for step in further_steps(wanted, asset)]
    return Enrolment(asset=asset, wanted=wanted, steps=tuple(done))


async def _sent(step: Step, send: Send) -> Receipt:
    try:
        receipt = await send(step.call)
    except CallReverted as error:
        # Without data, the reason is only what the node calls a revert.
        reason = error.reason if error.data else "no reason given"
        words = f"{step.name} was refused ({reason}): have sender and owner their roles?"
        raise CallReverted(words, reason=error.reason, data=error.data) from error
    if not receipt.succeeded:
        raise CallReverted(f"{step.name} was reverted in block {receipt.block_number}: has the sender its role?")
    return receipt


def _done(step: Step, receipt: Receipt) -> Done:
    return Done(name=step.name, transaction=receipt.transaction, gas_used=receipt.gas_used)
