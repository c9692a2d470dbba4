"""Our witness on HTTP: every status code as raw bytes, beside the one from PyPI; hostile clients; forks; the clock."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.errors import ConfigError
from gateway.log.cosignature import ED25519, WitnessKey, cosignatures, join, parse_lines
from gateway.log.note import VerifierKey, split_note
from gateway.log.vkey import spki
from gateway.signing import Algorithm, PublicKey
from gateway.witness.protocol import encode_request
from gateway.witness.records import MAX_EVIDENCE
from tests.log_keys import ORIGIN, P256Signer, log_key
from tests.parts import need, need_peer
from tests.witness_desk import NOW_S, Desk, WitnessSigner
from tests.witness_side import FORK, NAME, ForeignWitness, OwnWitness, get, note_at, raw, request_at


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A witness that knows one log."""
    return Desk(tmp_path / "witness")


#: What is asked in this order, and the status that C2SP demands.
CONVERSATION: list[tuple[str, bytes, int]] = [
    ("no request", b"nothing", 400),
    ("no checkpoint", b"old 0\n\nnothing\n", 400),
    ("an unknown log", request_at(0, 5, origin="other.example"), 404),
    ("an unknown log, an unknown key", request_at(0, 5, origin="other.example", seed=9), 404),
    ("an unknown key", request_at(0, 5, seed=9), 403),
    ("an unknown key and an old size too large", request_at(6, 5, seed=9), 403),
    ("an old size too large", request_at(6, 5), 400),
    ("an old size that it does not have", request_at(3, 5), 409),
    ("the first", request_at(0, 5), 200),
    ("the first again, from nothing", request_at(0, 5), 409),
    ("the first again", request_at(5, 5), 200),
    ("the next", request_at(5, 9), 200),
    ("an older one", request_at(5, 7), 409),
    ("an older one, from an older size", request_at(0, 3), 409),
    ("another history", request_at(9, 12, FORK), 422),
    ("a second root", request_at(9, 9, FORK), 422),
    ("a second root, from an older size", request_at(5, 9, FORK), 409),
    ("a proof where none is due", encode_request(9, [bytes(32)], note_at(9)), 422),
    ("a proof that is missing", encode_request(9, [], note_at(12)), 422),
    ("a proof of a hash too much", encode_request(9, [bytes(32)] * 9, note_at(12)), 422),
    ("the honest next one", request_at(9, 300), 200),
]


def _converse(witness: OwnWitness | ForeignWitness) -> list[tuple[str, int]]:
    key = WitnessKey.parse(witness.vkey)
    said = []
    for what, body, _ in CONVERSATION:
        answer = witness.post(body)
        said.append((what, answer.status))
        if answer.status == 409:
            assert answer.content_type == "text/x.tlog.size", what
            assert answer.body.removesuffix(b"\n").isdigit(), what
        if answer.status == 200:
            assert cosignatures(join(body.split(b"\n\n", 1)[1], parse_lines(answer.body)), [key]), what
    return said


def test_every_status_is_the_one_that_the_protocol_demands(tmp_path: Path) -> None:
    """Asked as raw bytes, in the order of the checks."""
    witness = OwnWitness(tmp_path / "witness")
    witness.trust(log_key().text)
    with witness:
        assert _converse(witness) == [(what, status) for what, _, status in CONVERSATION]
        code, status = witness.status()
    assert code == 4, "evidence of a fork"
    assert status["logs"] == [{"origin": ORIGIN, "size": 300, "cosigned": status["logs"][0]["cosigned"]}]
    assert [item["kind"] for item in status["evidence"]].count("fork") == 1


def test_the_witness_from_pypi_says_the_same(tmp_path: Path) -> None:
    """Another implementation of the same document, asked the same."""
    witness = ForeignWitness(tmp_path / "witness")
    witness.trust(ORIGIN, log_key().text)
    with witness:
        assert _converse(witness) == [(what, status) for what, _, status in CONVERSATION]


