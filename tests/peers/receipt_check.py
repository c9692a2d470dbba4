"""Reads lines of JSON (``receipt``, ``leaf``, ``root``, ``kid``: hex; ``pem``); prints what two libraries say of each.

A line of JSON each: ``scitt`` (scitt-cose follows the proof and checks the signature) is tree size, index, issuer and
subject, or the reason of the refusal; ``cwt`` (cwt checks the signature over the root that it is told), true or the
reason.
"""

import json
import sys

from cwt import COSE, COSEKey
from cwt.exceptions import CWTError
from scitt_cose.receipt import verify_receipt


def by_cwt(case: dict) -> "bool | str":
    try:
        key = COSEKey.from_pem(case["pem"], kid=bytes.fromhex(case["kid"]))
        COSE.new().decode(bytes.fromhex(case["receipt"]), key, detached_payload=bytes.fromhex(case["root"]))
    except (CWTError, ValueError, TypeError, LookupError, AttributeError, EOFError) as error:
        return f"{type(error).__name__}: {error}"
    return True


for line in sys.stdin:
    case = json.loads(line)
    result = verify_receipt(bytes.fromhex(case["receipt"]), leaf_entry_hex=case["leaf"], log_public_key_pem=case["pem"])
    told = (
        [result.tree_size, result.leaf_index, result.issuer, result.subject] if result.ok else "; ".join(result.errors)
    )
    print(json.dumps({"scitt": told, "cwt": by_cwt(case)}))
