"""The keys and values of precise proofs: their one text, and how that text is packed before it is hashed.

A value becomes text so (npm ``precise-proofs-js`` 1.2.0, ``canonizeValue``)::

    text                  base64 of its UTF-8; a valid address stays as it is
    integer               its decimal digits
    true, false, null     these words
    object, array         JSON without spaces, members as JavaScript orders them

and keys, texts of values and salts are packed by ``soliditySha3`` (npm ``web3-utils`` 1.2.6), which guesses a type::

    40 hex digits, with or without 0x            20 bytes, an address; mixed case must be EIP-55's checksum
    0x and hex digits                            those bytes
    what JavaScript takes for a finite number    32 bytes, big-endian, two's complement
    anything else                                UTF-8, without the NULs at both ends

The guess makes one hash stand for several keys or values. So that a leaf has one meaning, this module refuses what
could be taken for something else, where the library says nothing:

- fractions (it throws), and empty text, which is hashed as 0;
- text whose base64 looks like a number or an address: U+3378 is ``4424`` there;
- integers outside -2^248 … 2^248-1, which other texts or signs share, and those of 40 digits: taken for addresses;
- keys that look like a number or like hex digits, but for ``0``, ``1``, … and addresses with 0x; NULs in keys;
- addresses without 0x, and those whose bytes are UTF-8 text (one in 100,000);
- in objects and arrays: fractions, and integers beyond 2^53-1, which no JavaScript number holds.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from gateway.errors import ConfigError, MalformedError
from gateway.signing.evm import keccak256

#: What a document may hold: text, integers, booleans, None, and objects and arrays of them.
Value = str | int | bool | Mapping[str, Any] | list[Any] | None

#: How long the text of a value may be, in characters.
TEXT_MAX = 65_536
_DEPTH_MAX = 16
_WORD = 32
#: Its two ends are 00 or ff in the first byte of 32, which no text begins with.
_LIMIT = 2**248
_JS_SAFE = 2**53 - 1
_INDEX = re.compile(r"0|[1-9][0-9]{0,77}")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,77}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_BARE_ADDRESS = re.compile(r"(0[xX])?[0-9a-fA-F]{40}")
#: The other form of an address that the library keeps: ICAP, with check digits (ethers 5, ``getAddress``).
_ICAP = re.compile(r"XE[0-9]{2}[0-9A-Za-z]{30,31}")
#: What JavaScript takes for a number (ECMA-262, StringToNumber), and hex digits, which the guess looks for first.
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|0[bB][01]+|0[oO][0-7]+|-?0[xX].*", re.DOTALL)
#: JavaScript trims this as well, Python does not.
_BYTE_ORDER_MARK = "\ufeff"
_WORDS = {"true": True, "false": False, "null": None}


def canonical(value: Value) -> str:
    """The text of a value. Raises ConfigError for what is ambiguous; the module says what is."""
    if isinstance(value, str):
        text = _text(value)
    elif type(value) is int:
        _check_integer(value)
        text = str(value)
    elif isinstance(value, Mapping) and "_isBigNumber" in value:
        raise ConfigError("an object with the member _isBigNumber: precise-proofs-js takes it for a number; rename it")
    else:
        text = _json(value, 0)
    if len(text) > TEXT_MAX:
        raise ConfigError(f"a value takes {len(text)} characters; at most {TEXT_MAX} are hashed")
    return text


def value_of(text: str) -> Value:
    """The exact inverse of ``canonical``. Raises MalformedError for every text that it does not make."""
    if len(text) > TEXT_MAX:
        raise MalformedError(f"the text of a value has {len(text)} characters; at most {TEXT_MAX} are read")
    value = _parsed(text)
    try:
        again = canonical(value)
    except ConfigError as error:
        raise MalformedError(f"the text of a value, {text:.60}: {error}") from error
    if again != text:
        raise MalformedError(f"the text of a value, {text:.60}, is not the one that this value has")
    return value


def packed_value(text: str) -> bytes:
    """What is hashed of a text that ``canonical`` made."""
    if _INTEGER.fullmatch(text):
        return int(text).to_bytes(_WORD, "big", signed=True)
    return bytes.fromhex(text[2:]) if _ADDRESS.fullmatch(text) else text.encode()


def packed_key(key: str) -> bytes:
    """What is hashed of a key. Raises ConfigError for what is ambiguous; the module says what is."""
    if _INDEX.fullmatch(key):
        _check_integer(int(key))
        return int(key).to_bytes(_WORD, "big")
    if is_address(key):
        return _address_bytes(key)
    bare = key.strip().strip(_BYTE_ORDER_MARK).strip()
    if not bare or _NUMBER.fullmatch(bare) or _BARE_ADDRESS.fullmatch(bare):
        raise ConfigError(f"key {key!r:.60} would be hashed like another one, as a number or as bytes; rename it")
    if "\0" in key:
        raise ConfigError(f"key {key!r:.60} has a NUL, which is not always hashed; rename it")
    return _utf8(key)


def strict_json(text: str) -> Any:
    """What the JSON text says. Raises ValueError, RecursionError where it is none or has a name twice in an object."""
    return json.loads(text, object_pairs_hook=_members)


def is_address(text: str) -> bool:
    """Whether it is ``0x`` and 40 hex digits in one case, or in the mixed case of EIP-55."""
    if not _ADDRESS.fullmatch(text):
        return False
    digits = text[2:]
    if digits in (digits.lower(), digits.upper()):
        return True
    marks = keccak256(digits.lower().encode()).hex()
    return all(
        char == (char.upper() if int(mark, 16) > 7 else char.lower())
        for char, mark in zip(digits, marks[:40], strict=True)
    )


def _text(value: str) -> str:
    if is_address(value):
        _address_bytes(value)
        return value
    if _ICAP.fullmatch(value) or is_address(f"0x{value}"):
        raise ConfigError(f"text {value!r:.60} can be read as an address; write that as 0x and 40 hex digits")
    text = base64.b64encode(_utf8(value)).decode()
    if not text:
        raise ConfigError("empty text is hashed like the number 0; leave the field out, or write a word")
    if _NUMBER.fullmatch(text) or _BARE_ADDRESS.fullmatch(text):
        raise ConfigError(f"text {value!r:.60} is hashed like {text:.60}, the number or address; write it otherwise")
    return text


def _address_bytes(address: str) -> bytes:
    data = bytes.fromhex(address[2:])
    try:
        data.decode()
    except UnicodeDecodeError:
        return data
    raise ConfigError(f"address {address} is hashed like the text that its bytes are; use another account")


def _check_integer(value: int) -> None:
    if not -_LIMIT <= value < _LIMIT or 10**39 <= value < 10**40:
        raise ConfigError(
            f"integer {value if abs(value) < 10**80 else 'of more than 80 digits'}: those from -2^248 to 2^248-1 have "
            "a hash of their own, but for those of 40 digits; write it as text"
        )


def _json(value: Any, depth: int) -> str:
    """As ``JSON.stringify`` writes it."""
    if depth > _DEPTH_MAX:
        raise ConfigError(f"objects and arrays within each other more than {_DEPTH_MAX} deep")
    if value is None or isinstance(value, (bool, str)):
        if isinstance(value, str):
            _utf8(value)
        return json.dumps(value, ensure_ascii=False)
    if type(value) is int:
        if abs(value) > _JS_SAFE:
            raise ConfigError("an integer beyond 2^53-1 in an object or array: JavaScript rounds it; give text")
        return str(value)
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        names = _js_order(value)
        return "{" + ",".join(f"{_json(name, depth)}:{_json(value[name], depth + 1)}" for name in names) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_json(item, depth + 1) for item in value) + "]"
    if isinstance(value, float):
        raise ConfigError(f"{value!r} is a fraction, which has no hash; give an integer in a smaller unit, or text")
    raise ConfigError(f"a value of type {type(value).__name__}: JSON has none; give text, an integer, a list or a dict")


def _js_order(names: Mapping[str, Any]) -> list[str]:
    """Array indexes first, in their order, then the others as they stand (ECMA-262, OrdinaryOwnPropertyKeys)."""
    indexes = {name for name in names if _INDEX.fullmatch(name) and int(name) < 2**32 - 1}
    return sorted(indexes, key=int) + [name for name in names if name not in indexes]


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"text {text!r:.60} cannot be written as UTF-8: {error.reason}") from error


def _parsed(text: str) -> Value:
    """The value that a text seems to be of; ``value_of`` checks it."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _ADDRESS.fullmatch(text):
        return text
    try:
        if text[:1] in ("{", "["):
            found: Value = strict_json(text)
            return found
        return base64.b64decode(text, validate=True).decode()
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"the text of a value, {text:.60}, is none: {error}") from error


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
