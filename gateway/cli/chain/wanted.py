"""Which asset ``chain enrol`` means, from the command line and the config; and its calls in words."""

from __future__ import annotations

import argparse
from typing import Any

from gateway.chain.origin.calls import Release, Role
from gateway.chain.origin.enrol import AssetType, Compliance, Location, Wanted
from gateway.cli.chain.choice import address, address_of, for_people
from gateway.config.chain import ChainConfig, OriginConfig
from gateway.errors import ConfigError
from gateway.show import rfc3339

_PLACE = ("country", "region", "postcode", "city", "street", "house_number", "latitude", "longitude")
#: The options that only one release has.
_ONLY = {
    Release.A: ("capacity_wh", "since", "type", "compliance", *_PLACE),
    Release.B: ("matcher", "document_hash", "url", "owner_changes"),
    Release.C: (),
}
#: Who must be what, given by a user admin of the registry.
ROLES = {
    Release.A: "the sender must be a user with the role asset admin (4), the owner one with asset manager (16)",
    Release.B: "the sender must be a user with the role asset admin (2), the owner one with asset manager (8)",
    Release.C: "the sender and the owner must have the role device manager",
}


def item_of(args: argparse.Namespace, chain: ChainConfig) -> OriginConfig:
    """The one of ``origin`` that is meant. Raises ConfigError."""
    found = [item for item in chain.origin if args.asset in (None, item.asset) and args.role in (None, item.role)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"--role {item.role} --asset {item.asset}" for item in chain.origin)
    if not chain.origin:
        raise ConfigError(f"chain {chain.name}: has no origin; what shall be enrolled stands there")
    raise ConfigError(f"chain {chain.name}: {len(found)} of its origin are meant; choose one: {known}")


def wanted_of(args: argparse.Namespace, item: OriginConfig, contract: str, smart_meter: str) -> Wanted:
    """The asset as it shall be. Raises ConfigError."""
    release = Release(item.release)
    _refuse_others(args, release)
    owner = address_of(args, "owner")
    if owner is None and not args.takeover:
        raise ConfigError("chain enrol: whose is the asset? give --owner ADDRESS, a user of the registry")
    if args.takeover and release is not Release.A:
        raise ConfigError(f"--takeover: release {release} has no updateSmartMeter; enrol it as a new asset")
    named = {name: getattr(args, name) for name in _PLACE if getattr(args, name) is not None}
    for name, text in (*named.items(), ("document_hash", args.document_hash or ""), ("url", args.url or "")):
        if not text.isprintable():
            raise ConfigError(f"{_option(name)} {text!r}: has characters that cannot be printed; write it anew")
    if args.since is not None and args.since < 0:
        raise ConfigError("--since: lies before 1970, and the registry counts from there")
    return Wanted(
        release=release,
        role=Role(item.role),
        contract=contract,
        smart_meter=smart_meter,
        owner=owner or "",
        operational_since_s=(args.since or 0) // 1000,
        capacity_wh=_whole(args.capacity_wh, "--capacity-wh"),
        asset_type=AssetType[_constant(args.type or "solar")],
        compliance=Compliance[_constant(args.compliance or "none")],
        location=Location(**named),
        matchers=tuple(address(matcher, "--matcher") for matcher in args.matcher or ()),
        document_hash=args.document_hash or "",
        url=args.url or "",
        owner_changes_max=_whole(args.owner_changes, "--owner-changes"),
    )


def _refuse_others(args: argparse.Namespace, release: Release) -> None:
    mine = _ONLY[release]
    for names in _ONLY.values():
        for name in names:
            if name not in mine and getattr(args, name) is not None:
                raise ConfigError(f"{_option(name)}: release {release} takes none; leave it out")


def _whole(value: int | None, option: str) -> int:
    if value is not None and not 0 <= value < 2**63:
        raise ConfigError(f"{option} {value}: wanted 0 to {2**63 - 1}")
    return value or 0


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _constant(word: str) -> str:
    return word.upper().replace("-", "_")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what says which asset, and how it shall be."""

    def words(kind: Any) -> list[str]:
        return [one.name.lower().replace("_", "-") for one in kind]

    from gateway.cli.window import moment

    parser.add_argument("--role", choices=[str(role) for role in Role], help="which of the config's origin")
    parser.add_argument("--asset", type=int, metavar="N", help="which of the config's origin")
    parser.add_argument("--owner", metavar="ADDRESS", help="whose the asset is")
    parser.add_argument("--takeover", action="store_true", help="release a: this board reports an asset that is there")
    a = parser.add_argument_group("release a")
    a.add_argument("--capacity-wh", type=int, metavar="WH", help="capacity; a producer needs one")
    a.add_argument("--since", type=moment, metavar="TIME", help="in service since (RFC 3339, or a date)")
    a.add_argument("--type", choices=words(AssetType), help="of a producer (default: solar)")
    a.add_argument("--compliance", choices=words(Compliance), help="of a producer (default: none)")
    for name in _PLACE:
        a.add_argument(_option(name), metavar="TEXT", help="at most 32 bytes")
    b = parser.add_argument_group("release b")
    b.add_argument("--matcher", action="append", metavar="ADDRESS", help="who may match; may be repeated")
    b.add_argument("--document-hash", metavar="TEXT", help="of the properties document")
    b.add_argument("--url", help="where that document is")
    b.add_argument("--owner-changes", type=int, metavar="N", help="of a producer: how often it may change hands")


def words_of(wanted: Wanted, step: str, asset: int) -> str:
    """What a call does."""
    report, number = f"{for_people(wanted.smart_meter)} reports it", "the event in its receipt tells the number"
    owner = for_people(wanted.owner) if wanted.owner else ""
    since = f"; in service since {rfc3339(wanted.operational_since_s * 1000)}" if wanted.operational_since_s else ""
    capacity = f"; {wanted.capacity_wh} Wh" if wanted.role is Role.CONSUMING and wanted.capacity_wh else ""
    kind = f"{wanted.asset_type.name}, {wanted.capacity_wh} Wh, compliance {wanted.compliance.name}"
    made = f"makes the asset of {owner}, active at once; {report}"
    return {
        "createAsset": f"{'makes the asset' if wanted.release is Release.A else made}; {number}",
        "createDevice": f"makes the device of {owner}; {report}; {number}",
        "initGeneral": f"asset {asset}: its owner is {owner}, and {report}{since}{capacity}",
        "initLocation": f"asset {asset}: where it stands",
        "initProducingProperties": f"asset {asset}: {kind}",
        "setActive": f"asset {asset}: goes into service",
        "updateSmartMeter": f"asset {asset}: from now on {report}",
    }[step]
