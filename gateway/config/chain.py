"""``chains`` as frozen values: accounts on EVM chains, and what is said there. Amounts are in wei here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorConfig:
    """``anchor`` of a chain: the log's checkpoints in the anchor contract."""

    #: ``contract``: the address of the anchor contract; ``chain deploy`` makes one.
    contract: str
    #: ``form``: ``growing`` keeps the newest checkpoint in the contract, which takes larger ones only; ``event`` costs
    #: less and only emits it. Default growing.
    form: str
    #: ``every``: seconds from one anchor to the next, 1 to 31536000, default 3600.
    every_ms: int
    #: ``founder``: the address that opened the log in the contract, where the account is its relayer or heir; None
    #: (left out): the account itself.
    founder: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotaryConfig:
    """One of ``notary``: batches of readings in an Energy Web 24/7 Notary."""

    contract: str
    #: ``meter`` and ``point``: whose readings; the point is an energy.
    meter: str
    point: str
    #: ``every``: seconds from one batch to the next, 1 to 31536000, default 3600.
    every_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginConfig:
    """One of ``origin``: the total of a meter in an Energy Web Origin asset registry."""

    #: ``release``: a, b or c.
    release: str
    #: ``role``: producing or consuming.
    role: str
    #: ``contract``: the registry; None where *lookup* is given.
    contract: str | None
    #: ``lookup``: the asset contract look-up of release b, which tells the registry.
    lookup: str | None
    #: ``asset``: the number of the asset (release c: of the device) in the registry.
    asset: int
    meter: str
    point: str
    #: ``hash``: what stands for the reading before in the registry: native or bond. Default native.
    hash: str
    #: ``co2``: ``METER POINT`` of a carbon source, in g/kWh, for release a; None: the registry is told that it is down.
    co2: tuple[str, str] | None
    #: ``every``: seconds from one report to the next, 1 to 31536000, default 3600.
    every_ms: int
    #: ``offset_wh``: what meters before this one have counted, in Wh; default 0.
    offset_wh: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig:
    """One of ``sessions``: an object of the Universal Sharing Network whose rents open and close metered sessions."""

    contract: str
    #: ``object``: its id, 0x and 64 hex digits.
    object_id: bytes
    meter: str
    point: str
    #: ``from_block``: the first block whose rents count; None (left out): from the first start on.
    from_block: int | None
    #: How old a register value may be at the time of a rent: three polls of the meter, at least a quarter of an hour.
    age_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IpfsConfig:
    """``ipfs`` of a chain: where the anchored notes are uploaded."""

    #: ``url``: the node's API, ``https://HOST[:PORT][/PREFIX]``; ``http://`` for one on this machine.
    url: str
    #: ``token_file``: a source of the bearer token; empty (left out) for none.
    token: str
    #: ``ca``: PEM file of the authorities to trust; None (left out) trusts the system's.
    ca: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainConfig:
    """One of ``chains``: an account on an EVM chain, and what it says there."""

    #: ``name``: letters, digits, ``.``, ``_`` and ``-``; unique among the chains.
    name: str
    #: ``chain_id``: 246 is the Energy Web Chain, 73799 Volta.
    chain_id: int
    #: ``rpc``: JSON-RPC end points, 1 to 8: URLs, or sources of one (``credential:NAME``, ``file:PATH``) where the URL
    #: holds a secret. With two or more, a lie of one of them is found.
    rpc: tuple[str, ...]
    #: ``agree``: how many of them must have answered the same, 1 to their number. Default 1: where all others are away,
    #: one is believed alone.
    agree: int
    #: ``ca``: PEM file of the authorities to trust; None (left out) trusts the system's.
    ca: Path | None
    #: ``account``: the URI of the secp256k1 key that signs the transactions.
    account: str
    #: ``confirmations``: blocks that a transaction lies deep before it counts, 1 to 1000, default 12.
    confirmations: int
    #: ``max_fee_gwei``: the most that is offered for a unit of gas, default 100.
    fee_cap: int
    #: ``min_balance``: coins that stay in the account, default 0.
    balance_min: int
    anchor: AnchorConfig | None
    notary: tuple[NotaryConfig, ...]
    origin: tuple[OriginConfig, ...]
    sessions: tuple[SessionConfig, ...]
    ipfs: IpfsConfig | None
