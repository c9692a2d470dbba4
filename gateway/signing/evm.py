"""What chains want of a signature: the Keccak-256 digest, the lower s, and which of two keys made it.

Keccak-256 is the sponge of FIPS 202 with rate 1,088 and the padding 0x01 that Keccak had before SHA-3 changed it to
0x06; no standard library has it. A signature over secp256k1 (SEC 1, section 4.1) is given as 65 bytes: r, s, and the
recovery id v: 0 or 1, the parity of the point's y whose x is r (SEC 1, section 4.1.6; x above the order, where v would
be 2 or 3, has a probability of 2^-127 and is refused). s is the lower one of the two that verify (EIP-2).
The arithmetic here meets public values only, so it need not hide how long it takes.
"""

from __future__ import annotations

from struct import Struct

from gateway.errors import ConfigError, MalformedError, SignerError
from gateway.signing.keys import Algorithm, PublicKey

_FIELD = 2**256 - 2**32 - 977
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
_BASE = (
    0x79BE667E_F9DCBBAC_55A06295_CE870B07_029BFCDB_2DCE28D9_59F2815B_16F81798,
    0x483ADA77_26A3C465_5DA4FBFC_0E1108A8_FD17B448_A6855419_9C47D08F_FB10D4B8,
)
_RATE = 136
_BLOCK, _DIGEST = Struct("<17Q"), Struct("<4Q")
_MASK = 2**64 - 1

#: The chains whose accounts have a did:ethr name that the Energy Web registries (ERC-1056) resolve.
DID_CHAINS = ("ewc", "volta")

Point = tuple[int, int, int]


def _round_constants() -> tuple[int, ...]:
    """The iota step's constants (FIPS 202, 3.2.5), from the shift register that defines them."""
    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for power in range(7):
            constant |= (register & 1) << ((1 << power) - 1)
            register = register << 1 ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return tuple(constants)


_IOTA = _round_constants()


def keccak256(data: bytes) -> bytes:
    """The 32-byte digest of *data*."""
    padded = bytearray(data + bytes(_RATE - len(data) % _RATE))
    padded[len(data)] ^= 0x01
    padded[-1] ^= 0x80
    state = [0] * 25
    for start in range(0, len(padded), _RATE):
        for lane, word in enumerate(_BLOCK.unpack_from(padded, start)):
            state[lane] ^= word
        _permute(state)
    return _DIGEST.pack(*state[:4])


