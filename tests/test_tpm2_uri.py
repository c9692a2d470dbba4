"""``tpm2:`` URIs and key files: read whole, or refused with the reason, and never with a secret in it."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.keys.tpm2.commands import RH_OWNER, Made
from drivers.keys.tpm2.key import open_tpm2_key
from drivers.keys.tpm2.port import parse_tcti
from drivers.keys.tpm2.tss2 import Tss2Key, decode_key, encode_key
from drivers.keys.tpm2.uri import key_place, parse_uri
from gateway.durable import create_exclusively
from gateway.errors import ConfigError, MalformedError, SignerError
from gateway.signing import KeyRequest

BASE = Path("/base")
#: Opens, and answers nothing: whoever asks this TPM fails otherwise than expected.
NO_TPM = "device:/dev/null"


def test_a_key_is_named_by_handle_or_file() -> None:
    """Relative files start from the base."""
    assert key_place("tpm2:0x81010001", BASE).handle == 0x81010001
    assert key_place("tpm2:key.pem", BASE).path == BASE / "key.pem"
    assert key_place("tpm2:/etc/key.pem", BASE).path == Path("/etc/key.pem")
    assert key_place("tpm2:///etc/key.pem", BASE).path == Path("/etc/key.pem")
    assert key_place("tpm2:0x81010001", BASE).tcti == parse_tcti("device:/dev/tpmrm0")
    assert key_place("tpm2:0x81010001", BASE).tcti.is_managed
    assert not parse_tcti("device:/dev/tpm0").is_managed
    assert parse_uri("tpm2:nv=0x01800010", BASE).index == 0x01800010


def test_what_stands_behind_the_question_mark_is_read() -> None:
    """TPM and sources of auth values."""
    place = parse_uri(
        "tpm2:0x81010001?tcti=swtpm:host=::1,port=99&auth-source=credential:a&owner-auth-source=file:b"
        "&endorsement-auth-source=file:c&signed-by=0x81010002",
        BASE,
    )
    assert (place.tcti.host, place.tcti.port, place.signed_by) == ("::1", 99, "0x81010002")
    sources = (place.auth_source, place.owner_auth_source, place.endorsement_auth_source)
    assert sources == ("credential:a", "file:b", "file:c")


@pytest.mark.parametrize(
    "key", ["auth", "pin", "pin-value", "password", "owner-auth", "auth-source", "owner-auth-source"]
)
def test_a_secret_in_a_uri_is_refused_and_not_repeated(key: str) -> None:
    """An error is logged as well."""
    with pytest.raises(ConfigError, match="credential:NAME") as caught:
        parse_uri(f"tpm2:0x81010001?{key}=hunter2", BASE)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "tpm2",
        "file:x",
        "tpm2:",
        "tpm2:.",
        "tpm2:..",
        "tpm2:a/..",
        "tpm2:nv=0x01800010",
        "tpm2:nv=1",
        "tpm2:nv=0x00000001",
        "tpm2:0x80000000",
        "tpm2:0x81800000",
        "tpm2:0x8101_0001",
        "tpm2:0xyz",
        "tpm2:0x",
        "tpm2://host/x",
        "tpm2:x\0y",
        "tpm2:x?",
        "tpm2:x?tcti",
        "tpm2:x?tcti=",
        "tpm2:x?unknown=1",
        "tpm2:x?tcti=device:/dev/a&tcti=device:/dev/b",
        "tpm2:x?tcti=device:tpm0",
        "tpm2:x?tcti=mssim:host=a",
        "tpm2:x?tcti=swtpm:port=0",
        "tpm2:x?tcti=swtpm:port=65536",
        "tpm2:x?tcti=swtpm:port=x",
        "tpm2:x?tcti=swtpm:path=/x",
    ],
)
def test_what_names_no_key_is_refused(uri: str) -> None:
    """With what would be right."""
    if uri == "tpm2:x?":
        assert key_place(uri, BASE).path == BASE / "x"
        return
    with pytest.raises(ConfigError):
        key_place(uri, BASE)


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_a_config_error(text: str) -> None:
    """Nothing else is raised."""
    for uri in (text, f"tpm2:{text}", f"tpm2:x?{text}", f"tpm2:x?tcti={text}", f"tpm2:x?tcti=swtpm:{text}"):
        try:
            parse_uri(uri, BASE)
        except ConfigError:
            continue


@given(
    st.binary(max_size=300),
    st.binary(max_size=300),
    st.sampled_from([RH_OWNER, 0x81000001, 0x81010001]),
    st.booleans(),
)
def test_a_key_file_is_read_as_it_was_written(private: bytes, public: bytes, parent: int, empty_auth: bool) -> None:
    """Whatever the TPM gave."""
    key = Tss2Key(made=Made(private=private, public=public), parent=parent, empty_auth=empty_auth)
    assert decode_key(encode_key(key)) == key


@given(st.binary(max_size=200))
def test_any_file_is_a_key_or_malformed(data: bytes) -> None:
    """Cut, torn or something else."""
    good = encode_key(Tss2Key(made=Made(private=b"a" * 40, public=b"b" * 40), parent=RH_OWNER, empty_auth=True))
    for damaged in (data, good[: len(data)], good.replace(good[60 : 60 + len(data) % 9], b"A"), data + good):
        try:
            decode_key(damaged)
        except MalformedError:
            continue


GOOD = Tss2Key(made=Made(private=b"a" * 40, public=b"b" * 40), parent=RH_OWNER, empty_auth=True)


def _pem(der: bytes) -> bytes:
    body = base64.b64encode(der)
    return b"-----BEGIN TSS2 PRIVATE KEY-----\n" + body + b"\n-----END TSS2 PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("06066781050a0103", "06066781050a0104", "no loadable key"),
        ("a003", "a103", "needs a policy"),
        ("0101ff", "0201ff", "emptyAuth has the tag 02"),
        ("020440000001", "020450000001", "neither the owner nor"),
        ("042a0028", "052a0028", "has the tag 05"),
        ("042a0028", "04830028", "no DER"),
        ("042a0028", "042a0027", "too many"),
    ],
)
def test_a_key_file_that_is_not_understood_is_refused(tmp_path: Path, old: str, new: str, fault: str) -> None:
    """A policy that would have to be satisfied, another kind of key, a strange parent, or damage."""
    der = base64.b64decode(b"".join(encode_key(GOOD).splitlines()[1:-1]))
    assert old in der.hex()
    (tmp_path / "k.pem").write_bytes(_pem(bytes.fromhex(der.hex().replace(old, new, 1))))
    with pytest.raises(SignerError, match=fault):
        open_tpm2_key(KeyRequest(uri=f"tpm2:k.pem?tcti={NO_TPM}", base=tmp_path), create_exclusively)


def test_damaged_base64_is_malformed() -> None:
    """The lines are there, but not their content."""
    with pytest.raises(MalformedError, match="base64"):
        decode_key(_pem(b"x").replace(b"eA==", b"e===="))


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", bytes(99_999)]
)
def test_a_file_that_is_no_tpm_key_is_refused_without_a_tpm(tmp_path: Path, content: bytes) -> None:
    """The TPM is asked for nothing."""
    (tmp_path / "k.pem").write_bytes(content)
    with pytest.raises(SignerError):
        open_tpm2_key(KeyRequest(uri=f"tpm2:k.pem?tcti={NO_TPM}", base=tmp_path), create_exclusively)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """A link, a directory and a pipe."""
    (tmp_path / "link.pem").symlink_to("k.pem")
    (tmp_path / "folder.pem").mkdir()
    os.mkfifo(tmp_path / "pipe.pem")
    for name in ("link", "folder", "pipe"):
        with pytest.raises(SignerError, match=rf"{name}\.pem: (cannot be opened|is not a regular file)"):
            open_tpm2_key(KeyRequest(uri=f"tpm2:{name}.pem?tcti={NO_TPM}", base=tmp_path), create_exclusively)
