"""eth-account, eth-abi and rlp asked from outside: one JSON question a line in, one answer a line out.

``["abi", TYPES, VALUES]`` gives the encoding in hex; ``["transaction", FIELDS, KEY]`` what is sent, in hex;
``["recover", RAW]`` the sender; ``["rlp", ITEM]`` the bytes. Byte strings are ``{"hex": …}`` in questions.
"""

import json
import sys

import rlp
from eth_abi import encode
from eth_account import Account


def value(item):
    if isinstance(item, dict):
        return bytes.fromhex(item["hex"])
    return [value(one) for one in item] if isinstance(item, list) else item


def answer(question):
    match question:
        case ["abi", types, values]:
            return encode(types, value(values)).hex()
        case ["transaction", fields, key]:
            return bytes(Account.sign_transaction(fields, key).raw_transaction).hex()
        case ["recover", raw]:
            return Account.recover_transaction(raw)
        case ["rlp", item]:
            return rlp.encode(value(item)).hex()
    raise ValueError(question)


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
