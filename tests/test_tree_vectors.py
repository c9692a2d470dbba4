"""The foreign RFC 9162 proof vectors (transparency-dev/merkle) behave as they say."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.log.tree import verify_consistency, verify_inclusion
from tests.parts import VECTORS, vectors


def _cases(kind: str) -> list[Path]:
    return sorted((VECTORS / "merkle" / kind).rglob("*.json")) or [Path("absent")]


def _load(path: Path) -> dict[str, Any]:
    vectors("merkle")
    return dict(json.loads(path.read_text()))


def _hashes(texts: list[str] | None) -> list[bytes]:
    return [base64.b64decode(text) for text in texts or []]


def _name(path: Path) -> str:
    return "/".join(path.parts[-3:])


@pytest.mark.parametrize("path", _cases("inclusion"), ids=_name)
def test_a_foreign_inclusion_proof_is_judged_as_its_vector_says(path: Path) -> None:
    """Every inclusion vector verifies exactly when it does not want an error."""
    case = _load(path)
    leaf, root = _hashes([case["leafHash"], case["root"]])
    arguments = (leaf, case["leafIdx"], case["treeSize"], _hashes(case["proof"]), root)
    if case["wantErr"]:
        with pytest.raises(GatewayError):
            verify_inclusion(*arguments)
    else:
        verify_inclusion(*arguments)


@pytest.mark.parametrize("path", _cases("consistency"), ids=_name)
def test_a_foreign_consistency_proof_is_judged_as_its_vector_says(path: Path) -> None:
    """Every consistency vector verifies exactly when it does not want an error."""
    case = _load(path)
    roots = _hashes([case["root1"], case["root2"]])
    arguments = (case["size1"], case["size2"], _hashes(case["proof"]), *roots)
    if case["wantErr"]:
        with pytest.raises(GatewayError):
            verify_consistency(*arguments)
    else:
        verify_consistency(*arguments)


def test_the_vector_folder_is_the_whole_set() -> None:
    """A half-copied folder would pass unnoticed: there are 196 cases."""
    folder = vectors("merkle")
    assert len(list(folder.rglob("*.json"))) == 196
