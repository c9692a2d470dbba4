"""``did``: a device without coins enrols with what the command line gives, from a file key and from a token."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import _parser, run
from gateway.errors import EXIT_NO, EXIT_OK, EXIT_UNAVAILABLE, EXIT_USAGE
from gateway.signing import Purpose
from tests.chain_nodes import Anvil, funded_key
from tests.identity_side import EWC, account_of, identity_key, registry_on
from tests.parts import ROOT
from tests.softhsm import SoftHsm

CONFIG = """
origin: meters.example.org/roof-7
state_dir: .
buses: [{name: bench, simulator: true}]
meters: [{name: main, model: eastron-sdm630, bus: bench, unit: 1, every: 10}]
channels: []
"""
Command = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs ``did …`` with a config whose state is in *tmp_path*: exit code, output (JSON where it is), errors."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)

    def call(*arguments: object, group: str = "did") -> tuple[int, Any, str]:
        code = run(["--config", str(config), group, *map(str, arguments)])
        said = capsys.readouterr()
        lines = said.out.splitlines()
        try:
            found: Any = [json.loads(line) for line in lines] if len(lines) > 1 else json.loads(said.out)
        except ValueError:
            found = said.out
        return code, found, said.err

    return call


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Anvil]:
    """With the registry, and ``file:payer.pem`` with a coin."""
    with Anvil() as node:
        registry_on(node)
        funded_key(tmp_path, node, 10**18, "payer")
        yield node


def test_a_device_without_coins_enrols(command: Command, node: Anvil, tmp_path: Path) -> None:
    """What it lacks is listed, signed, checked and sent; then nothing is lacking, and its coins are still none."""
    me = account_of(identity_key(tmp_path))
    key, nodes, payer = ("--key", "file:identity.pem"), ("--rpc", node.url), ("--account", "file:payer.pem")
    command("new", group="key")
    _, planned, _ = command("document", *key, "--json")
    assert [one["name"] for one in planned["toPublish"]] == [
        "did/pub/Secp256k1/veriKey/hex",
        "did/pub/Ed25519/veriKey/hex",
    ]
    files = [tmp_path / "owner.json", tmp_path / "log.json"]
    assert command("attribute", "--owner-key", *key, *nodes, "-o", files[0])[0] == EXIT_OK
    log = ("--publish", "file:device-key.pem", "--tag", "key-log")
    assert command("attribute", *log, *key, "--nonce", 1, "-o", files[1])[0] == EXIT_OK
    assert command("relay", "--check", *files, "--json")[1][1]["outcome"] == "checked"
    code, sent, _ = command("relay", *files, *payer, *nodes, "--json")
    assert code == EXIT_OK
    assert [one["outcome"] for one in sent] == ["relayed", "relayed"]
    code, found, _ = command("document", *key, *nodes, "--json")
    assert code == EXIT_OK
    assert found["toPublish"] == []
    assert found["didDocument"] == planned["didDocument"]
    assert found["didDocumentMetadata"]["changes"] == 2
    assert node.balance(me) == 0
    assert command("relay", files[0], *payer, *nodes, "--json")[1]["outcome"] == "already"


def test_the_identity_of_a_token_enrols(
    command: Command, node: Anvil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key was made in SoftHSM and never left it."""
    with SoftHsm(tmp_path, monkeypatch) as hsm:
        hsm.add_token()
        token = hsm.open("identity", purpose=Purpose.META_TRANSACTION)
        me = account_of(token)
        token.close()
        key = ("--key", hsm.pinned_uri("identity"))
        shown = command("show", *key, "--json")[1]
        assert (shown["did"], shown["madeFor"]) == (f"did:ethr:ewc:{me}", "meta-transaction")
        service = ("--service", "Log", "https://meters.example.org/roof-7", "--tag", "log")
        assert command("attribute", *service, *key, "--rpc", node.url, "-o", tmp_path / "s.json")[0] == EXIT_OK
    sent = command("relay", tmp_path / "s.json", "--account", "file:payer.pem", "--rpc", node.url, "--json")
    assert sent[1]["outcome"] == "relayed"
    code, found, _ = command("document", f"did:ethr:ewc:{me}", "--rpc", node.url, "--json")
    assert code == EXIT_OK
    assert found["didDocument"]["service"][0]["id"] == f"did:ethr:ewc:{me}#log"
    assert "toPublish" not in found


