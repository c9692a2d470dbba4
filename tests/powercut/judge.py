"""The judge: after a power cut and the real start, is all that was promised there, and nothing contradicted?

=====  ==============================================================================================================
rule   what is demanded
=====  ==============================================================================================================
I1     each entry and each checkpoint that had left the device is in the log
I2     the signer's memory is at least as new as each signature that was made; it refuses a smaller size and a second
       root
I3     each entry that a commit had confirmed is there, byte for byte and in order, or was pruned; the log was not
       closed
P      what was pruned is named by a manifest entry in the log, which had been signed, and the far side had it
D6     the stored cursor is not beyond what the far side had confirmed
D11    the state file is whole
D5     ``log verify`` says intact, torn or unsigned before the start, and intact (or unsigned) after it
=====  ==============================================================================================================

The numbers are those of the gateway's design: I for the invariants of the log, D for decisions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.errors import GatewayError, TamperError
from gateway.log.entry import Kind, decode
from gateway.log.log import Log
from gateway.log.note import parse_checkpoint
from gateway.log.pack import CHUNK
from gateway.log.packs import Packs
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
        state / "log", Demands(keys=[KEY], known=_comparable(state, told)), signed_size=last.size if last else 0
    )


def _comparable(state: Path, told: Told) -> list[bytes]:
    """The published checkpoints but for those of which nobody can tell any more, since what is around was pruned."""
    try:
        pruned = {
            pack.footer.first_seq // CHUNK + number for pack in Packs(state / "log") for number in pack.footer.pruned
        }
    except TamperError:
        # log verify is about to say what is wrong.
        pruned = set()
    sizes = [(parse_checkpoint(note).size, note) for note in told.published]
    return [note for size, note in sizes if size % CHUNK == 0 or size // CHUNK not in pruned]


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
    roots, hashes, pruned = _fingerprints(log)
    for size, root in told.durable.items():
        if not _fits(roots, size, root):
            yield f"I3 {_what(size, log)} were confirmed by a commit"
            break
    for end, last in told.sent.items():
        if not _fits(hashes, end - 1, last):
            yield f"I1 {_what(end, log)} were sent"
            break
    for note in told.published:
        checkpoint = parse_checkpoint(note)
        if not _fits(roots, checkpoint.size, checkpoint.root):
            yield f"I1 the checkpoint of size {checkpoint.size} was published, and the log contradicts it"
            break
    yield from _pruned(log, pruned, told)


def _fits(known: list[bytes | None], place: int, value: bytes) -> bool:
    """Whether that is what stands there; nothing can be said of what was pruned."""
    return place < len(known) and known[place] in (value, None)


def _pruned(log: Log, pruned: list[int], told: Told) -> Iterator[str]:
    signed, named = max(told.signed, default=0), list[tuple[int, int]]()
    for seq in range(log.durable_size):
        # The kind is the third byte of every entry.
        if CHUNK * (seq // CHUNK) not in pruned and (data := log.read(seq, seq + 1)[0])[2] == Kind.MANIFEST:
            first, end = decode(data).body[:2]
            named += [(first, end)] if seq < signed else []
    for run in pruned:
        if not any(first <= run < end for first, end in named):
            yield f"P entries from {run} on are gone, and no manifest entry below {signed}, the last signature, says so"
        if run + CHUNK > told.confirmed:
            yield f"P entries from {run} on are gone, and the far side has confirmed {told.confirmed}"


def _what(size: int, log: Log) -> str:
    return f"{size} entries (of which the log has {min(size, log.size)}, or others)"


def _fingerprints(log: Log) -> tuple[list[bytes | None], list[bytes | None], list[int]]:
    """The root at each size, the leaf hash of each entry, None for what was pruned; and where that was."""
    tree, pruned = Frontier(), list[int]()
    roots: list[bytes | None] = [tree.root()]
    hashes: list[bytes | None] = []
    while (seq := len(hashes)) < log.durable_size:
        value = None if seq % CHUNK else log.packs.pruned_hash(seq // CHUNK)
        if value is not None:
            pruned.append(seq)
            tree.append_run(value)
            hashes += [None] * CHUNK
            roots += [None] * (CHUNK - 1) + [tree.root()]
        for data in log.read(seq) if value is None else ():
            leaf = leaf_hash(data)
            hashes.append(leaf)
            tree.append(leaf)
            roots.append(tree.root())
    return roots, hashes, pruned


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
