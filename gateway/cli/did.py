"""``did``: the identity of this device on a chain (did:ethr), and those of others.

An identity is an account of a secp256k1 key; what it says of itself stands in a registry (ERC-1056) on the chain. A
device without coins signs its changes with ``attribute``, ``delegate`` and ``owner``, each into a file, and whoever has
coins sends them with ``relay``. See docs/did.md.

  meter-gateway did show                                    the identity, and its account
  meter-gateway did document                                what is to be published of this device
  meter-gateway did document did:ethr:ewc:0x… --rpc URL     what an identity says of itself, in both dialects
  meter-gateway did attribute --owner-key --rpc URL -o key.json
  meter-gateway did relay key.json --rpc URL --account file:payer.pem

``show --json`` prints ``did``, ``account``, ``publicKey``, ``key``, ``madeFor``, ``registry`` and ``chainId``.
``document --json`` prints ``didDocument``, ``didDocumentMetadata`` and ``didResolutionMetadata`` (W3C DID Resolution),
and of this device ``toPublish``: a list of ``name``, ``value`` in hex and ``text``. ``attribute``, ``delegate`` and
``owner`` print the envelope that they write. ``relay --json`` prints an object for each file: ``file``, ``outcome``
(relayed, or already), ``block``, ``transaction`` (null), ``gas``, ``paid`` in wei as text.

Exit codes: 0 done; 1 the registry refuses it, or the document is deactivated; 2 the request, the file or the document
is wrong; 3 a node, the key or the fee is not available now.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

from gateway.cli.did_site import DAY_S, DidSite, account_of, add_chain, add_key, add_rpc
from gateway.errors import EXIT_NO, EXIT_OK, KeyUnfit, SignerError
from gateway.identity.did import Did, Registry, parse_did
from gateway.show import printable
from gateway.signing import Algorithm, DeviceKey, PublicKey, Purpose
from gateway.signing.evm import checksummed, compressed

if TYPE_CHECKING:
    from gateway.app import App
    from gateway.identity.document import Document
    from gateway.identity.publish import Attribute

#: How long what is published is meant to be valid in a document that is not published yet.
_YEARS_S = 10 * 365 * DAY_S


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    from gateway.cli import did_change, did_relay

    commands = subparsers.add_parser("did", help="this device's identity on a chain (did:ethr)", description=__doc__)
    commands.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = commands.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="the identity of a key")
    add_key(show)
    document = actions.add_parser("document", help="what an identity says of itself, or what this device is to publish")
    document.add_argument("did", nargs="?", metavar="DID", help="default: this device's")
    add_key(document)
    add_rpc(document)
    document.add_argument(
        "--dialect",
        choices=("energyweb", "plain"),
        default="energyweb",
        help="how this device's keys are to be written",
    )
    for parser in (show, document):
        add_chain(parser)
    did_change.add_actions(actions)
    did_relay.add_action(actions)


def run(args: argparse.Namespace, app: App) -> int:
    """Runs one of the actions."""
    site = DidSite.of(args, app)
    if args.action == "show":
        return _show(args, site)
    if args.action == "document":
        return _document(args, site)
    # Imported late, each for itself.
    if args.action == "relay":
        from gateway.cli.did_relay import run_relay

        return run_relay(args, site)
    from gateway.cli.did_change import run_change

    return run_change(args, site)


def _open(args: argparse.Namespace, site: DidSite, registry: Registry) -> DeviceKey:
    """The identity's key, which may be made for an account as well. Nothing is signed with it."""
    key = site.key(args, registry, Purpose.META_TRANSACTION)
    if key.public_key.algorithm is not Algorithm.ECDSA_SECP256K1:
        key.close()
        raise KeyUnfit(f"key {key.uri}: {key.public_key.algorithm.text} has no account on a chain")
    return key


def _show(args: argparse.Namespace, site: DidSite) -> int:
    registry = site.registry(args)
    with closing(_open(args, site, registry)) as key:
        made_for = key.facts().made_for
        found = {
            "did": Did(chain=registry.label, address=account_of(key)).text,
            "account": checksummed(account_of(key)[2:]),
            "publicKey": compressed(key.public_key.data[-65:]).hex(),
            "key": key.uri,
            "madeFor": made_for.value if made_for else None,
            "registry": checksummed(registry.address[2:]),
            "chainId": registry.chain_id,
        }
    if args.json:
        print(json.dumps(found))
    else:
        print(f"did       {found['did']}\naccount   {found['account']}\npublic    {found['publicKey']}")
        print(printable(f"key       {found['key']}, made for {found['madeFor'] or 'nothing that is known'}"))
        print(f"registry  {found['registry']} on chain {found['chainId']}")
    return EXIT_OK