def _permute(state: list[int]) -> None:
    """Keccak-f[1600], written out, which takes two fifths of the time of loops over lanes; FIPS 202, 3.2 and 3.3.

    Rows of lanes are a to e, then v to z; p are the parities of columns, t the theta step's change of each.
    """
    m = _MASK
    a0, a1, a2, a3, a4, b0, b1, b2, b3, b4, c0, c1, c2, c3, c4, d0, d1, d2, d3, d4, e0, e1, e2, e3, e4 = state
    for constant in _IOTA:
        p0, p1 = a0 ^ b0 ^ c0 ^ d0 ^ e0, a1 ^ b1 ^ c1 ^ d1 ^ e1
        p2, p3 = a2 ^ b2 ^ c2 ^ d2 ^ e2, a3 ^ b3 ^ c3 ^ d3 ^ e3
        p4 = a4 ^ b4 ^ c4 ^ d4 ^ e4
        t0, t1 = p4 ^ (p1 << 1 | p1 >> 63) & m, p0 ^ (p2 << 1 | p2 >> 63) & m
        t2, t3 = p1 ^ (p3 << 1 | p3 >> 63) & m, p2 ^ (p4 << 1 | p4 >> 63) & m
        t4 = p3 ^ (p0 << 1 | p0 >> 63) & m
        v0, v1 = a0 ^ t0, ((n := b1 ^ t1) << 44 | n >> 20) & m
        v2, v3 = ((n := c2 ^ t2) << 43 | n >> 21) & m, ((n := d3 ^ t3) << 21 | n >> 43) & m
        v4, w0 = ((n := e4 ^ t4) << 14 | n >> 50) & m, ((n := a3 ^ t3) << 28 | n >> 36) & m
        w1, w2 = ((n := b4 ^ t4) << 20 | n >> 44) & m, ((n := c0 ^ t0) << 3 | n >> 61) & m
        w3, w4 = ((n := d1 ^ t1) << 45 | n >> 19) & m, ((n := e2 ^ t2) << 61 | n >> 3) & m
        x0, x1 = ((n := a1 ^ t1) << 1 | n >> 63) & m, ((n := b2 ^ t2) << 6 | n >> 58) & m
        x2, x3 = ((n := c3 ^ t3) << 25 | n >> 39) & m, ((n := d4 ^ t4) << 8 | n >> 56) & m
        x4, y0 = ((n := e0 ^ t0) << 18 | n >> 46) & m, ((n := a4 ^ t4) << 27 | n >> 37) & m
        y1, y2 = ((n := b0 ^ t0) << 36 | n >> 28) & m, ((n := c1 ^ t1) << 10 | n >> 54) & m
        y3, y4 = ((n := d2 ^ t2) << 15 | n >> 49) & m, ((n := e3 ^ t3) << 56 | n >> 8) & m
        z0, z1 = ((n := a2 ^ t2) << 62 | n >> 2) & m, ((n := b3 ^ t3) << 55 | n >> 9) & m
        z2, z3 = ((n := c4 ^ t4) << 39 | n >> 25) & m, ((n := d0 ^ t0) << 41 | n >> 23) & m
        z4 = ((n := e1 ^ t1) << 2 | n >> 62) & m
        a0, a1, a2 = v0 ^ (v1 ^ m) & v2, v1 ^ (v2 ^ m) & v3, v2 ^ (v3 ^ m) & v4
        a3, a4 = v3 ^ (v4 ^ m) & v0, v4 ^ (v0 ^ m) & v1
        b0, b1, b2 = w0 ^ (w1 ^ m) & w2, w1 ^ (w2 ^ m) & w3, w2 ^ (w3 ^ m) & w4
        b3, b4 = w3 ^ (w4 ^ m) & w0, w4 ^ (w0 ^ m) & w1
        c0, c1, c2 = x0 ^ (x1 ^ m) & x2, x1 ^ (x2 ^ m) & x3, x2 ^ (x3 ^ m) & x4
        c3, c4 = x3 ^ (x4 ^ m) & x0, x4 ^ (x0 ^ m) & x1
        d0, d1, d2 = y0 ^ (y1 ^ m) & y2, y1 ^ (y2 ^ m) & y3, y2 ^ (y3 ^ m) & y4
        d3, d4 = y3 ^ (y4 ^ m) & y0, y4 ^ (y0 ^ m) & y1
        e0, e1, e2 = z0 ^ (z1 ^ m) & z2, z1 ^ (z2 ^ m) & z3, z2 ^ (z3 ^ m) & z4
        e3, e4 = z3 ^ (z4 ^ m) & z0, z4 ^ (z0 ^ m) & z1
        a0 ^= constant
    state[:] = a0, a1, a2, a3, a4, b0, b1, b2, b3, b4, c0, c1, c2, c3, c4, d0, d1, d2, d3, d4, e0, e1, e2, e3, e4


def address(point: bytes) -> str:
    """The account of an uncompressed public point (65 bytes), with the checksum of EIP-55."""
    return checksummed(keccak256(point[1:])[-20:].hex())


def checksummed(plain: str) -> str:
    """An address of 40 lower-case hex digits, with its 0x and the checksum of EIP-55: some letters in upper case."""
    marks = keccak256(plain.encode()).hex()[:40]
    return "0x" + "".join(char.upper() if int(mark, 16) > 7 else char for char, mark in zip(plain, marks, strict=True))


def did_ethr(public_key: PublicKey, chain: str) -> str:
    """The did:ethr name of the key's account on *chain*: ``did:ethr:ewc:0x`` and 40 lower-case hex digits.

    Raises ConfigError for a chain that is not in ``DID_CHAINS``, and for a key of another curve.
    """
    if public_key.algorithm is not Algorithm.ECDSA_SECP256K1:
        raise ConfigError(f"a {public_key.algorithm.text} key has no account on a chain; make a secp256k1 key")
    if chain not in DID_CHAINS:
        raise ConfigError(f"chain {chain!r}: no did:ethr names are known there; known: {', '.join(DID_CHAINS)}")
    return f"did:ethr:{chain}:{address(public_key.data[-65:]).lower()}"


def recoverable(raw: bytes, digest: bytes, point: bytes) -> bytes:
    """The 65 bytes of a raw signature over *digest* by the key of the uncompressed *point*, which it must verify under.

    Raises SignerError where that key cannot have made it.
    """
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    if len(raw) == 64 and 0 < r < ORDER and 0 < s < ORDER:
        s = min(s, ORDER - s)
        inverse = pow(s, -1, ORDER)
        key = (int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:], "big"))
        # The point of the nonce, whose x is r when the signature is good.
        found = _combined(int.from_bytes(digest, "big") * inverse, r * inverse, key)
        if found is not None and found[0] == r:
            return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([found[1] & 1])
    raise SignerError("a secp256k1 signature that the key did not make, or that no recovery id of 0 or 1 fits")


