"""A counter in a key store, in step with the log: what tells that the log on the disk is an older copy.

Each step of the counter leaves two attestation entries, whose body is [step, counter, value, attestations]:

1. ``intent``: the value that the counter will have. It is durable, and covered by a signed checkpoint that is durable,
   before the counter is touched;
2. ``counted``: the value that the counter has now, and what its store says of it: [kind, data, signature, public key]
   each, *signature* over *data* in ASN.1 DER over SHA-256, *public key* a DER SubjectPublicKeyInfo, so that plain
   ``openssl dgst -sha256 -verify`` checks it. Kind ``tpm2``: *data* is a TPMS_ATTEST (``gateway.signing.tpm_attest``)
   whose extra data is the root of the checkpoint of step 1, so it was made after that one.

So the counter never stands above the newest signed intent of the log that it belongs to, and where it does, the log was
set back. It may stand one below: a crash came before the counter was touched. An intent that no checkpoint covers
proves nothing, since whoever holds the disk can write one; the one that counts is proved under the signed root.

A third entry, ``boot``, stands once in each run where the store of the key in hardware attests: [boot, URI of the key
without its query, boot counter, attestations]. For a TPM these are the key's Name and a quote of PCRs 0 to 9, over the
root of a checkpoint of that run.

What is not told: a copy that was made after the newest step, at most an hour old. How often a counter may be stepped is
its maker's to say; an hour's pace makes 88,000 steps in ten years.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.errors import MalformedError, TamperError
from gateway.signing import Algorithm, Attestation, PublicKey, verify_signature
from gateway.signing.keys import SPKI_HEADS

INTENT, COUNTED, BOOT = "intent", "counted", "boot"
#: What the name of a TPM's counter begins with; its NV index follows.
TPM_COUNTER = "tpm2:nv="


def body_of(step: str, counter: str, value: int, said: Iterable[Attestation]) -> list[Any]:
    """Body of the attestation entry of that *step*."""
    return [step, counter, value, [[one.kind, one.data, one.signature, one.public_key.data] for one in said]]


def attestations(body: list[Any]) -> list[Attestation]:
    """What the store said in a body. Raises MalformedError for a key that is no P-256 key."""
    return [
        Attestation(kind=kind, data=data, signature=signature, public_key=_p256(key))
        for kind, data, signature, key in body[3]
    ]


def _p256(spki: bytes) -> PublicKey:
    head = SPKI_HEADS[Algorithm.ECDSA_P256]
    if not spki.startswith(head) or len(spki) != len(head) + 64:
        raise MalformedError(f"an attestation by a key of {len(spki)} bytes that is no P-256 key")
    return PublicKey(algorithm=Algorithm.ECDSA_P256, data=spki)


def check_attestations(body: list[Any], seq: int) -> None:
    """Checks the signatures, and what a TPM said of the value. Raises TamperError for what does not hold."""
    try:
        for said in attestations(body):
            if not verify_signature(said.public_key, said.data, said.signature):
                raise TamperError(f"entry {seq}: the signature of its {said.kind} attestation is wrong", seq=seq)
            if said.kind == "tpm2":
                _check_tpm(said, body[1], body[2], seq)
    except MalformedError as error:
        raise TamperError(f"entry {seq}: {error}", seq=seq) from error


def _check_tpm(said: Attestation, counter: str, value: int, seq: int) -> None:
    # Imported late: few logs have such entries.
    from gateway.signing.tpm_attest import NvAttested, counter_name, parse_attest

    attested = parse_attest(said.data).attested
    if not isinstance(attested, NvAttested):
        return
    index = counter.removeprefix(TPM_COUNTER)
    # The Name binds the index and that it is a counter: root can have any other index of the TPM certified, too.
    if not index.startswith("0x") or attested.name != counter_name(_number(index)):
        raise TamperError(f"entry {seq}: the TPM certified something else than the counter {counter[:80]}", seq=seq)
    if attested.value != value:
        raise TamperError(f"entry {seq}: states {value}, the TPM certified {attested.value}", seq=seq)


def _number(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError as error:
        raise MalformedError(f"{text[:80]!r} is no NV index") from error
