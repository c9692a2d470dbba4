"""The registries of Energy Web Origin, each release with its own rules, behind one form that the job knows.

=======  =========================  =======================  ==========================================================
release  an outage                  a total that stood still  the hash that goes with a total
=======  =========================  =======================  ==========================================================
A        the last total again, and  is told: a sign of life  native: leaf hash of the entry that the transaction
         the flag                                            *before* told of, 32 zero bytes where there was none;
                                                             bond: ``Qm…`` of the file that ew-link-bond would have
                                                             written then, in ASCII, zero bytes behind; ``0x0`` at first
B        stays off the chain        is not sent              the CIDv1 (raw) of the bytes of that entry; "" at first
C        stays off the chain        is not sent              none; the time of the reading in seconds
=======  =========================  =======================  ==========================================================

The hash of each transaction so names what the one before told of: a reading, or in A the gap entry or the reading
without a value that stands for an outage. Where nobody knows that any more (the contract was written to by somebody
else, or the state was lost), the hash says "none", and claims nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from gateway.bond.record import NOTHING_BEFORE, as_bytes32, consumed_file, file_hash, produced_file
from gateway.chain.client import ChainClient
from gateway.chain.origin.calls import (
    Asset,
    Co2,
    Release,
    Role,
    asset_a,
    asset_b,
    asset_c,
    co2_a,
    read_address,
    read_asset_a,
    read_asset_b,
    read_asset_c,
    read_co2_a,
    registry,
    save_a_consuming,
    save_a_producing,
    save_b,
    save_c,
)
from gateway.chain.origin.memory import Saying
from gateway.chain.values import Call
from gateway.errors import CallReverted, ConfigError, MalformedError
from gateway.log.cid import cid_v1_raw
from gateway.log.tree import leaf_hash

NO_ADDRESS = "0x" + "00" * 20
#: How far before the block a reading's time may lie, by the rule of C.
AHEAD_S_MAX = 60
NATIVE, BOND = "native", "bond"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the registry holds of the asset now."""

    #: The registry's address.
    contract: str
    total_wh: int
    #: As ``Saying.hash``.
    hash: str
    #: Release A's CO2; None where there is none.
    co2: int | None = None
    #: Time of the newest block in unix seconds; 0 where nobody needs it.
    time_s: int = 0
    #: Why nothing can be told, in words; empty while something can.
    trouble: str = ""


class Registry(Protocol):
    """One asset in one registry."""

    #: The same total may be told again: so an outage can be told, by the last total and a flag.
    repeats: bool
    #: The hash that claims nothing.
    no_hash: str

    async def look(self, *, block: int | None = None) -> Held:
        """What it holds in the newest block, or in *block*. Raises ChainUnavailable."""

    def call(self, held: Held, saying: Saying) -> Call:
        """The call that tells *saying*. Raises ConfigError."""

    def following(self, saying: Saying, entry: bytes) -> str:
        """The hash that goes with what is told behind *saying*, which tells of this entry."""

    def objection(self, held: Held, wall_ms: int, last_wall_ms: int) -> str:
        """Why a reading of *wall_ms* cannot be told now, behind one of *last_wall_ms*; empty where it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which asset, and where."""

    client: ChainClient
    role: Role
    asset: int
    #: The registry's address, or with *is_lookup* that of the contract that tells it.
    contract: str
    is_lookup: bool = False

    async def registry(self, block: int | None = None) -> str:
        """The registry's address, asked for anew: a look-up may name another one tomorrow."""
        if not self.is_lookup:
            return self.contract
        found = read_address(await self.client.read(Call(to=self.contract, data=registry(self.role)), block=block))
        if found == NO_ADDRESS:
            raise ConfigError(f"look-up {self.contract}: it names no {self.role} registry")
        return found

    async def look(self, question: bytes, block: int | None) -> tuple[str, bytes]:
        """The registry's address, and what it answers."""
        contract = await self.registry(block)
        return contract, await self.client.read(Call(to=contract, data=question), block=block)

    def trouble(self, error: CallReverted | MalformedError | ConfigError, release: str) -> Held:
        """What *error* means: the address in the config, or the asset, is not what it should be."""
        what = f"{self.contract} does not answer as a {self.role} registry of release {release} with asset {self.asset}"
        return Held(contract=self.contract, total_wh=0, hash="", trouble=f"{what}: {error}")

    def enrolment(self, asset: Asset, account: str) -> str:
        """What is wrong with the asset's enrolment, in words."""
        if asset.smart_meter == NO_ADDRESS:
            return f"asset {self.asset} is not there, or has no smart meter: an asset admin must enrol it"
        if account and asset.smart_meter is not None and asset.smart_meter != account.lower():
            return (
                f"asset {self.asset} has the smart meter {asset.smart_meter}, and this account is {account}: "
                "an asset admin must call updateSmartMeter"
            )
        return f"asset {self.asset} is not active: an asset admin must call setActive" if asset.active is False else ""


