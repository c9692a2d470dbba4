"""Records for the tests of precise proofs, the odd ones among them; none that is refused, but by chance."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.chain.notary.precise_text import packed_key
from gateway.errors import ConfigError
from tests.precise_oracle import SAFE

#: Characters of numbers, hex digits, base64, JSON's escapes, blanks of JavaScript, and others of one to four bytes.
ODD = '0123456789abcdefABCDEFxXobOB+-._ =/"\\\n\t\x7f\x00\u00a0\u2028\ufeff\u3378\u05d0é٣１𝟙'
odd_texts = st.text(st.sampled_from(ODD), max_size=50)
texts = odd_texts | st.text(max_size=50)
addresses = st.binary(min_size=20, max_size=20).map(lambda data: f"0x{data.hex()}")
integers = (
    st.integers(-(2**248), 2**248 - 1)
    | st.integers(-SAFE - 2, SAFE + 2)
    | st.integers(10**38, 10**41)
    | st.sampled_from([0, 1, -1, 2**53, 2**64, 10**21, -(10**39), -(2**248), 2**248 - 1])
)
inner = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | texts,
    lambda items: st.lists(items, max_size=4) | st.dictionaries(texts, items, max_size=4),
    max_leaves=8,
)
values = integers | texts | addresses | inner
indexes = st.integers(0, 2**64).map(str)
keys = texts | indexes | addresses


def is_key(text: str) -> bool:
    """Whether it may name a field."""
    try:
        packed_key(text)
    except ConfigError:
        return False
    return True
