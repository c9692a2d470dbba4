"""``chains``: each item read into its dataclass, and the checks between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from gateway.config import chain_kinds, kinds
from gateway.config.chain import AnchorConfig, ChainConfig, IpfsConfig, NotaryConfig, OriginConfig, SessionConfig
from gateway.config.files import Use
from gateway.config.model import MeterConfig
from gateway.config.parts import is_loopback, one_of, read_file
from gateway.config.section import Section, choice, one
from gateway.config.text import Node
from gateway.config.world import World

T = TypeVar("T")

CHAIN_EXAMPLE = '{name: ewc, chain_id: 246, rpc: ["https://rpc.energyweb.org"], account: file:account.pem, anchor: {…}}'
_KEYS = ("name", "chain_id", "rpc", "agree", "ca", "account", "confirmations", "max_fee_gwei", "min_balance")
SUBJECTS = ("anchor", "notary", "origin", "sessions")
CHAIN_KEYS = (*_KEYS, *SUBJECTS, "ipfs")
ANCHOR_KEYS = ("contract", "form", "every", "founder")
NOTARY_KEYS = ("contract", "meter", "point", "every")
ORIGIN_KEYS = ("release", "role", "contract", "lookup", "asset", "meter", "point", "hash", "co2", "every", "offset_wh")
SESSION_KEYS = ("contract", "object", "meter", "point", "from_block")
IPFS_KEYS = ("url", "token_file", "ca")
_CONTRACT = '"0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"'
_EXAMPLES = {
    "anchor": f"{{contract: {_CONTRACT}}}",
    "notary": f"{{contract: {_CONTRACT}, meter: main, point: import_total}}",
    "origin": f"{{release: b, role: producing, lookup: {_CONTRACT}, asset: 7, meter: main, point: export_total}}",
    "sessions": f'{{contract: {_CONTRACT}, object: "0x…", meter: wallbox, point: import_total}}',
    "ipfs": '{url: "http://127.0.0.1:5001"}',
}
_EVERY_MS = 3_600_000
_AGE_S = 900
#: Reads the URI of a key, with its checks.
ReadKey = Callable[[Section, str, World], str]


def read_chain(node: Node, path: str, world: World, meters: tuple[MeterConfig, ...], read_key: ReadKey) -> ChainConfig:
    """One item of ``chains``."""
    section = Section(node, path, world.problems, CHAIN_KEYS, CHAIN_EXAMPLE)
    name = section.need("name", kinds.name("ewc"))
    world.unique_name(section, "chain", name)
    if not any(map(section.has, SUBJECTS)):
        section.refuse_whole(f"says nothing there: give one of {', '.join(SUBJECTS)}, such as {_EXAMPLES['anchor']}")
    names = {meter.name for meter in meters}
    chain = ChainConfig(
        name=name,
        chain_id=section.need("chain_id", chain_kinds.CHAIN_ID),
        rpc=_endpoints(section, world),
        agree=section.either("agree", chain_kinds.AGREE, 1),
        ca=read_file(section, "ca", "ca.pem", Use.READ, world),
        account=read_key(section, "account", world),
        confirmations=section.either("confirmations", chain_kinds.CONFIRMATIONS, 12),
        fee_cap=section.either("max_fee_gwei", chain_kinds.FEE, 100 * 10**9),
        balance_min=section.either("min_balance", chain_kinds.COINS, 0),
        anchor=_anchor(section, world) if section.has("anchor") else None,
        notary=_list(section, "notary", lambda node, path: _notary(node, path, world, names)),
        origin=_list(section, "origin", lambda node, path: _origin(node, path, world, names)),
        sessions=_list(section, "sessions", lambda node, path: _session(node, path, world, meters)),
        ipfs=_ipfs(section, world) if section.has("ipfs") else None,
    )
    if section.good("agree", "rpc") and chain.agree > len(chain.rpc):
        many = f"of {len(chain.rpc)} end points {chain.agree} cannot agree; add some to rpc, or ask for fewer"
        section.refuse("agree", many)
    if section.good("account", "chain_id"):
        message = "another chain here has this account; two that count its nonces would get in each other's way"
        world.unique(section, "account", ("chain account", chain.account, chain.chain_id), message)
    return chain


def _list(section: Section, key: str, read: Callable[[Node, str], T]) -> tuple[T, ...]:
    return tuple(read(node, path) for node, path in section.items(key, f"[{_EXAMPLES[key]}]"))


def _endpoints(section: Section, world: World) -> tuple[str, ...]:
    example = '["https://rpc.energyweb.org"]'
    items = section.items("rpc", example)
    found = [(one(node, path, chain_kinds.ENDPOINT, world.problems), node, path) for node, path in items]
    if not section.has("rpc"):
        section.refuse("rpc", f"missing; wanted a list of end points, such as {example}")
    elif section.good("rpc") and not 1 <= len(items) <= chain_kinds.RPC_MAX:
        section.refuse("rpc", f"has {len(items)} end points; wanted 1 to {chain_kinds.RPC_MAX}, such as {example}")
    for text, node, path in found:
        parts = urlsplit(text or "")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            advice = "over http:// anybody on the way can change what the chain is said to be; use https://"
            world.problems.warn(node, path, advice)
    return tuple(_absolute(section, text, world) for text, _, _ in found if text is not None)


def _absolute(section: Section, text: str, world: World) -> str:
    if not text.startswith("file:"):
        return text
    file = world.files.resolve(section, "rpc", text.removeprefix("file:"))
    world.files.note(section, "rpc", file, Use.PRIVATE)
    return f"file:{file}"


def _anchor(top: Section, world: World) -> AnchorConfig:
    section = Section(top.node("anchor"), top.place("anchor"), world.problems, ANCHOR_KEYS, _EXAMPLES["anchor"])
    form = section.either("form", choice("growing", "event"), "growing")
    if form == "event" and section.has("founder"):
        section.refuse("founder", "only the account itself can announce in the event form; remove it, or take growing")
    return AnchorConfig(
        contract=section.need("contract", chain_kinds.ADDRESS),
        form=form,
        every_ms=section.either("every", chain_kinds.EVERY, _EVERY_MS),
        founder=section.get("founder", chain_kinds.ADDRESS),
    )


def _notary(node: Node, path: str, world: World, meters: set[str]) -> NotaryConfig:
    section = Section(node, path, world.problems, NOTARY_KEYS, _EXAMPLES["notary"])
    meter, point = _metered(section, meters)
    return NotaryConfig(
        contract=section.need("contract", chain_kinds.ADDRESS),
        meter=meter,
        point=point,
        every_ms=section.either("every", chain_kinds.EVERY, _EVERY_MS),
    )


def _origin(node: Node, path: str, world: World, meters: set[str]) -> OriginConfig:
    section = Section(node, path, world.problems, ORIGIN_KEYS, _EXAMPLES["origin"])
    release = section.need("release", choice("a", "b", "c"))
    where = one_of(section, ("contract", "lookup"), "where the registry is", _EXAMPLES["origin"])
    if where == "lookup" and release != "b":
        section.refuse("lookup", f"release {release} has no look-up; give the registry as contract")
    hashed = section.either("hash", choice("native", "bond"), "native")
    if hashed == "bond" and release != "a":
        section.refuse("hash", f"release {release} takes no hash of a bond file; remove it")
    co2 = section.get("co2", chain_kinds.CO2)
    if co2 is not None and release != "a":
        section.refuse("co2", f"release {release} takes no CO2; remove it")
    elif co2 is not None and co2[0] not in meters:
        section.refuse("co2", f"there is no meter {co2[0]} here; name one of meters")
    meter, point = _metered(section, meters)
    return OriginConfig(
        release=release,
        role=section.need("role", choice("producing", "consuming")),
        contract=section.need("contract", chain_kinds.ADDRESS) if where == "contract" else None,
        lookup=section.need("lookup", chain_kinds.ADDRESS) if where == "lookup" else None,
        asset=section.need("asset", chain_kinds.ASSET),
        meter=meter,
        point=point,
        hash=hashed,
        co2=co2,
        every_ms=section.either("every", chain_kinds.EVERY, _EVERY_MS),
        offset_wh=section.either("offset_wh", chain_kinds.WATT_HOURS, 0),
    )


def _session(node: Node, path: str, world: World, meters: tuple[MeterConfig, ...]) -> SessionConfig:
    section = Section(node, path, world.problems, SESSION_KEYS, _EXAMPLES["sessions"])
    object_id = section.need("object", chain_kinds.OBJECT_ID)
    periods = {meter.name: meter.every_ms for meter in meters}
    meter, point = _metered(section, set(periods))
    return SessionConfig(
        contract=section.need("contract", chain_kinds.ADDRESS),
        object_id=object_id,
        meter=meter,
        point=point,
        from_block=section.get("from_block", chain_kinds.BLOCK),
        age_s=max(_AGE_S, 3 * periods.get(meter, 0) // 1000),
    )


def _metered(section: Section, meters: set[str]) -> tuple[str, str]:
    meter = section.need("meter", kinds.name("main"))
    if section.good("meter") and meter not in meters:
        section.refuse("meter", f"there is no meter {meter} here; name one of meters")
    return meter, section.need("point", kinds.POINT)


def _ipfs(top: Section, world: World) -> IpfsConfig:
    section = Section(top.node("ipfs"), top.place("ipfs"), world.problems, IPFS_KEYS, _EXAMPLES["ipfs"])
    file: Path | None = read_file(section, "token_file", "credential:ipfs-token", Use.PRIVATE, world)
    url = section.need("url", kinds.HTTP)
    parts, given = urlsplit(url), section.node("url")
    if parts.scheme == "http" and given is not None:
        if section.has("ca"):
            section.refuse_key("ca", "the URL http:// is without TLS; write https://, or remove ca")
        if file is not None and not is_loopback(parts.hostname or ""):
            section.refuse_key("token_file", "over http:// anybody on the way reads the token; use https://")
    return IpfsConfig(
        url=url,
        token="" if file is None else f"file:{file}",
        ca=read_file(section, "ca", "ca.pem", Use.READ, world),
    )
