"""What a stranger with pycose and cbor2 can check of a node: its statements, and its receipts of both kinds.

The Merkle proofs are followed here as RFC 9162 says, sections 2.1.3.2 and 2.1.4.2; signatures and structures are the
library's affair. Ends with 1 and the reason when anything does not hold.

    check.py keys.cbor statement.cose receipt.cose            a statement and its receipt of inclusion
    check.py keys.cbor consistency.cose OLDER NEWER           a receipt of consistency, and both roots in hexadecimal
"""

import hashlib
import sys

import cbor2
from pycose.headers import Algorithm
from pycose.keys import CoseKey
from pycose.messages import CoseMessage, Sign1Message

assert Algorithm, "registers the headers"


def leaf_hash(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of_inclusion(leaf, index, size, path):
    if index >= size:
        sys.exit("the leaf lies outside the tree")
    number, last, value = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            sys.exit("the path is too long")
        if number & 1 or number == last:
            value = node_hash(sibling, value)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        number, last = number >> 1, last >> 1
    if last:
        sys.exit("the path is too short")
    return value


def check_consistency(older, newer, first, second, path):
    if first & (first - 1) == 0:
        path = [older] + path
    number, last = first - 1, second - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    one = other = path[0]
    for value in path[1:]:
        if last == 0:
            sys.exit("the proof is too long")
        if number & 1 or number == last:
            one, other = node_hash(value, one), node_hash(value, other)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            other = node_hash(other, value)
        number, last = number >> 1, last >> 1
    if last or one != older or other != newer:
        sys.exit("the trees are not consistent")


def opened(path, key, payload=None):
    """A COSE_Sign1 whose signature holds; a detached payload is given."""
    with open(path, "rb") as file:
        message = CoseMessage.decode(file.read())
    if not isinstance(message, Sign1Message):
        sys.exit(f"{path} is no COSE_Sign1")
    message.key = key
    if payload is not None and not message.verify_signature(detached_payload=payload):
        sys.exit(f"{path}: the signature does not verify")
    return message


def proof(message, kind):
    return cbor2.loads(message.uhdr[396][kind][0])


def main():
    with open(sys.argv[1], "rb") as file:
        (key,) = cbor2.loads(file.read())
    key = CoseKey.from_dict(key)
    if len(sys.argv) == 4:
        with open(sys.argv[2], "rb") as file:
            statement = file.read()
        opened(sys.argv[2], None)
        receipt = opened(sys.argv[3], key)
        size, index, path = proof(receipt, -1)
        leaf = leaf_hash(hashlib.sha256(statement).digest())
        opened(sys.argv[3], key, root_of_inclusion(leaf, index, size, path))
    else:
        older, newer = bytes.fromhex(sys.argv[3]), bytes.fromhex(sys.argv[4])
        receipt = opened(sys.argv[2], key, newer)
        first, second, path = proof(receipt, -2)
        check_consistency(older, newer, first, second, path)


main()