def test_an_identity_is_handed_over_and_its_new_owner_speaks_for_it(
    command: Command, node: Anvil, tmp_path: Path
) -> None:
    """The command warns; the old key signs nothing more that a registry would take, the new one does."""
    me, new = (account_of(identity_key(tmp_path, name)) for name in ("old", "new"))
    nodes, pays = ("--rpc", node.url), ("--account", "file:payer.pem", "--rpc", node.url)
    file = tmp_path / "change.json"
    code, _, told = command("owner", new, "--key", "file:old.pem", *nodes, "-o", file)
    assert code == EXIT_OK
    assert f"gives did:ethr:ewc:{me} to" in told
    assert command("relay", file, *pays)[0] == EXIT_OK
    delegate = ("delegate", new, "--identity", f"did:ethr:ewc:{me}", "--kind", "sigAuth")
    code, _, told = command(*delegate, "--key", "file:old.pem", *nodes)
    assert code == EXIT_USAGE
    assert f"belongs to {new}" in told
    assert command(*delegate, "--key", "file:new.pem", *nodes, "-o", file)[0] == EXIT_OK
    assert command("relay", file, *pays)[0] == EXIT_OK
    found = command("document", f"did:ethr:ewc:{me}", *nodes, "--json")[1]
    assert [one["id"].partition("#")[2] for one in found["didDocument"]["verificationMethod"]] == [
        "controller",
        "delegate-1",
    ]
    assert found["didDocumentMetadata"]["owner"].lower() == new


def test_a_deactivated_identity_is_said_to_be_one(command: Command, node: Anvil, tmp_path: Path) -> None:
    """By the exit code as well. No command of ours deactivates one."""
    me, nobody = account_of(identity_key(tmp_path)), "0x" + "00" * 20
    code, _, told = command("owner", nobody, "--key", "file:identity.pem", "--nonce", 0)
    assert code == EXIT_USAGE
    assert "would give the identity up" in told
    node.fund(me)
    node.rpc("anvil_impersonateAccount", me)
    call = {"from": me, "to": EWC.address, "data": f"0xf00d4b5d{me[2:]:0>64}{'0' * 64}"}
    node.rpc("eth_sendTransaction", call)
    code, found, _ = command("document", f"did:ethr:ewc:{me}", "--rpc", node.url, "--json")
    assert code == EXIT_NO
    assert found["didDocumentMetadata"]["deactivated"]


def test_the_account_and_nodes_of_the_config_are_taken(command: Command, node: Anvil, tmp_path: Path) -> None:
    """Then the account speaks for its own identity, and pays for it."""
    chain = f'name: ewc, rpc: ["{node.url}"], chain_id: 246, account: "file:payer.pem"'
    anchor = f'anchor: {{contract: "{EWC.address}"}}'
    (tmp_path / "config.yaml").write_text(f"{CONFIG}chains: [{{{chain}, {anchor}}}]\n")
    me = command("show", "--json")[1]["did"]
    file = tmp_path / "change.json"
    assert command("attribute", "--owner-key", "--dialect", "plain", "-o", file)[0] == EXIT_OK
    assert command("relay", file, "--json")[1]["outcome"] == "relayed"
    found = command("document", me, "--json")[1]
    assert [one["id"] for one in found["didDocument"]["verificationMethod"]] == [f"{me}#controller", f"{me}#delegate-1"]


