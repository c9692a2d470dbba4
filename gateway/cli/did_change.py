"""``did attribute``, ``delegate`` and ``owner``: changes of an identity, signed into a file for whoever sends them."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.cli.did_site import DAY_S, DidSite, account_of, add_chain, add_key, add_rpc, number
from gateway.durable import write_atomically
from gateway.errors import EXIT_OK, CallReverted, ConfigError
from gateway.identity.attributes import USES
from gateway.identity.did import Did, Registry, parse_address
from gateway.identity.history import nonce_of, owner_of
from gateway.identity.meta import MetaTransaction, SignedChange, padded, set_attribute, sign_change
from gateway.identity.publish import OWNER_TAG, Attribute, key_attribute, service_attribute
from gateway.identity.registry import NOBODY
from gateway.show import printable
from gateway.signing import DeviceKey, Purpose
from gateway.signing.evm import checksummed

_KINDS = ("veriKey", "sigAuth")
#: Ten years.
_DAYS = 3650
_DAYS_MAX = 36_500
Change = tuple[str, tuple[Any, ...]]


def add_actions(actions: Any) -> None:
    """Adds the three to the actions of ``did``."""
    attribute = actions.add_parser("attribute", help="sign a key or a service into the document, or out of it")
    what = attribute.add_mutually_exclusive_group(required=True)
    what.add_argument("--owner-key", action="store_true", help=f"the identity's own key, with the tag {OWNER_TAG}")
    what.add_argument("--publish", metavar="URI", help="the public half of another key of ours")
    what.add_argument("--service", nargs=2, metavar=("TYPE", "URI"), help="a service, such as Log https://…")
    what.add_argument("--raw", nargs=2, metavar=("NAME", "HEX"), help="any attribute, as it is written")
    attribute.add_argument("--tag", help="its id in the document, which Energy Web's dialect has")
    attribute.add_argument("--use", choices=USES, default=USES[0], help="what the key is for (default: %(default)s)")
    attribute.add_argument(
        "--dialect", choices=("energyweb", "plain"), default="energyweb", help="default: %(default)s, which needs --tag"
    )
    delegate = actions.add_parser("delegate", help="sign who may, or may no longer, speak for the identity")
    delegate.add_argument("account", metavar="ACCOUNT", help="an address, or a DID")
    delegate.add_argument("--kind", choices=_KINDS, default=_KINDS[0], help="sigAuth may also log in as it")
    owner = actions.add_parser("owner", help="sign that the identity belongs to another account from now on")
    owner.add_argument("account", metavar="ACCOUNT", help="an address, or a DID")
    for parser in (attribute, delegate):
        parser.add_argument("--revoke", action="store_true", help="take it out again")
        parser.add_argument(
            "--days", type=number, default=_DAYS, metavar="N", help="valid that long (default: %(default)s)"
        )
    for parser in (attribute, delegate, owner):
        parser.add_argument("--identity", metavar="DID", help="one that the key owns (default: the key's own)")
        parser.add_argument(
            "--nonce", type=number, metavar="N", help="the owner's next in the registry, without a node"
        )
        parser.add_argument("-o", dest="output", type=Path, metavar="FILE", help="default: standard output")
        add_key(parser)
        add_rpc(parser)
        add_chain(parser)


def run_change(args: argparse.Namespace, site: DidSite) -> int:
    """Signs the change and writes its envelope."""
    registry = site.registry(args)
    with closing(site.key(args, registry, Purpose.META_TRANSACTION)) as key:
        identity = account_of(key) if args.identity is None else parse_address(args.identity, "identity")
        change = _change(args, site, key, Did(chain=registry.label, address=identity))
        signed = asyncio.run(_signed(args, site, key, registry, identity, change))
    _write(args, signed)
    return EXIT_OK


def _change(args: argparse.Namespace, site: DidSite, key: DeviceKey, did: Did) -> Change:
    if args.action == "owner":
        new = parse_address(args.account, "account")
        if new == NOBODY:
            raise ConfigError("account 0x0…0: would give the identity up, for ever; no command does that")
        print(f"warning: whoever sends this file gives {did.text} to {checksummed(new[2:])}", file=sys.stderr)
        return "changeOwner", (new,)
    if not 1 <= args.days <= _DAYS_MAX:
        raise ConfigError(f"--days {args.days}: take 1 to {_DAYS_MAX}")
    if args.action == "delegate":
        values = (padded(args.kind), parse_address(args.account, "account"))
        return ("revokeDelegate", values) if args.revoke else ("addDelegate", (*values, args.days * DAY_S))
    attribute = _attribute(args, site, key, did)
    if args.revoke:
        return "revokeAttribute", (padded(attribute.name), attribute.value)
    return set_attribute(attribute.name, attribute.value, args.days * DAY_S)


def _attribute(args: argparse.Namespace, site: DidSite, key: DeviceKey, did: Did) -> Attribute:
    if args.raw is not None:
        name, text = args.raw
        try:
            return Attribute(name=name, value=bytes.fromhex(text.removeprefix("0x")))
        except ValueError as error:
            raise ConfigError(f"--raw {name[:40]}: {text[:40]!r} is not hex") from error
    tag = None if args.dialect == "plain" else args.tag or (OWNER_TAG if args.owner_key else None)
    if tag is None and args.dialect == "energyweb":
        raise ConfigError("--tag: Energy Web's dialect needs one, such as key-log; --dialect plain needs none")
    if args.service is not None:
        kind, endpoint = args.service
        return service_attribute(did.text, kind, endpoint, tag)
    if args.owner_key:
        return key_attribute(key.public_key, args.use, tag)
    with closing(_other(site, args.publish)) as other:
        return key_attribute(other.public_key, args.use, tag)


def _other(site: DidSite, uri: str) -> DeviceKey:
    """The key, whatever it was made for: its public half is all that is needed."""
    from gateway.cli.key import open_any

    return open_any(site.app, uri, site.base)


async def _signed(
    args: argparse.Namespace, site: DidSite, key: DeviceKey, registry: Registry, identity: str, change: Change
) -> SignedChange:
    function, values = change
    if args.nonce is not None:
        wanted = MetaTransaction(
            registry=registry, identity=identity, nonce=args.nonce, function=function, values=values
        )
        return sign_change(key, wanted)
    with closing(site.client(args, registry)) as client:
        owner = await owner_of(client, registry, identity)
        if owner != account_of(key):
            raise ConfigError(f"{identity}: belongs to {owner}, not to the account of key {key.uri}; say --key")
        nonce = await nonce_of(client, registry, owner)
        wanted = MetaTransaction(registry=registry, identity=identity, nonce=nonce, function=function, values=values)
        signed = await asyncio.to_thread(sign_change, key, wanted)
        # What the registry would refuse is not handed out.
        try:
            await client.read(signed.call)
        except CallReverted as error:
            raise CallReverted(f"registry {registry.address}: refuses the signed change ({error})") from error
        return signed


def _write(args: argparse.Namespace, signed: SignedChange) -> None:
    envelope = signed.envelope()
    if args.output is not None:
        try:
            write_atomically(args.output, f"{json.dumps(envelope, indent=2)}\n".encode())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{args.output}: cannot be written ({error}); name another file") from error
    if args.json or args.output is None:
        print(json.dumps(envelope, indent=None if args.json else 2))
    else:
        print(printable(f"{args.output}: {envelope['function']} of {envelope['did']}, nonce {envelope['nonce']}"))