def recovered_point(digest: bytes, signature: bytes) -> bytes:
    """The uncompressed point of the key that made the 65 bytes of *signature* (as ``recoverable`` gives them) over it.

    Every signature was made by some key: who calls this compares. Raises MalformedError for what no key made, for the
    higher s, which anybody could make of the lower one, and for a recovery id that is not 0 or 1.
    """
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    nonce = None
    if len(signature) == 65 and signature[64] < 2 and 0 < r < ORDER and 0 < s <= ORDER // 2:
        nonce = _lifted(r, signature[64])
    if nonce is not None:
        inverse = pow(r, -1, ORDER)
        key = _combined(-int.from_bytes(digest, "big") * inverse, s * inverse, nonce)
        if key is not None:
            return b"\x04" + key[0].to_bytes(32, "big") + key[1].to_bytes(32, "big")
    raise MalformedError("a secp256k1 signature that no key made, or one that chains do not take (EIP-2)")


def compressed(point: bytes) -> bytes:
    """The 33 bytes of an uncompressed point (SEC 1, section 2.3.3)."""
    return bytes([2 + (point[64] & 1)]) + point[1:33]


def uncompressed(data: bytes) -> bytes:
    """The 65 bytes of a public key of 33 or 65 bytes. Raises MalformedError for what is no point of the curve."""
    odd = data[0] - 2 if len(data) == 33 and data[0] in (2, 3) else data[-1] & 1 if data[:1] == b"\x04" else None
    found = None if odd is None else _lifted(int.from_bytes(data[1:33], "big"), odd)
    if found is not None:
        point = b"\x04" + found[0].to_bytes(32, "big") + found[1].to_bytes(32, "big")
        if len(data) == 33 or data == point:
            return point
    raise MalformedError(f"a public key of {len(data)} bytes that is no point of secp256k1")


def _lifted(x: int, odd: int) -> tuple[int, int] | None:
    """The point with that x and a y of that parity; None when the curve has none."""
    square = (x**3 + 7) % _FIELD
    y = pow(square, (_FIELD + 1) // 4, _FIELD)
    if x >= _FIELD or y * y % _FIELD != square:
        return None
    return x, y if y & 1 == odd else _FIELD - y


def _combined(first: int, second: int, point: tuple[int, int]) -> tuple[int, int] | None:
    """The point first × base + second × *point*; None for the neutral one."""
    base, other = (*_BASE, 1), (*point, 1)
    both = _added(base, other)
    first, second = first % ORDER, second % ORDER
    total: Point = (0, 1, 0)
    for bit in range(255, -1, -1):
        total = _doubled(total)
        step = (first >> bit & 1) + 2 * (second >> bit & 1)
        if step:
            total = _added(total, (base, other, both)[step - 1])
    if not total[2]:
        return None
    shrink = pow(total[2], -1, _FIELD)
    return total[0] * shrink**2 % _FIELD, total[1] * shrink**3 % _FIELD


def _doubled(point: Point) -> Point:
    """Twice a point in Jacobian coordinates on y² = x³ + 7."""
    x, y, z = point
    square = y * y % _FIELD
    slope, between = 3 * x * x % _FIELD, 4 * x * square % _FIELD
    new_x = (slope * slope - 2 * between) % _FIELD
    return new_x, (slope * (between - new_x) - 8 * square * square) % _FIELD, 2 * y * z % _FIELD


def _added(one: Point, other: Point) -> Point:
    """The sum of two points in Jacobian coordinates; (0, 1, 0) is the neutral one."""
    if not one[2] or not other[2]:
        return other if not one[2] else one
    (x1, y1, z1), (x2, y2, z2) = one, other
    square1, square2 = z1 * z1 % _FIELD, z2 * z2 % _FIELD
    left, right = x1 * square2 % _FIELD, x2 * square1 % _FIELD
    low, high = y1 * z2 * square2 % _FIELD, y2 * z1 * square1 % _FIELD
    if left == right:
        return _doubled(one) if low == high else (0, 1, 0)
    across, up = (right - left) % _FIELD, (high - low) % _FIELD
    across2 = across * across % _FIELD
    across3, between = across * across2 % _FIELD, left * across2 % _FIELD
    new_x = (up * up - across3 - 2 * between) % _FIELD
    return new_x, (up * (between - new_x) - low * across3) % _FIELD, across * z1 * z2 % _FIELD
