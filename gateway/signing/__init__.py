"""Who may sign what: the table of names that key stores and those who use keys need."""

from gateway.signing.keys import (
    Algorithm,
    Attestation,
    Counter,
    DeviceKey,
    KeyFacts,
    KeyListing,
    KeyRequest,
    PublicKey,
    Signer,
    Vault,
    ecdsa_key,
    no_secret,
)
from gateway.signing.purpose import MADE_FOR, ON_CHAIN, Purpose, has_form_of, may_open, may_sign
from gateway.signing.verifying import der_signature, raw_signature, verify_digest, verify_signature

__all__ = [
    "MADE_FOR",
    "ON_CHAIN",
    "Algorithm",
    "Attestation",
    "Counter",
    "DeviceKey",
    "KeyFacts",
    "KeyListing",
    "KeyRequest",
    "PublicKey",
    "Purpose",
    "Signer",
    "Vault",
    "der_signature",
    "ecdsa_key",
    "has_form_of",
    "may_open",
    "may_sign",
    "no_secret",
    "raw_signature",
    "verify_digest",
    "verify_signature",
]