def test_a_change_that_the_registry_would_refuse_is_not_handed_out(
    command: Command, node: Anvil, tmp_path: Path
) -> None:
    """A contract that answers the two questions, and takes no change: it counts otherwise, say."""
    identity_key(tmp_path)
    answers = "60003560e01c80638733d4e814601d576370ae92d2146029576000" + "80fd"
    answers += "5b60043560005260206000f3" + "5b60206000f3"
    node.rpc("anvil_setCode", EWC.address, f"0x{answers}")
    file = tmp_path / "change.json"
    code, _, told = command("attribute", "--owner-key", "--key", "file:identity.pem", "--rpc", node.url, "-o", file)
    assert code == EXIT_NO
    assert "refuses the signed change" in told
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("show",), "--key: name the key of the identity"),
        (("show", "--key", "file:identity.pem", "--chain", "mainnet"), "its registry is not known"),
        (("show", "--key", "file:identity.pem", "--registry", "0x" + "11" * 20), "takes all three"),
        (("document", "did:ethr:ewc:0x7"), "is not did:ethr"),
        (("document", "did:ethr:ewc:0x" + "11" * 20), "--rpc: name a node"),
        (("document", "did:ethr:nowhere:0x" + "11" * 20), "its registry is not known"),
        (("attribute", "--owner-key", "--key", "file:identity.pem"), "--rpc: name a node"),
        (("attribute", "--publish", "file:identity.pem", "--key", "file:identity.pem", "--nonce", "0"), "--tag"),
        (("attribute", "--raw", "x", "7", "--key", "file:identity.pem", "--nonce", "0"), "is not hex"),
        (("attribute", "--owner-key", "--days", "0", "--key", "file:identity.pem", "--nonce", "0"), "--days 0"),
        (("delegate", "0x7", "--key", "file:identity.pem", "--nonce", "0"), "is not did:ethr"),
        (("relay", "/nowhere.json"), "cannot be read"),
    ],
)
def test_a_wrong_request_is_answered_with_what_is_right(
    command: Command, tmp_path: Path, arguments: tuple[str, ...], fault: str
) -> None:
    identity_key(tmp_path)
    code, _, told = command(*arguments)
    assert code == EXIT_USAGE
    assert fault in told


def test_a_changed_file_is_not_sent(command: Command, tmp_path: Path) -> None:
    """Nobody needs to be asked for that."""
    identity_key(tmp_path)
    file = tmp_path / "change.json"
    command("delegate", "0x" + "11" * 20, "--key", "file:identity.pem", "--nonce", 0, "-o", file)
    file.write_text(file.read_text().replace('"validity": 315360000', '"validity": 315360001'))
    code, _, told = command("relay", file, "--account", "file:payer.pem", "--rpc", "http://127.0.0.1:1")
    assert code == EXIT_USAGE
    assert "did not sign this" in told


def test_files_for_two_chains_are_not_sent_at_once(command: Command, tmp_path: Path) -> None:
    """One account pays on one chain."""
    identity_key(tmp_path)
    files = [tmp_path / f"{chain}.json" for chain in ("ewc", "volta")]
    for chain, file in zip(("ewc", "volta"), files, strict=True):
        signed = ("owner", "0x" + "11" * 20, "--key", "file:identity.pem", "--nonce", 0, "--chain", chain)
        assert command(*signed, "-o", file)[0] == EXIT_OK
    code, _, told = command("relay", "--check", *files)
    assert code == EXIT_USAGE
    assert "for several registries" in told


def test_a_node_that_is_away_is_said_to_be(command: Command, tmp_path: Path) -> None:
    """It can be tried again."""
    identity_key(tmp_path)
    code, _, _ = command("document", "--key", "file:identity.pem", "--rpc", "http://127.0.0.1:1")
    assert code == EXIT_UNAVAILABLE


def test_a_key_for_messages_has_no_identity_to_change(command: Command, tmp_path: Path) -> None:
    """It signs payloads, and is named by a document; the log's key has no account at all."""
    command("new", "file:hub.pem", "--purpose", "payload", group="key")
    command("new", group="key")
    for uri in ("file:hub.pem", "file:device-key.pem"):
        code, _, told = command("owner", "0x" + "11" * 20, "--key", uri, "--nonce", 0)
        assert code == EXIT_USAGE
        assert "is never opened for meta-transaction" in told
    identity_key(tmp_path)
    published = ("--publish", "file:hub.pem", "--tag", "dsb-signature-key")
    code, found, _ = command("attribute", *published, "--key", "file:identity.pem", "--nonce", 0, "--json")
    assert code == EXIT_OK
    assert bytes.fromhex(found["arguments"]["value"][2:]).endswith(b'"tag":"dsb-signature-key"}')


def test_the_commands_of_the_page_are_ones() -> None:
    """docs/did.md; the tests above run them."""
    page = (ROOT / "docs" / "did.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("meter-gateway ")]
    assert len(lines) == 13
    for line in lines:
        assert _parser(shlex.split(line)[1:]).parse_args(shlex.split(line)[1:])
    links = re.findall(r"\]\(([^)#:]+)\)", page)
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
