"""The sealed config's format: one encoding, opened by one vault, and no byte of it can be another."""

from __future__ import annotations

import base64
import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigError, GatewayError, MalformedError, SignerError
from gateway.sealing import SEALED_KEY_MAX, Sealed, decode, encode, is_sealed, seal, unseal
from tests.vaults import MemoryVault

URI = "pkcs11:token=meter;object=config?pin-source=credential:token-pin"
TEXT = b"origin: example.org/sealed\nmeters: []\n"
#: Of a vault whose blobs are the secret itself, and random bytes 0, 1, 2 and so on; encrypted with PyCryptodome.
GOLDEN = b"""\
meter-gateway-sealed-config/v1
vault: tpm2:

ACAAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqK71IzxcF9iAufwQj
o7F0kde/O4uz4O8PigmYZlLGha5gtMwIjOzi2bO8UGk=
"""

uris = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200)
files = st.builds(
    Sealed,
    vault=uris,
    sealed_key=st.binary(min_size=1, max_size=300),
    nonce=st.binary(min_size=12, max_size=12),
    text=st.binary(min_size=16, max_size=400),
)


class GlassVault:
    """Seals nothing at all, so that the bytes are the same each time."""

    def seal(self, secret: bytes) -> bytes:
        return secret

    def unseal(self, blob: bytes) -> bytes:
        return blob


@pytest.fixture
def vault() -> MemoryVault:
    return MemoryVault()


@given(files)
def test_decode_is_the_inverse_of_encode(sealed: Sealed) -> None:
    """Lines of 76 characters, each with its end."""
    data = encode(sealed)
    assert decode(data) == sealed
    assert is_sealed(data)
    assert all(len(line) <= 76 for line in data.split(b"\n\n", 1)[1].splitlines())


@given(files, st.data())
def test_what_is_decoded_encodes_to_the_same_bytes(sealed: Sealed, data: st.DataObject) -> None:
    """However a file is changed, it is refused, or is what it would be written as."""
    whole = bytearray(encode(sealed))
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        whole[at : at + data.draw(st.integers(0, 1))] = data.draw(st.binary(max_size=2))
    try:
        changed = decode(bytes(whole))
    except MalformedError:
        return
    assert encode(changed) == bytes(whole)


@given(st.binary(max_size=2000))
def test_what_is_sealed_is_opened(text: bytes) -> None:
    """Byte for byte, and never twice to the same file."""
    vault = MemoryVault()
    data = seal(text, URI, vault)
    assert unseal(decode(data), vault) == text
    assert decode(data).vault == URI
    assert seal(text, URI, vault) != data


def test_the_golden_file_is_made_and_opened() -> None:
    """The bytes do not change from release to release."""
    numbers = itertools.count()
    made = seal(
        b"origin: example.org/golden\n", "tpm2:", GlassVault(), lambda size: bytes(itertools.islice(numbers, size))
    )
    assert made == GOLDEN
    assert unseal(decode(GOLDEN), GlassVault()) == b"origin: example.org/golden\n"


def test_the_text_and_its_key_are_not_in_the_file(vault: MemoryVault) -> None:
    """Neither plain nor as base64; the vault is given the key, not the text."""
    data = seal(TEXT, URI, vault)
    body = decode(data).body
    assert TEXT[:8] not in data + body
    assert [len(secret) for secret in vault.secrets] == [32]
    assert vault.secrets[0] not in body


def test_every_byte_changed_is_refused(vault: MemoryVault) -> None:
    """In the readable lines, the base64 and all that is in it; a change of the URI is one of what was sealed."""
    data = seal(TEXT, URI, vault)
    for at, byte in enumerate(data):
        for changed in {byte ^ 1, byte ^ 0x20, ord("A"), ord("\n")} - {byte}:
            forged = data[:at] + bytes([changed]) + data[at + 1 :]
            with pytest.raises((MalformedError, SignerError)):
                unseal(decode(forged), vault)


def test_every_bit_of_the_body_counts(vault: MemoryVault) -> None:
    """Also where the file is written anew around it."""
    sealed = decode(seal(TEXT, URI, vault))
    head, body = sealed.head, sealed.body
    for at in range(len(body)):
        for bit in range(8):
            forged = body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :]
            lines = [base64.b64encode(forged)[start : start + 76] + b"\n" for start in range(0, len(body) * 2, 76)]
            with pytest.raises((MalformedError, SignerError)):
                unseal(decode(head + b"".join(line for line in lines if line != b"\n")), vault)


