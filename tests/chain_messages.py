"""What is signed for chains beside transactions: examples of each form, and what is near to one."""

from __future__ import annotations

from tests.messages import checkpoint, transaction


def meta_transactions() -> list[bytes]:
    """Each of the five functions; values that look like something else, and one of no bytes."""
    head, name = b"\x19\0" + b"\x11" * 20 + bytes(31) + b"\x07" + b"\x22" * 20, b"did/pub/Secp256k1/veriKey/hex\0\0\0"
    values = [b"", b"{}", b"changeOwner", checkpoint(0), transaction(9), b"\x19Ethereum Signed Message:\n1x"]
    found = [head + b"setAttribute" + name + value + bytes(32) for value in values]
    found += [head + b"revokeAttribute" + name + value for value in values]
    delegate = b"sigAuth".ljust(32, b"\0") + b"\x33" * 20
    return [
        *found,
        head + b"changeOwner" + bytes(20),
        head + b"addDelegate" + delegate + b"\xff" * 32,
        head + b"revokeDelegate" + delegate,
        head[:22] + bytes(24) + b"\xff" * 8 + head[54:] + b"changeOwner" + bytes(20),
    ]


def personal_messages() -> list[bytes]:
    """Texts of no length, of one that needs two digits, of other forms; and one that begins with a digit."""
    texts = ["", "hello", "2 kWh", "1" * 31, "x" * 33, "roof\n7\n", "\u20ac 7", "{}", "0123456789" * 100]
    return [f"\x19Ethereum Signed Message:\n{len(text.encode())}{text}".encode() for text in texts]


def payloads() -> list[bytes]:
    """The broker's golden one, an empty one, one over several lines, one of OCMF's name in another place."""
    return [b'{"meter":"M1","wh":1000}', b"{}", b'{\n  "a": [1.5, null, "\xc3\xa9"]\n}', b'{ "FV":"1.0"}']


_CHANGE = meta_transactions()[0][:74]
_OWNER = meta_transactions()[12]
#: What has no purpose's form.
NEAR = {
    "a personal message of another length": b"\x19Ethereum Signed Message:\n6hello",
    "a personal message with a zero before its length": b"\x19Ethereum Signed Message:\n05hello",
    "a personal message without a length": b"\x19Ethereum Signed Message:\nhello",
    "a personal message of nothing at all": b"\x19Ethereum Signed Message:\n",
    "a personal message of a digest": b"\x19Ethereum Signed Message:\n32" + b"\x8f" * 32,
    "a personal message of a digest that is a text": b"\x19Ethereum Signed Message:\n32" + b"a" * 32,
    "a personal message that is no text": b"\x19Ethereum Signed Message:\n2\xc3\x28",
    "a personal message with a control character": b"\x19Ethereum Signed Message:\n3a\0b",
    "a personal message that turns the line around": b"\x19Ethereum Signed Message:\n3\xe2\x80\xae",
    "typed data": b"\x19\x01" + bytes(64),
    "a change of an identity without its function": _CHANGE,
    "a change by another function": _CHANGE + b"renounce" + bytes(20),
    "a change of owner and a byte": _OWNER + b"\0",
    "a change of owner that ends early": _OWNER[:-1],
    "an attribute without validity": _CHANGE + b"setAttribute" + b"did".ljust(32, b"\0") + bytes(31),
    "an attribute of no name": _CHANGE + b"setAttribute" + bytes(64),
    "an attribute with a gap in its name": _CHANGE + b"revokeAttribute" + b"a\0b".ljust(32, b"\0"),
    "a nonce that no registry reaches": _OWNER.replace(bytes(31) + b"\x07", b"\1" + bytes(31)),
    "a payload that is a list": b"[1]",
    "a payload that ends early": b'{"a": 1',
    "a payload that is two": b"{}{}",
    "a payload that is no number": b'{"a": NaN}',
    "a payload that is no JSON": b"{0x7b}",
    "a payload that is no UTF-8": b'{"a": "\xff"}',
    "a payload with a control character": b'{"a": "\0"}',
    "a payload that is very deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a payload with blanks around": b" {} ",
}
