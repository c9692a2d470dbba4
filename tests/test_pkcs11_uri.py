"""``pkcs11:`` URIs: read exactly, written in one form, and never the place of a secret; and the libraries they name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.keys.pkcs11.modules import MODULES, load_module, module_of
from drivers.keys.pkcs11.uri import Pkcs11Uri, parse_uri
from gateway.errors import ConfigError, SignerError

PLAIN = "pkcs11:token=meter;object=device"


def words(size: int) -> st.SearchStrategy[str]:
    """Texts of at most *size* bytes."""
    chars = st.characters(exclude_characters="\0", exclude_categories=("Cs",))
    return st.text(chars, min_size=1, max_size=size).filter(lambda text: len(text.encode()) <= size)


def maybe(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    return st.none() | strategy


MODULE = st.sampled_from(
    [{}, {"module_name": "softhsm2"}, {"module_name": "ünknown"}, {"module_path": "/usr/lib/a b.so"}]
)
URIS = st.builds(
    lambda module, **fields: Pkcs11Uri(**module, **fields),
    module=MODULE,
    token=words(32),
    manufacturer=maybe(words(32)),
    serial=maybe(words(16)),
    model=maybe(words(16)),
    slot_id=st.none() | st.integers(0, 2**63),
    object=words(64),
    id=st.none() | st.binary(min_size=1, max_size=32),
    type=st.sampled_from([None, "private", "secret-key"]),
    pin_source=st.none() | words(20).map(lambda name: f"file:/{name}"),
)


@given(URIS)
def test_text_and_parse_are_inverses(uri: Pkcs11Uri) -> None:
    """Whatever the labels hold; and the text is of ASCII characters that need no quotes in YAML or a shell's."""
    text = uri.text()
    assert parse_uri(text) == uri
    assert parse_uri(text).text() == text
    assert text.isascii()
    assert not set(text) & set(' "#\\\n')


@given(st.text(max_size=60) | st.text("pkcs11:tokenbjid=%;?&12a", max_size=60).map(lambda text: f"pkcs11:{text}"))
def test_any_text_is_a_uri_or_a_config_error(text: str) -> None:
    """Nothing else is raised; what is taken has one form."""
    try:
        uri = parse_uri(text)
    except ConfigError:
        return
    assert parse_uri(uri.text()) == uri