def test_a_file_that_is_cut_or_grown_is_refused(vault: MemoryVault) -> None:
    """At every place."""
    data = seal(TEXT, URI, vault)
    for end in range(len(data)):
        with pytest.raises((MalformedError, SignerError)):
            unseal(decode(data[:end]), vault)
    for more in (b"\n", b"A", b"AAAA\n", b"\0", data):
        with pytest.raises(MalformedError):
            decode(data + more)


def test_parts_of_two_files_make_no_third(vault: MemoryVault) -> None:
    """The text of one under the key, the nonce or the URI of another of the same vault is refused."""
    one, other = (decode(seal(text, URI, vault)) for text in (TEXT, TEXT + b"#\n"))
    mixed = [
        {"vault": URI + "2"},
        {"sealed_key": other.sealed_key},
        {"nonce": other.nonce},
        {"text": other.text},
        {"sealed_key": other.sealed_key, "nonce": other.nonce},
    ]
    for changes in mixed:
        fields = {name: getattr(one, name) for name in ("vault", "sealed_key", "nonce", "text")}
        with pytest.raises(MalformedError, match="was changed after it was sealed"):
            unseal(Sealed(**(fields | changes)), vault)


def test_another_vault_opens_nothing(vault: MemoryVault) -> None:
    """The vault's own word is what is raised; a secret of another kind is no data key."""
    data = seal(TEXT, URI, vault)
    with pytest.raises(SignerError, match="did not seal it"):
        unseal(decode(data), MemoryVault())
    sealed = decode(data)
    other = Sealed(vault=URI, sealed_key=vault.seal(b"a PIN"), nonce=sealed.nonce, text=sealed.text)
    with pytest.raises(MalformedError, match="key of something else"):
        unseal(other, vault)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"meter-gateway-sealed-config/v2\nvault: tpm2:\n\n", "a newer release"),
        (b"meter-gateway-sealed-config/v1\r\nvault: tpm2:\r\n\r\n", "a newer release"),
        (b"meter-gateway-sealed-config/v1\nvault: \n\n", "names no vault"),
        (b"meter-gateway-sealed-config/v1\nVault: tpm2:\n\n", "names no vault"),
        (b"meter-gateway-sealed-config/v1\nvault: tpm2: x\n\n", "names no vault"),
        (b"meter-gateway-sealed-config/v1\nvault: tpm2:\x1b[2J\n\n", "names no vault"),
        (b"meter-gateway-sealed-config/v1\nvault: tpm2:\nmore: 1\n\n", "names no vault"),
        (b"meter-gateway-sealed-config/v1\nvault: tpm2:\n", "names no vault"),
        (b"meter-gateway-sealed-config/v1\nvault: " + b"x" * 1001 + b"\n\n", "names no vault"),
    ],
)
def test_other_heads_are_refused(head: bytes, says: str) -> None:
    """They are meant to be sealed, and are told from YAML all the same."""
    data = head + GOLDEN.partition(b"\n\n")[2]
    assert is_sealed(data)
    with pytest.raises(MalformedError, match=says):
        decode(data)


@pytest.mark.parametrize("uri", ["", "tpm2: x", "tpm2:\n", "pkcs11:token=Zähler", "x" * 1001])
def test_a_vault_whose_uri_cannot_be_a_line_is_refused(uri: str, vault: MemoryVault) -> None:
    """Before the vault is asked for anything."""
    with pytest.raises(ConfigError, match="percent-encode"):
        seal(TEXT, uri, vault)
    assert vault.secrets == []


def test_a_vault_with_endless_blobs_is_refused() -> None:
    """What could not be read again is not written."""

    class Endless(GlassVault):
        def seal(self, secret: bytes) -> bytes:
            return bytes(SEALED_KEY_MAX + 1)

    with pytest.raises(SignerError, match="at most 4096"):
        seal(TEXT, URI, Endless())


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise_anything_else(data: bytes) -> None:
    """Hostile files are refused with the gateway's own errors."""
    for start in (b"", GOLDEN.partition(b"\n\n")[0] + b"\n\n"):
        with contextlib.suppress(GatewayError):
            unseal(decode(start + data), GlassVault())
