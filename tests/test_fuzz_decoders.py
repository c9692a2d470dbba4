"""Each decoder on a few thousand damaged telegrams; ``make fuzz`` takes a million each and writes docs/fuzz.md."""

from __future__ import annotations

import pytest

from gateway.sources import DECODERS
from tests.fuzz_decoders import TARGETS, fuzz

FRAMES = 3000


@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_never_raises_and_always_reads_the_next_good_telegram(name: str) -> None:
    said = fuzz(name, FRAMES, seed=20)
    assert said.startswith(f"{name}: {FRAMES} damaged telegrams")


def test_every_decoder_is_among_them() -> None:
    """An encrypted form is a target of its own."""
    assert {name.removesuffix("-encrypted").removesuffix("-ciphered") for name in TARGETS} == set(DECODERS)
