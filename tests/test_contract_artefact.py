"""The compiled contract in the repository is what the compiler makes of the source in the repository."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from gateway.chain.abi import selector, topic, types_of
from gateway.chain.anchors import artefact
from gateway.chain.anchors import contract as anchor
from gateway.chain.anchors.artefact import load
from gateway.errors import ConfigError
from tests.contracts import OURS, artefact_text, compile_sources
from tests.parts import ROOT


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of contracts that ``load`` looks into, to be damaged."""
    shutil.copytree(OURS, tmp_path / "contracts")
    monkeypatch.setattr(artefact, "files", lambda _: tmp_path)
    return tmp_path / "contracts"


def test_the_compiler_makes_the_same_artefact_again() -> None:
    """Byte for byte, with every setting: ``make contracts`` changes nothing."""
    made = compile_sources(OURS)
    assert sorted(made) == sorted(path.stem for path in OURS.glob("*.json"))
    for name, again in made.items():
        assert (OURS / f"{name}.json").read_text() == artefact_text(again)


def test_a_changed_source_refuses_the_artefact(copied: Path) -> None:
    """Even by a comment; what is deployed is what can be read."""
    source = copied / "Anchor.sol"
    assert load().source_sha256
    source.write_text(source.read_text() + "\n")
    with pytest.raises(ConfigError, match="another source"):
        load()


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"source": "Anchor.sol"}', "\x00"])
def test_a_damaged_artefact_is_refused(copied: Path, damage: str) -> None:
    """It says what to do."""
    (copied / "Anchor.json").write_text(damage)
    with pytest.raises(ConfigError, match="install the gateway anew"):
        load()


def test_bytecode_that_is_no_hex_is_refused(copied: Path) -> None:
    """A file that somebody edited."""
    found = json.loads((copied / "Anchor.json").read_text())
    (copied / "Anchor.json").write_text(json.dumps(found | {"bytecode": "0x" + found["bytecode"]}))
    with pytest.raises(ConfigError, match="install the gateway anew"):
        load()


def test_a_contract_that_we_do_not_have_is_refused() -> None:
    """Its name is told."""
    with pytest.raises(ConfigError, match="contract Anker"):
        load("Anker")


def test_the_runtime_has_no_instruction_that_london_lacks() -> None:
    """PUSH0 (0x5f) came later: found by walking over the instructions and what they push."""
    code, at, seen = load().runtime, 0, set()
    while at < len(code):
        seen.add(code[at])
        at += 1 + max(0, code[at] - 0x5F)
    assert 0x60 in seen
    assert not seen & {0x49, 0x4A, 0x5C, 0x5D, 0x5E, 0x5F}


def test_the_binding_names_what_the_contract_has() -> None:
    """Each function, event and error that the binding writes out is in the ABI, and no event or error is left out."""
    text = (ROOT / "gateway/chain/anchors/contract.py").read_text().replace("{_STATEMENT}", anchor._STATEMENT)
    text = text.replace("{form}", "announce")
    written = {name for name in re.findall(r'"(\w+\([a-z0-9,\[\]]*\))"', text) if name != "contracts"}
    known = {(kind, name) for kind, name in map(_declared, load().abi)}
    forms = {f"{form}(bytes32,{anchor._STATEMENT})" for form in ("announce", "anchor", "submit")}
    named = written | forms
    assert named <= {name for _, name in known}
    assert {name for kind, name in known if kind in ("event", "error")} <= named
    for name in named:
        assert selector(name) == topic(name)[:4]
        assert isinstance(types_of(name), tuple)


def test_topics_are_split_from_data_as_the_contract_declares_it() -> None:
    """How many values of each event are indexed, and that those come first."""
    for item in load().abi:
        if item["type"] == "event":
            marks = [given["indexed"] for given in item["inputs"]]
            assert marks == sorted(marks, reverse=True)
            assert sum(marks) == anchor._EVENTS.get(_declared(item)[1], 1)


def test_a_log_is_named_as_the_contract_names_it() -> None:
    """The hash that ethers gives of the two words; the contract's own is compared where it runs."""
    assert anchor.log_of("0x" + 39 * "0" + "1", "example.org/roof-7").hex() == (
        "1c25294baff8a01a5e27e7cdaa6dd755b5629220212cf0a2064833370f305483"
    )


def _declared(item: dict[str, object]) -> tuple[str, str]:
    inputs = item.get("inputs", [])
    assert isinstance(inputs, list)
    return str(item["type"]), f"{item.get('name')}({','.join(given['type'] for given in inputs)})"
