"""The contract of ``drivers.telegram.Decoder``: every decoder's tests subclass this, third parties' as well.

A subclass overrides two fixtures::

    class TestMyDecoder(DecoderContract):
        @pytest.fixture
        def make(self) -> Callable[[], Decoder]: ...       # a new decoder
        @pytest.fixture
        def stream(self) -> bytes: ...                     # two good telegrams or more, one behind the other
"""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable

import pytest

from drivers.telegram import BrokenTelegram, Decoder, Telegram

MEMORY_BYTES_MAX = 1_000_000


def run(decoder: Decoder, *pieces: bytes) -> list[Telegram | BrokenTelegram]:
    """All that comes of the pieces, and of the end behind them."""
    return [found for piece in pieces for found in decoder.feed(piece)] + decoder.end()


def good(found: list[Telegram | BrokenTelegram]) -> list[Telegram]:
    return [one for one in found if isinstance(one, Telegram)]


class DecoderContract:
    """What every decoder must do."""

    @pytest.fixture
    def make(self) -> Callable[[], Decoder]:
        raise NotImplementedError("override this fixture with a factory of decoders")

    @pytest.fixture
    def stream(self) -> bytes:
        raise NotImplementedError("override this fixture with good telegrams")

    def test_good_telegrams_come_out_one_by_one(self, make: Callable[[], Decoder], stream: bytes) -> None:
        found = run(make(), stream)
        assert len(good(found)) == len(found) >= 2
        for telegram in good(found):
            assert telegram.points
            assert all(point.value is not None or point.text or point.fault for point in telegram.points)
            codes = [point.code for point in telegram.points]
            assert len(codes) == len(set(codes)), "each code stands once"

    def test_the_size_of_the_pieces_does_not_matter(self, make: Callable[[], Decoder], stream: bytes) -> None:
        whole = run(make(), stream)
        assert run(make(), *[stream[at : at + 1] for at in range(len(stream))]) == whole
        source = random.Random(7)
        for _ in range(20):
            cuts = sorted(source.sample(range(len(stream)), min(5, len(stream))))
            pieces = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
            assert run(make(), *pieces) == whole

    def test_a_flipped_bit_harms_one_telegram_and_gives_no_wrong_value(
        self, make: Callable[[], Decoder], stream: bytes
    ) -> None:
        """Each telegram that comes out is one of the good ones; where one is missing, something broken is told."""
        whole = run(make(), stream)
        known = {telegram.raw for telegram in good(whole)}
        source = random.Random(11)
        for _ in range(300):
            at, bit = source.randrange(len(stream)), 1 << source.randrange(8)
            damaged = bytearray(stream)
            damaged[at] ^= bit
            found = run(make(), bytes(damaged))
            assert {telegram.raw for telegram in good(found)} <= known
            if len(good(found)) < len(whole):
                assert any(isinstance(one, BrokenTelegram) for one in found)
            assert len(good(found)) >= len(whole) - 2

    def test_noise_in_front_and_between_costs_no_telegram(self, make: Callable[[], Decoder], stream: bytes) -> None:
        source = random.Random(13)
        noise = bytes(source.randrange(256) for _ in range(200))
        found = run(make(), noise, stream, noise, stream)
        assert len(good(found)) >= 2 * len(run(make(), stream)) - 2
        assert good(found)[-1] == run(make(), stream)[-1]

    def test_a_broken_telegram_names_its_fault(self, make: Callable[[], Decoder], stream: bytes) -> None:
        found = run(make(), stream[: len(stream) // 3])
        broken = [one for one in found if isinstance(one, BrokenTelegram)]
        assert all(one.error and len(one.raw) <= 4096 for one in broken)

    def test_endless_noise_costs_no_memory(self, make: Callable[[], Decoder], stream: bytes) -> None:
        decoder, source = make(), random.Random(17)
        tracemalloc.start()
        try:
            for _ in range(300):
                decoder.feed(source.randbytes(4096))
                decoder.feed(stream[: source.randrange(len(stream))])
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert used < MEMORY_BYTES_MAX
