"""The JSON Schema for editors (docs/meter-definition.schema.json) says what the reader of definition files says."""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from drivers.modbus.definition import SHIPPED, TRUSTS, TYPES, WORD_ORDERS, list_definitions, load_definition
from gateway.errors import ConfigError
from tests.parts import ROOT, missing
from tests.test_definitions_file import GOOD

SCHEMA = json.loads((ROOT / "docs" / "meter-definition.schema.json").read_text())
#: Every key that there is.
FULL = GOOD.replace(
    "requests: {max_registers: 20}",
    "requests: {max_registers: 20, max_gap: 4, barriers: [8], align_even: false, turnaround_ms: 5, refresh_ms: 100}\n"
    "serial: {baud: 9600, parity: none, stop_bits: 1}\nnotes: None.\n"
    "identify:\n  - {address: 0x0100, function: 3, type: u16, word_order: abcd, equals: [0x20]}\n"
    "  - {point: power_total, between: [-5, 5000]}",
).replace(
    "trust: hardware}\n", "trust: hardware, url: 'https://example.org/one.pdf'}\n"
).replace(
    "scale10: -1}",
    "scale10: -1, monotonic: false, resettable: true, max_per_hour: 5, required: true, default: true, doc: page 4}",
)  # fmt: skip
EXTENDING = """\
id: acme-two
extends: eastron-sdm630
drop: [energy_total]
points:
  import_total: {max_per_hour: 2000}
"""
SUNSPEC = """\
id: acme-three
manufacturer: Acme
models: [Three]
trust: document
sources: [{title: Manual, where: page 1, trust: document}]
sunspec: {model: 203, length: 105}
defaults: {function: 3, type: i16}
points:
  power_total: {obis: "1-0:16.7.0", unit: W, address: 18, scale_register: 22}
vectors: [{point: power_total, words: [0xfa10], scale: 0, value: -1520}]
"""


@pytest.fixture(scope="module")
def schema() -> Any:
    """The schema, as a validator that nobody here wrote."""
    try:
        jsonschema = importlib.import_module("jsonschema")
    except ModuleNotFoundError:
        missing("jsonschema; pip install jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


def read_as_editors_do(text: str) -> Any:
    return yaml.safe_load(text)


@pytest.mark.parametrize("model", list_definitions())
def test_every_shipped_file_fits(schema: Any, model: str) -> None:
    """An editor underlines nothing in them."""
    found = read_as_editors_do((SHIPPED / f"{model}.yaml").read_text())
    assert [error.message for error in schema.iter_errors(found)] == []


@pytest.mark.parametrize("text", [GOOD, FULL, EXTENDING, SUNSPEC])
def test_every_key_is_known_to_both(schema: Any, tmp_path: Path, text: str) -> None:
    """A file with all keys is one to the reader, and fits the schema."""
    path = tmp_path / "acme.yaml"
    path.write_text(text)
    assert load_definition(path).points
    assert [error.message for error in schema.iter_errors(read_as_editors_do(text))] == []


def below(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every mapping."""
    if isinstance(node, dict):
        yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from below(value, (*path, key))


@pytest.mark.parametrize("text", [FULL, EXTENDING, SUNSPEC])
def test_an_unknown_key_is_unknown_to_both(schema: Any, tmp_path: Path, text: str) -> None:
    """Wherever it stands."""
    whole = read_as_editors_do(text)
    for path in below(whole):
        changed = copy.deepcopy(whole)
        place = changed
        for key in path:
            place = place[key]
        place["wrong key"] = 1
        assert list(schema.iter_errors(changed)), path
        file = tmp_path / "acme.yaml"
        file.write_text(yaml.safe_dump(changed))
        with pytest.raises(ConfigError):
            load_definition(file)


@pytest.mark.parametrize("text", [FULL, SUNSPEC])
def test_a_key_that_the_schema_misses_is_missed_by_the_reader(schema: Any, tmp_path: Path, text: str) -> None:
    """What the schema asks for, the reader asks for too."""
    whole = read_as_editors_do(text)
    for path in below(whole):
        place = whole
        for key in path:
            place = place[key]
        for key in list(place):
            changed = copy.deepcopy(whole)
            inner = changed
            for step in path:
                inner = inner[step]
            del inner[key]
            file = tmp_path / "acme.yaml"
            file.write_text(yaml.safe_dump(changed, sort_keys=False))
            if list(schema.iter_errors(changed)):
                with pytest.raises(ConfigError):
                    load_definition(file)


def test_the_words_are_the_readers() -> None:
    """Types, word orders and kinds of trust are those of the code."""
    point = SCHEMA["$defs"]["point"]["properties"]
    assert point["type"]["enum"] == list(TYPES)
    assert point["word_order"]["enum"] == list(WORD_ORDERS)
    assert SCHEMA["$defs"]["trust"]["enum"] == list(TRUSTS)


def test_every_key_is_described() -> None:
    """An editor has something to show for each."""

    def keys(node: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(node, dict):
            for name, value in node.get("properties", {}).items():
                if isinstance(value, dict) and value.keys() & {"type", "enum", "description"}:
                    yield name, value
            for value in node.values():
                yield from keys(value)

    rest = copy.deepcopy(SCHEMA)
    del rest["else"]
    found = list(keys(rest))
    assert len(found) > 40
    assert [name for name, value in found if not value.get("description", "").endswith(".")] == []
