"""The judge: after a power cut and the real start, is all that was promised there, and nothing contradicted?

=====  ==============================================================================================================
rule   what is demanded
=====  ==============================================================================================================
I1     each entry and each checkpoint that had left the device is in the log
I2     the signer's memory is at least as new as each signature that was made; it refuses a smaller size and a second
       root
I3     each entry that a commit had confirmed is there, byte for byte and in order; the log was not closed
D6     the stored cursor is not beyond what the far side had confirmed
D11    the state file is whole
D5     ``log verify`` says intact, torn or unsigned before the start, and intact (or unsigned) after it
=====  ==============================================================================================================

The numbers are those of the gateway's design: I for the invariants of the log, D for decisions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.errors import GatewayError
from gateway.log.log import Log
from gateway.log.note import parse_checkpoint
from gateway.log.signer_state import GuardedSigner, SignerRefused
from gateway.log.tree import Frontier, leaf_hash
from gateway.log.verify import Demands, Report, verify_segments
from gateway.state import State
from tests.log_keys import ORIGIN, Ed25519Signer
from tests.powercut.device import CHANNEL, KEY, Device
from tests.powercut.trace import Told


def judge(state: Path, told: Told) -> list[str]:
    """What is wrong in the state directory that a power cut left; it is started on the way."""
    found = [*told.contradictions, *_before(state, told), *_memory(state, told), *_cursor(state, told)]
    try:
        device = Device(state)
    except GatewayError as error:
        return [*found, f"D5 the start failed: {error}"]
    try:
        found += [*_log(device, told), *_signer(device, told)]
        found += _verdict(_verify(state, told), ("intact", "unsigned"), "after the start")
    except GatewayError as error:
        found.append(f"D5 after the start: {error}")
    finally:
        device.log.close()
    return found


def _verify(state: Path, told: Told) -> Report:
    last = GuardedSigner(Ed25519Signer(), state / "signer.state", ORIGIN).last(ORIGIN)
    return verify_segments(
        state / "log", Demands(keys=[KEY], known=told.published), signed_size=last.size if last else 0
    )


def _verdict(report: Report, allowed: tuple[str, ...], when: str) -> Iterator[str]:
    if report.verdict not in allowed:
        yield f"D5 log verify says {report.verdict} {when}: {report.reason}"


def _before(state: Path, told: Told) -> Iterator[str]:
    # Before the first commit there may be no log to verify.
    if told.durable:
        try:
            yield from _verdict(_verify(state, told), ("intact", "torn", "unsigned"), "before the start")
        except OSError as error:
            yield f"D5 log verify before the start: {error}"


def _memory(state: Path, told: Told) -> Iterator[str]:
    last = GuardedSigner(Ed25519Signer(), state / "signer.state", ORIGIN).last(ORIGIN)
    newest = max(told.signed, default=0)
    size, root = (last.size, last.root) if last else (0, b"")
    if size < newest:
        yield f"I2 the signer remembers size {size}, and signed size {newest}"
    elif size in told.signed and root != told.signed[size]:
        yield f"I2 the signer remembers another root for size {size}"


def _cursor(state: Path, told: Told) -> Iterator[str]:
    kept = State(state / "state.json")
    if kept.recovered:
        yield f"D11 {kept.recovered}"
    cursor = kept.get("cursors", f"{CHANNEL} {ORIGIN}") or 0
    if cursor > told.confirmed:
        yield f"D6 the cursor stands at {cursor}, the far side confirmed {told.confirmed}"


def _log(device: Device, told: Told) -> Iterator[str]:
    log = device.log
    if device.found.closed is not None or log.origin != ORIGIN:
        yield f"I3 the log was closed: {device.found.closed and device.found.closed.reason}"
    roots, hashes = _fingerprints(log)
    for size, root in told.durable.items():
        if roots[size : size + 1] != [root]:
            yield f"I3 {_what(size, log)} were confirmed by a commit"
            break
    for end, last in told.sent.items():
        if hashes[end - 1 : end] != [last]:
            yield f"I1 {_what(end, log)} were sent"
            break
    for note in told.published:
        checkpoint = parse_checkpoint(note)
        if roots[checkpoint.size : checkpoint.size + 1] != [checkpoint.root]:
            yield f"I1 the checkpoint of size {checkpoint.size} was published, and the log contradicts it"
            break


def _what(size: int, log: Log) -> str:
    return f"{size} entries (of which the log has {min(size, log.size)}, or others)"


def _fingerprints(log: Log) -> tuple[list[bytes], list[bytes]]:
    """The root at each size, and the leaf hash of each entry."""
    tree, roots, hashes = Frontier(), [Frontier().root()], []
    while batch := log.read(len(hashes)):
        for data in batch:
            hashes.append(leaf_hash(data))
            tree.append(hashes[-1])
            roots.append(tree.root())
    return roots, hashes


def _signer(device: Device, told: Told) -> Iterator[str]:
    keeper, log = device.keeper, device.log
    for size, root in told.signed.items():
        for asked in ((size, bytes(32)), (size - 1, root)):
            if not _refuses(device, *asked):
                yield f"I2 the signer signs size {asked[0]} with another root, after size {size} was signed"
                return
    tree = log.durable_tree()
    log.checkpoint(keeper.sign_checkpoint(log.origin, tree.size, tree.root()))


def _refuses(device: Device, size: int, root: bytes) -> bool:
    try:
        device.keeper.sign_checkpoint(ORIGIN, size, root)
    except SignerRefused:
        return True
    return False