def _document(args: argparse.Namespace, site: DidSite) -> int:
    given = parse_did(args.did) if args.did else None
    registry = site.registry(args, given.chain if given else None)
    wanted: list[Attribute] = []
    if given is None:
        with closing(_open(args, site, registry)) as key:
            given = Did(chain=registry.label, address=account_of(key))
            wanted = _own_attributes(args, site, key)
    asked = bool(args.did or args.rpc)
    document = asyncio.run(_resolve(args, site, registry, given)) if asked else _planned(registry, given, wanted)
    missing = [one for one in wanted if not asked or not _is_published(document, one)]
    return _print(args, document, missing, own=not args.did)


async def _resolve(args: argparse.Namespace, site: DidSite, registry: Registry, did: Did) -> Document:
    from gateway.identity.document import document_of
    from gateway.identity.history import read_history

    with closing(site.client(args, registry)) as client:
        return document_of(await read_history(client, registry, did.address))


def _own_attributes(args: argparse.Namespace, site: DidSite, key: DeviceKey) -> list[Attribute]:
    """The account's own key, and those of the log."""
    from gateway.identity.publish import OWNER_TAG, key_attribute

    keys: list[tuple[str, PublicKey]] = [(OWNER_TAG, key.public_key)]
    if site.config is not None:
        for tag, uri in (("key-log", site.config.key.uri), ("key-hardware", site.config.key.hardware)):
            if uri is not None:
                try:
                    with closing(site.app.open_key(uri, site.base, attended=True)) as one:
                        keys.append((tag, one.public_key))
                except SignerError as error:
                    print(f"warning: left out: {printable(str(error))}", file=sys.stderr)
    plain = args.dialect == "plain"
    return [key_attribute(public, "veriKey", None if plain else tag) for tag, public in keys]


def _planned(registry: Registry, did: Did, wanted: list[Attribute]) -> Document:
    """The document as it will be."""
    from gateway.chain.values import Block
    from gateway.identity.document import document_of
    from gateway.identity.history import Dated, History
    from gateway.identity.meta import padded
    from gateway.identity.registry import AttributeChanged

    nothing = Block(number=0, hash=bytes(32), parent=bytes(32), time_s=0, base_fee=None)
    changes = tuple(
        Dated(
            block=0,
            change=AttributeChanged(name=padded(one.name), value=one.value, valid_to_s=_YEARS_S, previous=0),
        )
        for one in wanted
    )
    history = History(identity=did.address, registry=registry, as_of=nothing, owner=did.address, changes=changes)
    return document_of(history)


def _is_published(document: Document, wanted: Attribute) -> bool:
    """Whether the document has the key that the attribute publishes, in whatever dialect."""
    from gateway.identity.attributes import PublishedKey, published

    said = published(wanted.name, wanted.value, document.did)
    keys = [method.key for method in document.methods if method.key is not None]
    return isinstance(said, PublishedKey) and any(key.raw == said.raw and key.tag == said.tag for key in keys)


def _print(args: argparse.Namespace, document: Document, missing: list[Attribute], *, own: bool) -> int:
    to_publish = [{"name": one.name, "value": f"0x{one.value.hex()}", "text": _text(one.value)} for one in missing]
    if args.json:
        found: dict[str, Any] = document.resolution()
        print(json.dumps(found | {"toPublish": to_publish} if own else found))
    else:
        print(json.dumps(document.json(), indent=2))
        for omitted in document.omitted:
            print(f"left out: {printable(omitted)}", file=sys.stderr)
        for one in to_publish:
            print(f"to publish: {one['name']} = {one['text'] or one['value']}", file=sys.stderr)
    return EXIT_NO if document.deactivated else EXIT_OK


def _text(value: bytes) -> str | None:
    """The value where it is text; None for raw bytes."""
    return value.decode() if all(0x20 <= byte < 0x7F for byte in value) else None