def test_every_attribute_has_its_place() -> None:
    """In any order; percent-encoding means the character."""
    uri = parse_uri(
        "pkcs11:serial=0f;id=%01%FFa;token=My%20token;object=d%C3%A9;model=SoftHSM%20v2;manufacturer=x;slot-id=3;"
        "type=private?pin-source=credential:token-pin&module-path=/opt/lib.so"
    )
    assert uri == Pkcs11Uri(
        token="My token",
        manufacturer="x",
        serial="0f",
        model="SoftHSM v2",
        slot_id=3,
        object="dé",
        id=b"\x01\xffa",
        type="private",
        module_path="/opt/lib.so",
        pin_source="credential:token-pin",
    )
    assert uri.text() == (
        "pkcs11:token=My%20token;manufacturer=x;serial=0f;model=SoftHSM%20v2;slot-id=3;object=d%C3%A9;id=%01%FF%61;"
        "type=private?module-path=/opt/lib.so&pin-source=credential:token-pin"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file:device-key.pem", "not a pkcs11: URI"),
        ("PKCS11:token=a;object=b", "not a pkcs11: URI"),
        ("pkcs11:", "names no token"),
        ("pkcs11:object=device", "names no token"),
        ("pkcs11:token=meter", "names no object"),
        (f"{PLAIN};colour=red", "'colour'.*is no attribute of the path.*known are token"),
        (f"{PLAIN};pin-source=file:/x", "'pin-source'.*other side of the [?]"),
        (f"{PLAIN}?token=a", "'token'.*other side of the [?]"),
        (f"{PLAIN};token=other", "'token': stands twice"),
        (f"{PLAIN};", "''.*is no attribute"),
        (f"{PLAIN}?", "''.*is no attribute"),
        (f"{PLAIN};id=", "'id': has no value"),
        (f"{PLAIN};id", "'id': has no value"),
        (f"{PLAIN};id=%4", "'id': '%4' has a character"),
        (f"{PLAIN};id=%zz", "'id': '%zz' has a character"),
        ("pkcs11:token=my token;object=a", "'token'.*space is %20"),
        ("pkcs11:token=a/b;object=a", "must be percent-encoded"),
        ("pkcs11:token=é;object=a", "must be percent-encoded"),
        ("pkcs11:token=%FF;object=a", "not UTF-8"),
        ("pkcs11:token=%00;object=a", "NUL"),
        (f"pkcs11:token={'a' * 33};object=a", "has 33 bytes; PKCS#11 has room for 32"),
        (f"{PLAIN};slot-id=0x1", "'0x1' is no decimal"),
        (f"{PLAIN};slot-id=01", "'01' is no decimal"),
        (f"{PLAIN};type=cert", "'cert' is no key"),
        (f"{PLAIN}?module-path=lib.so", "'lib.so' is not absolute"),
        (f"{PLAIN}?module-path=/lib.so&module-name=optee", "stands beside module-name"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    """The attribute, the fault, the value and what to do."""
    with pytest.raises(ConfigError, match=says):
        parse_uri(text)


@pytest.mark.parametrize(
    "secret",
    [
        "?pin-value=314159",
        "?PIN-VALUE=314159",
        "?pin%2Dvalue=314159",
        "?pin_value=314159",
        ";pin-value=314159",
        ";x=%;pin-value=314159",
        "?pin-source=314159",
        "?pin-source=314159 0",
        "?pin=314159",
    ],
)
def test_a_secret_in_a_uri_is_refused_and_not_repeated(secret: str) -> None:
    """The message says where a PIN belongs."""
    with pytest.raises(ConfigError) as caught:
        parse_uri(PLAIN + secret)
    assert "314159" not in str(caught.value)
    if "value" in secret.lower():
        assert "pin-source=credential:NAME or pin-source=file:/path" in str(caught.value)


def test_an_unknown_module_lists_the_known() -> None:
    """And the default is p11-kit's proxy."""
    with pytest.raises(ConfigError, match="'softhsm' is unknown; known are softhsm2, optee"):
        module_of(parse_uri(f"{PLAIN}?module-name=softhsm"))
    assert module_of(parse_uri(PLAIN)) is MODULES["p11-kit"]


def test_a_missing_library_says_what_brings_it(tmp_path: Path) -> None:
    """The file that was looked for, and the package."""
    with pytest.raises(
        SignerError, match=r"yubihsm_pkcs11\.so: not found; install yubihsm-pkcs11 .*YUBIHSM_PKCS11_CONF"
    ):
        load_module(parse_uri(f"{PLAIN}?module-name=yubihsm"), tmp_path)
    with pytest.raises(SignerError, match=r"libckteec\.so\.0: not found; apt-get install optee-client"):
        load_module(parse_uri(f"{PLAIN}?module-name=optee"), tmp_path)
    with pytest.raises(SignerError, match=r"/nowhere/lib\.so: not found; check module-path"):
        load_module(parse_uri(f"{PLAIN}?module-path=/nowhere/lib.so"))


def test_a_broken_library_is_told_from_a_missing_one(tmp_path: Path) -> None:
    """A file that is no library, and a library that is no PKCS#11 one."""
    broken = tmp_path / "usr" / "lib" / "some-triplet" / "pkcs11" / "yubihsm_pkcs11.so"
    broken.parent.mkdir(parents=True)
    broken.write_text("no library")
    with pytest.raises(SignerError, match=r"too short|invalid ELF"):
        load_module(parse_uri(f"{PLAIN}?module-name=yubihsm"), tmp_path)
    with open("/proc/self/maps") as maps:
        libc = next(line.split()[-1] for line in maps if "/libc.so" in line or "/libc-2" in line)
    with pytest.raises(SignerError, match="is no PKCS#11 library"):
        load_module(parse_uri(f"{PLAIN}?module-path={libc}"))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_how_to_get_it(name: str) -> None:
    """A row without files or a remedy helps nobody."""
    module = MODULES[name]
    assert all(file.endswith((".so", ".so.0", ".so.1")) for file in module.files)
    assert module.remedy.startswith(("apt-get install", "install"))
    assert module.algorithms