class _Base:
    release = ""
    repeats = False
    no_hash = ""

    def __init__(self, place: Place, account: str = "") -> None:
        #: The address that must be the asset's smart meter; empty where it is not known yet.
        self.place, self.account = place, account

    async def look(self, *, block: int | None = None) -> Held:
        """See ``Registry``."""
        try:
            return await self._look(block)
        except (CallReverted, MalformedError, ConfigError) as error:
            return self.place.trouble(error, self.release)

    async def _look(self, block: int | None) -> Held:
        raise AssertionError(block)

    def objection(self, held: Held, wall_ms: int, last_wall_ms: int) -> str:  # noqa: ARG002  (C has one)
        """See ``Registry``."""
        return ""


class RegistryA(_Base):
    """Release A. *hashes* is ``native`` or ``bond``."""

    release = Release.A.value
    repeats = True

    def __init__(self, place: Place, account: str = "", hashes: str = NATIVE) -> None:
        super().__init__(place, account)
        self._bond = hashes == BOND
        self.no_hash = as_bytes32(NOTHING_BEFORE).hex() if self._bond else bytes(32).hex()

    async def _look(self, block: int | None) -> Held:
        place = self.place
        contract, answer = await place.look(asset_a(place.asset), block)
        asset = read_asset_a(place.role, answer)
        assert asset.file_hash is not None
        held = Held(
            contract=contract,
            total_wh=asset.total_wh,
            hash=asset.file_hash.hex(),
            trouble=place.enrolment(asset, self.account),
        )
        if place.role is Role.CONSUMING:
            return held
        answer = await place.client.read(Call(to=contract, data=co2_a(place.asset)), block=block)
        return replace(held, co2=read_co2_a(answer))

    def call(self, held: Held, saying: Saying) -> Call:
        """See ``Registry``."""
        asset, total, hashed = self.place.asset, saying.total_wh, bytes.fromhex(saying.hash)
        if self.place.role is Role.CONSUMING:
            return Call(to=held.contract, data=save_a_consuming(asset, total, hashed, down=saying.down))
        co2 = Co2(total=saying.co2_total, down=saying.co2_down)
        return Call(to=held.contract, data=save_a_producing(asset, total, hashed, co2, down=saying.down))

    def following(self, saying: Saying, entry: bytes) -> str:
        """See ``Registry``."""
        if self._bond:
            return as_bytes32(file_hash(bond_file(self.place.role, saying))).hex()
        return leaf_hash(entry).hex()


def bond_file(role: Role, saying: Saying) -> bytes:
    """The file that ew-link-bond would have written when it told *saying*."""
    previous = bytes.fromhex(saying.hash).rstrip(b"\0").decode("ascii", "replace")
    if role is Role.CONSUMING:
        return consumed_file(value=saying.total_wh, is_meter_down=saying.down, previous_hash=previous)
    return produced_file(
        value=saying.total_wh,
        is_meter_down=saying.down,
        previous_hash=previous,
        co2_saved=saying.co2_total,
        is_co2_down=saying.co2_down,
    )


class RegistryB(_Base):
    """Release B: whose the asset is, the contract says only when it refuses."""

    release = Release.B.value

    async def _look(self, block: int | None) -> Held:
        contract, answer = await self.place.look(asset_b(self.place.asset), block)
        asset = read_asset_b(answer)
        return Held(contract=contract, total_wh=asset.total_wh, hash=asset.file_text or "")

    def call(self, held: Held, saying: Saying) -> Call:
        """See ``Registry``."""
        return Call(to=held.contract, data=save_b(self.place.asset, saying.total_wh, saying.hash))

    def following(self, saying: Saying, entry: bytes) -> str:  # noqa: ARG002  (A needs it)
        """See ``Registry``."""
        return cid_v1_raw(entry)


class RegistryC(_Base):
    """Release C: energy and time."""

    release = Release.C.value

    async def _look(self, block: int | None) -> Held:
        place = self.place
        contract, answer = await place.look(asset_c(place.asset), block)
        asset = read_asset_c(answer)
        head = await place.client.head()
        trouble = place.enrolment(asset, self.account)
        return Held(contract=contract, total_wh=asset.total_wh, hash="", time_s=head.time_s, trouble=trouble)

    def call(self, held: Held, saying: Saying) -> Call:
        """See ``Registry``."""
        return Call(to=held.contract, data=save_c(self.place.asset, saying.total_wh, saying.wall_ms // 1000))

    def following(self, saying: Saying, entry: bytes) -> str:  # noqa: ARG002  (others have a hash)
        """See ``Registry``."""
        return ""

    def objection(self, held: Held, wall_ms: int, last_wall_ms: int) -> str:
        """See ``Registry``."""
        ahead_s = wall_ms // 1000 - held.time_s
        if ahead_s > AHEAD_S_MAX:
            return f"the board's clock is {ahead_s} s ahead of the chain's; {AHEAD_S_MAX} are allowed: check the clock"
        if wall_ms // 1000 <= last_wall_ms // 1000:
            return "the board's clock shows a time before that of the reading told last: check the clock"
        return ""