def test_what_it_says_is_verified_by_others(tmp_path: Path) -> None:
    """openssl over the exact bytes, aics-tlog with the verifier key that init printed."""
    own = OwnWitness(tmp_path / "witness")
    own.trust(log_key().text)
    with own:
        note = join(note_at(5), parse_lines(own.post(request_at(0, 5)).body))
    line, key = split_note(note)[1][-1], WitnessKey.parse(own.vkey)
    time_s = int.from_bytes(line.signature[:8], "big")
    (tmp_path / "message").write_bytes(b"cosignature/v1\ntime %d\n" % time_s + split_note(note)[0])
    (tmp_path / "signature").write_bytes(line.signature[8:])
    (tmp_path / "key").write_bytes(spki(PublicKey(algorithm=Algorithm.ED25519, data=key.data)))
    command = [need("openssl"), "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key", "-rawin"]
    command += ["-in", "message", "-sigfile", "signature"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "note").write_bytes(note)
    command = [need_peer("aics-tlog"), "verify-checkpoint", "--log-key", log_key().text, "--witness-key", own.vkey]
    command += ["--quorum", "1", "--max-age", "3600", "--note", "note"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_newest_cosigned_checkpoint_can_be_looked_at(tmp_path: Path) -> None:
    """With the log's signature and the witness's, by the hash of the origin; nothing else is served."""
    witness = OwnWitness(tmp_path / "witness")
    witness.trust(log_key().text)
    path = f"/{hashlib.sha256(ORIGIN.encode()).hexdigest()}/checkpoint"
    with witness:
        assert get(witness.port, path).status == 404
        stranger = encode_request(0, [], note_at(5) + "— stranger.example AAAAAAAA\n".encode())
        assert witness.post(stranger).status == 200
        found = get(witness.port, path)
        assert [line.name for line in split_note(found.body)[1]] == [ORIGIN, NAME], "lines nobody verified are left out"
        for other in ("/", "/checkpoint", path + "/", path.upper(), "/../witness.conf", "/" + "a" * 64 + "/checkpoint"):
            assert get(witness.port, other).status == 404, other
        assert b" 405 " in raw(witness.port, b"GET /add-checkpoint HTTP/1.1\r\n\r\n")


def test_the_time_never_goes_back(desk: Desk) -> None:
    """A clock that stands before the last cosignature stops them, until it has passed that time; and says so."""
    assert desk.time_of(desk.ask(0, 5), 5) == NOW_S
    desk.now_s -= 1
    answer = desk.ask(5, 7)
    assert answer.status == 503
    assert b"clock is 1 s before" in answer.body
    assert desk.ask(5, 5).status == 503, "nor is the same size given an older time"
    desk.now_s += 1
    assert desk.time_of(desk.ask(5, 7), 7) == NOW_S
    desk.now_s += 100
    assert desk.time_of(desk.ask(7, 9), 9) == NOW_S + 100


def test_epochs_of_a_log_are_logs_of_their_own(desk: Desk) -> None:
    """The same key, another origin, a memory of its own; and no other origin."""
    assert desk.ask(0, 9).status == 200
    assert desk.ask(0, 5, origin=f"{ORIGIN}/epoch-2").status == 200
    assert desk.ask(0, 5, origin=f"{ORIGIN}/epoch-x").status == 404
    assert desk.ask(9, 12).status == 200
    assert [record.size for record in desk.records.all()[0]] == [12, 5]


def test_one_of_several_keys_is_enough_and_a_wrong_line_of_a_known_key_condemns(tmp_path: Path) -> None:
    """Software key and hardware key of one log."""
    desk = Desk(tmp_path)
    hardware = VerifierKey.of(ORIGIN, P256Signer().public_key)
    desk.service.replace_logs({ORIGIN: (log_key(), hardware)})
    assert desk.ask(0, 5).status == 200
    wrong = join(note_at(9), split_note(note_at(7))[1])
    assert desk.service.add_checkpoint(encode_request(5, [], wrong)).status == 403


def test_evidence_is_both_notes_once_and_within_bounds(desk: Desk) -> None:
    """The request as it came, the note that it contradicts; the same again is no second file; 256 at most."""
    desk.ask(0, 9)
    body = request_at(9, 9, FORK)
    for _ in range(3):
        assert desk.service.add_checkpoint(body).status == 422
    (kept,) = desk.records.evidence()
    ours, theirs = (path.read_bytes() for path in kept.files)
    assert (kept.kind, theirs) == ("fork", body)
    assert cosignatures(ours, [desk.key])
    for number in range(MAX_EVIDENCE + 5):
        desk.service.add_checkpoint(encode_request(9, [], note_at(10 + number, FORK)))
    assert len(desk.records.evidence()) == MAX_EVIDENCE
    assert desk.ask(9, 12).status == 200, "the honest log goes on"


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "of another log", "of another witness"])
def test_a_damaged_record_stops_the_witness_for_that_log(desk: Desk, damage: str) -> None:
    """It no longer knows what it said: 503, and nothing is cosigned from nothing again; other logs go on."""
    desk.ask(0, 9)
    desk.ask(0, 5, origin=f"{ORIGIN}/epoch-2")
    (path, *_) = [path for path in (desk.records._logs).iterdir() if b"epoch" not in path.read_bytes()]
    whole = path.read_bytes()
    other = Ed25519PrivateKey.from_private_bytes(bytes([6]) * 32).public_key().public_bytes_raw()
    path.write_bytes(
        {
            "cut": whole[:-10],
            "empty": b"",
            "flipped": whole.replace(b"\n9\n", b"\n8\n"),
            "of another log": next(p.read_bytes() for p in desk.records._logs.iterdir() if p != path),
            "of another witness": whole,
        }[damage]
    )
    again = Desk(desk.records._logs.parent)
    if damage == "of another witness":
        again.records._key = WitnessKey.of(NAME, ED25519, other)
    for old, size in ((0, 5), (9, 12)):
        answer = again.ask(old, size)
        assert (answer.status, b"damaged" in answer.body) == (503, True)
    assert damage == "of another witness" or again.ask(5, 7, origin=f"{ORIGIN}/epoch-2").status == 200


def test_a_log_with_the_witnesss_own_key_is_refused(desk: Desk) -> None:
    """It would witness itself; the logs stay as they were."""
    with pytest.raises(ConfigError, match="cannot be its witness"):
        desk.service.replace_logs({"x.example": (VerifierKey.of("x.example", WitnessSigner().public_key),)})
    assert desk.service.settings.logs == {ORIGIN: (log_key(),)}
