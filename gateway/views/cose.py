"""COSE receipts (RFC 9942): that entries are in the log, as one COSE_Sign1 (RFC 9052) over the tree's root.

The payload is detached: whoever checks computes the root from an entry's bytes and its proof, then the signature::

    18([ << {1: alg, 4: kid, 15: {1: origin, 2: "entries 5,7 of 300"}, 395: 1} >>,       protected
         {396: {-1: [ << [300, 5, [hash, ...]] >>, << [300, 7, [hash, ...]] >> ]}},      not protected
         nil,
         signature ])

*alg* is -8 (EdDSA, here Ed25519) or -7 (ES256; r and s of 32 bytes each); *kid* the C2SP key id, as in the
checkpoint's signature lines. Label 395 says RFC9162_SHA256, the tree of ``gateway.log.tree``; 396 holds an inclusion
proof for each entry: tree size, index, hashes with the leaf's sibling first. The leaf is the entry's own bytes.

The proofs are not signed and need not be: they lead to the signed root or they do not. The tree size alone could be
changed to one whose proofs have the same shape, so the signed subject (CWT claim 2) repeats size and seqs. The issuer
(claim 1) is the log's origin. Maps are in the order of RFC 8949 section 4.2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cbor2

from gateway.log.note import Checkpoint
from gateway.log.vkey import VerifierKey
from gateway.signing import Algorithm

#: More proofs than this are refused by others (scitt-cose), and would be a log better exported.
MAX_PROOFS = 16
_SIGN1 = 18
_ALG, _KID, _CLAIMS, _VDS, _PROOFS = 1, 4, 15, 395, 396
_ISSUER, _SUBJECT = 1, 2
_RFC9162_SHA256 = 1
_INCLUSION = -1
_ALGORITHMS = {Algorithm.ED25519: -8, Algorithm.ECDSA_P256: -7}
_P256_SCALAR = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """An entry's place and the hashes that lead from it to the root."""

    seq: int
    hashes: Sequence[bytes]


def receipt(
    *, checkpoint: Checkpoint, proved: Sequence[Proved], key: VerifierKey, sign: Callable[[bytes], bytes]
) -> bytes:
    """The receipt for entries under *checkpoint*; *sign* makes the signatures of *key*, as a ``Signer`` does.

    Raises ValueError for no entries or more than ``MAX_PROOFS``, and what *sign* raises.
    """
    if not 1 <= len(proved) <= MAX_PROOFS:
        raise ValueError(f"a receipt for {len(proved)} entries; 1 to {MAX_PROOFS} are allowed")
    subject = f"entries {','.join(str(item.seq) for item in proved)} of {checkpoint.size}"
    protected = cbor2.dumps(
        {
            _ALG: _ALGORITHMS[key.public_key.algorithm],
            _KID: key.key_id,
            _CLAIMS: {_ISSUER: checkpoint.origin, _SUBJECT: subject},
            _VDS: _RFC9162_SHA256,
        },
        canonical=True,
    )
    proofs = [cbor2.dumps([checkpoint.size, item.seq, list(item.hashes)]) for item in proved]
    signature = sign(cbor2.dumps(["Signature1", protected, b"", checkpoint.root]))
    if key.public_key.algorithm is Algorithm.ECDSA_P256:
        signature = _plain(signature)
    return cbor2.dumps(cbor2.CBORTag(_SIGN1, [protected, {_PROOFS: {_INCLUSION: proofs}}, None, signature]))


def _plain(der: bytes) -> bytes:
    """The r and s of an ECDSA signature, which COSE wants side by side (RFC 9053 section 2.1)."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    return b"".join(number.to_bytes(_P256_SCALAR, "big") for number in decode_dss_signature(der))
