"""Precise proofs: one field of a record shown to belong to it, byte for byte as Energy Web's library makes them.

The library is npm ``precise-proofs-js`` 1.2.0. H is Keccak-256 over its arguments, packed one after the other without
anything between (``gateway.chain.notary.precise_text`` says how, and what is refused because its hash is ambiguous)::

    leaf           H(key, text of the value, salt); a salt is the base64 text of 16 random bytes
    order          leaves stand in the order of H(key); the keys of an array are 0, 1, …
    tree           H(left, right) of each pair, not sorted; an odd last node goes up unchanged; the root is left over
    schema hash    H(key, key, …), keys in the order of the leaves
    extended root  H(root, schema hash)

As JSON a proof is what the library makes and takes; the last member marks a proof to the extended root::

    {"key": …, "value": text of the value, "salt": …, "proofPath": [{"left"|"right": "0x…"}, …], "schemaHash": "0x…"}

What a plain root does not say: which keys there are. Who made it may have put a key in twice, and since nothing stands
between key and value, ``(meter, TTE=)`` is also ``(m, eterTTE=)``. Whoever knows the keys gives them to ``verify``,
which then also checks that the leaf lies in its place among them; the library does so for extended roots only, and
takes some wrong places for right ones (in a tree of three, the second and third are the same to it).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gateway.chain.abi import encode_call
from gateway.chain.notary.precise_text import (
    Value,
    canonical,
    is_address,
    packed_key,
    packed_value,
    strict_json,
    value_of,
)
from gateway.errors import ConfigError, MalformedError
from gateway.signing.evm import keccak256

#: The library's contract, which can check a leaf whose key is an address and whose value is a number.
VERIFIER_CALL = "verify(address,uint256,string,bytes32,(bool,bytes32)[])"
#: Of a proof that is read; a path of 32 steps is that of 2^32 leaves.
PROOF_MAX = 131_072
PATH_MAX = 32
_SALT_BYTES, _HASH_BYTES = 16, 32
#: The last of 22 digits has two bits only.
_SALT = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")
_PARTS = {"key", "value", "salt", "proofPath"}
_HASH = re.compile(r"0x[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One field: *value* is the text of its value."""

    key: str
    value: str
    salt: str
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a path: the hash beside the one that was reached, and whether it stands left of it."""

    left: bool
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One field and the path to the root. Raises MalformedError for what no library makes, or is ambiguous."""

    key: str
    #: The text of the value; ``value_of`` gives the value.
    value: str
    salt: str
    path: tuple[Step, ...]
    #: With it, the proof is one to the extended root.
    schema_hash: bytes | None = None

    def __post_init__(self) -> None:
        value_of(self.value)
        try:
            packed_key(self.key)
        except ConfigError as error:
            raise MalformedError(f"a precise proof: {error}") from error
        _check_salt(self.salt)
        if len(self.path) > PATH_MAX:
            raise MalformedError(f"a precise proof with a path of {len(self.path)} steps; at most {PATH_MAX} are read")
        hashes = [step.hash for step in self.path] + ([] if self.schema_hash is None else [self.schema_hash])
        if any(len(found) != _HASH_BYTES for found in hashes):
            raise MalformedError("a precise proof with a hash that has not 32 bytes")

    @property
    def root(self) -> bytes:
        """The plain root to which the path leads."""
        reached = leaf_hash(self.key, self.value, self.salt)
        for step in self.path:
            reached = keccak256(step.hash + reached if step.left else reached + step.hash)
        return reached

    def to_json(self) -> str:
        """As the library writes it."""
        path = [{"left" if step.left else "right": _hex(step.hash)} for step in self.path]
        fields = {"key": self.key, "value": self.value, "salt": self.salt, "proofPath": path}
        if self.schema_hash is not None:
            fields["schemaHash"] = _hex(self.schema_hash)
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Proof:
        """The proof in the JSON text of it, in any layout. Raises MalformedError."""
        fields = _members(text)
        key, value, salt, path = (fields[name] for name in ("key", "value", "salt", "proofPath"))
        if not all(type(part) is str for part in (key, value, salt)) or type(path) is not list:
            raise MalformedError("a precise proof: key, value and salt are texts, proofPath is an array")
        return cls(
            key=key,
            value=value,
            salt=salt,
            path=tuple(map(_step, path)),
            schema_hash=_hash(fields["schemaHash"]) if "schemaHash" in fields else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The tree over the leaves of one record."""

    leaves: tuple[Leaf, ...]
    #: From the leaves' hashes up to the root alone.
    levels: tuple[tuple[bytes, ...], ...]

    @property
    def root(self) -> bytes:
        """The plain root."""
        return self.levels[-1][0]

    @property
    def schema(self) -> tuple[str, ...]:
        """The keys, in the order of the leaves."""
        return tuple(leaf.key for leaf in self.leaves)

    @property
    def extended_root(self) -> bytes:
        """The root that also stands for the keys."""
        return extended_root(self.root, self.schema)

    def proof(self, key: str, *, extended: bool = False) -> Proof:
        """That the field *key* belongs to the record. Raises ConfigError where there is none."""
        if key not in self.schema:
            raise ConfigError(f"key {key!r:.60}: the record has no such field")
        index = self.schema.index(key)
        leaf, path, place = self.leaves[index], [], index
        for level in self.levels[:-1]:
            beside = place ^ 1
            if beside < len(level):
                path.append(Step(left=beside < place, hash=level[beside]))
            place //= 2
        return Proof(
            key=key,
            value=leaf.value,
            salt=leaf.salt,
            path=tuple(path),
            schema_hash=schema_hash(self.schema) if extended else None,
        )


def new_salts(count: int, random: Callable[[int], bytes]) -> tuple[str, ...]:
    """Fresh salts; *random* gives that many bytes which nobody can guess, such as ``secrets.token_bytes``."""
    return tuple(base64.b64encode(random(_SALT_BYTES)).decode() for _ in range(count))


def tree(record: Mapping[str, Value] | Sequence[Value], salts: Sequence[str]) -> Tree:
    """The tree over an object or an array; *salts* are in the order of the leaves, as the library keeps them.

    Raises ConfigError for an empty record, for salts that are not as many or none, and for what is ambiguous.
    """
    if isinstance(record, (str, bytes)):
        raise ConfigError("a text is no record; give an object or an array")
    fields = record if isinstance(record, Mapping) else {str(index): item for index, item in enumerate(record)}
    if len(fields) != len(salts) or not fields:
        raise ConfigError(f"{len(fields)} fields and {len(salts)} salts: each field needs one of its own")
    leaves = []
    for key, salt in zip(sorted_keys(fields), salts, strict=True):
        try:
            value = canonical(fields[key])
        except ConfigError as error:
            raise ConfigError(f"field {key:.60}: {error}") from error
        leaves.append(Leaf(key=key, value=value, salt=salt, hash=leaf_hash(key, value, salt)))
    level = tuple(leaf.hash for leaf in leaves)
    levels = [level]
    while len(level) > 1:
        pairs = (keccak256(left + right) for left, right in zip(level[::2], level[1::2], strict=False))
        level = (*pairs, *level[len(level) - len(level) % 2 :])
        levels.append(level)
    return Tree(leaves=tuple(leaves), levels=tuple(levels))


def verify(root: bytes, proof: Proof, schema: Collection[str] | None = None) -> bool:
    """Whether the field of *proof* belongs to the record of *root*: an extended root where the proof says so.

    With *schema*, the keys of the record in any order, its place among them must be right, too. Raises ConfigError
    for a schema that is missing, though the proof is one to an extended root, or that has a key twice.
    """
    reached = proof.root
    if schema is None:
        if proof.schema_hash is not None:
            raise ConfigError("a proof to an extended root is checked with the record's keys; give them")
        return reached == root
    keys = sorted_keys(schema)
    if proof.key not in keys or [step.left for step in proof.path] != [*_sides(keys.index(proof.key), len(keys))]:
        return False
    if proof.schema_hash is None:
        return reached == root
    return proof.schema_hash == schema_hash(keys) and extended_root(reached, keys) == root


def leaf_hash(key: str, value: str, salt: str) -> bytes:
    """The hash of a field; *value* is the text of its value."""
    _check_salt(salt)
    return keccak256(packed_key(key) + packed_value(value) + salt.encode())


def sorted_keys(keys: Collection[str]) -> tuple[str, ...]:
    """Keys in the order of their leaves. Raises ConfigError for two that are hashed alike."""
    if len({packed_key(key) for key in keys}) != len(keys):
        raise ConfigError("two keys of one record are the same, or are hashed alike; rename one")
    return tuple(sorted(keys, key=_key_hash))


def schema_hash(keys: Sequence[str]) -> bytes:
    """The hash of keys that are in the order of their leaves."""
    return keccak256(b"".join(map(packed_key, keys)))


def extended_root(root: bytes, keys: Sequence[str]) -> bytes:
    """The root that also stands for the keys, which are in the order of their leaves."""
    return keccak256(root + schema_hash(keys))


def verifier_call(root: bytes, proof: Proof) -> bytes:
    """The call that asks the library's contract Verifier. Raises ConfigError for a leaf that it cannot check."""
    value = value_of(proof.value)
    if not is_address(proof.key) or type(value) is not int or value < 0:
        raise ConfigError(
            f"field {proof.key!r:.60}: the contract checks fields whose key is an address and whose value is a "
            "number from 0 on; check this one where it is"
        )
    path = [(step.left, step.hash) for step in proof.path]
    return encode_call(VERIFIER_CALL, [proof.key, value, proof.salt, root, path])


@lru_cache(maxsize=256)
def _key_hash(key: str) -> bytes:
    return keccak256(packed_key(key))


def _sides(index: int, count: int) -> Iterator[bool]:
    """For each step from leaf *index* of *count*, whether what stands beside it is left of it."""
    while count > 1:
        if index ^ 1 < count:
            yield index % 2 == 1
        index, count = index // 2, (count + 1) // 2


def _check_salt(salt: str) -> None:
    if not _SALT.fullmatch(salt):
        raise MalformedError(f"salt {salt!r:.60} is not the base64 text of 16 bytes")


def _members(text: str) -> dict[str, Any]:
    if len(text) > PROOF_MAX:
        raise MalformedError(f"a precise proof of {len(text)} characters; at most {PROOF_MAX} are read")
    try:
        found = strict_json(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"a precise proof that is no JSON: {error}") from error
    if type(found) is not dict or not _PARTS <= found.keys() <= _PARTS | {"schemaHash"}:
        raise MalformedError("a precise proof: its members are not key, value, salt, proofPath and schemaHash")
    return found


def _step(item: Any) -> Step:
    if type(item) is not dict or item.keys() not in ({"left"}, {"right"}):
        raise MalformedError("a precise proof: each step of proofPath has one member, left or right")
    (side, found), *_ = item.items()
    return Step(left=side == "left", hash=_hash(found))


def _hash(found: Any) -> bytes:
    if type(found) is not str or not _HASH.fullmatch(found):
        raise MalformedError(f"a precise proof: {str(found)[:80]!r} is no hash: 0x and 64 hex digits in lower case")
    return bytes.fromhex(found[2:])


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
