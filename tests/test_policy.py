"""Policy files: what they demand, every fault with its line, and how witnesses are counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError, TamperError
from gateway.log.cosignature import ED25519, WitnessKey
from gateway.log.note import VerifierKey, parse_checkpoint
from gateway.log.policy import MAX_POLICY, Policy, load_policy, parse_policy
from gateway.log.witnessing import CLOCK_AHEAD_S, Witnessing
from tests.log_keys import ORIGIN, P256Signer, log_key, note_of
from tests.test_cosignature import TIME_S, cosigned

SECRETS = {name: Ed25519PrivateKey.from_private_bytes(bytes([20 + index]) * 32) for index, name in enumerate("abcde")}
KEYS = {
    name: WitnessKey.of(f"{name}.example", ED25519, secret.public_key().public_bytes_raw())
    for name, secret in SECRETS.items()
}
WITNESSES = "".join(f"witness {name} {key.text}\n" for name, key in KEYS.items())
LOG = f"log {log_key().text}\n"


def policy(*lines: str) -> Policy:
    """A policy with one log key, the witnesses a to e, and these lines."""
    return parse_policy("\n".join([LOG + WITNESSES, *lines, ""]).encode(), "p")


def note(size: int, *names: str, time_s: int = TIME_S) -> bytes:
    """A checkpoint cosigned by those witnesses."""
    found = note_of(size)
    for name in names:
        found = cosigned(found, key=SECRETS[name], name=f"{name}.example", time_s=time_s)
    return found


def judged(chosen: Policy, *notes: bytes, now_s: int = TIME_S, size: int = 100):
    """What is said of a log with these checkpoints."""
    witnessing = Witnessing(chosen)
    for data in notes:
        witnessing.see(parse_checkpoint(data))
    return witnessing.judge(size, now_s)


def test_the_example_of_the_specification_is_read() -> None:
    """Two levels of groups, comments, tabs, and URLs behind the keys."""
    text = (
        f"# example\n\n{LOG.strip()} https://log.example\n{WITNESSES}"
        "group\tX-witnesses 2 a b c\ngroup Y-witnesses any d e\n  # indented\n"
        "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
    )
    found = parse_policy(text.encode(), "p")
    assert (found.origin, found.keys, found.key_quorum, found.fresh_s) == (ORIGIN, (log_key(),), None, None)
    assert found.quorum == "X-and-Y"
    values = {"a": 10, "b": 7, "c": 9, "e": 4}
    assert found.level(values, "X-witnesses") == 9
    assert found.level(values) == 4
    assert found.level({"a": 1, "d": 1, "e": 1}) == -1


def test_the_keys_of_the_log_are_all_demanded_unless_the_policy_says_less() -> None:
    """Software key and hardware key; `logs any` is what C2SP means by several log lines."""
    both = LOG + f"log {VerifierKey.of(ORIGIN, P256Signer().public_key).text}\nquorum none\n"
    assert [
        parse_policy((both + line).encode(), "p").key_quorum for line in ("", "logs all", "logs any", "logs 2")
    ] == [
        None,
        None,
        1,
        2,
    ]


def test_a_quorum_takes_the_size_that_enough_witnesses_vouch_for() -> None:
    """Whoever cosigned a larger checkpoint vouches for the smaller ones of the same log."""
    two = policy("group two 2 a b c", "quorum two")
    found = judged(two, note(10, "a"), note(30, "b", time_s=TIME_S + 5), note(20, "c", time_s=TIME_S + 9), note(40))
    assert (found.met, found.size, found.time_s, found.unwitnessed) == (True, 20, TIME_S + 5, 80)
    assert found.said == (("a", 10, TIME_S), ("b", 30, TIME_S + 5), ("c", 20, TIME_S + 9))


def test_a_quorum_that_is_not_met_says_so() -> None:
    """Nobody, too few, and strangers."""
    two = policy("group two 2 a b", "quorum two")
    for notes in ([], [note(10, "a")], [note(10, "a", "c"), note(12, "d")]):
        found = judged(two, *notes)
        assert (found.met, found.size) == (False, 0)
        assert found.reason == "no checkpoint is cosigned by the quorum two"
    assert judged(policy("quorum none"), note(10)).met


def test_silence_is_a_failure_where_freshness_is_demanded() -> None:
    """To the second; and without `fresh` an old word counts."""
    fresh = policy("quorum a", "fresh 60")
    assert judged(fresh, note(10, "a"), now_s=TIME_S + 60).met
    found = judged(fresh, note(10, "a"), now_s=TIME_S + 61)
    assert (found.met, found.reason) == (False, "the quorum a cosigned last 61 s ago, the policy allows 60 s")
    assert judged(policy("quorum a"), note(10, "a"), now_s=TIME_S + 10**9).met


def test_a_time_ahead_of_the_verifiers_clock_is_no_time() -> None:
    """It would stay fresh for as long as its author likes."""
    fresh = policy("quorum a", "fresh 60")
    assert judged(fresh, note(10, "a", time_s=TIME_S + CLOCK_AHEAD_S)).met
    assert not judged(fresh, note(10, "a", time_s=TIME_S + CLOCK_AHEAD_S + 1)).met


def test_a_wrong_cosignature_is_tampering_and_a_strangers_line_hides_nothing() -> None:
    """A line under a witness's name with another key is ignored, and does not take the place of the real one."""
    chosen = policy("quorum a")
    name = KEYS["a"].name
    assert judged(chosen, note(10, "a"), cosigned(note_of(20), name=name)).size == 10
    wrong = note(10, "a").replace(b"\n10\n", b"\n11\n")
    with pytest.raises(TamperError, match=name):
        judged(chosen, wrong)


FAULTS = {
    "unknown word": ("witnes x", 7, "unknown word 'witnes'; known: origin, log, logs, witness, group, quorum, fresh"),
    "log without a key": ("log", 7, "write log VKEY"),
    "log key mistyped": (LOG.strip()[:-1], 7, "is not base64"),
    "log key twice": (LOG.strip(), 7, "this public key is in a log line already; remove one of them"),
    "witness key of a log": (f"witness f {log_key(9).text}", 7, "0x01 is no cosignature"),
    "log key as a witness": (
        f"witness f {WitnessKey.of('f.example', ED25519, log_key().public_key.data).text}",
        7,
        "a log cannot be its witness",
    ),
    "witness twice": (
        f"witness f {WitnessKey.of('f.example', ED25519, KEYS['a'].data).text}",
        7,
        "nobody may count twice",
    ),
    "witness name twice": (f"witness a {KEYS['a'].text}", 7, "a is a witness or group already"),
    "witness named none": (f"witness none {KEYS['a'].text}", 7, "none is no name"),
    "group without members": ("group g all", 7, "write group NAME all MEMBER"),
    "group of strangers": ("group g all z", 7, "z is not named before this line; known: a, b, c, d, e"),
    "group of itself": ("group g all g", 7, "g is not named before this line"),
    "group twice": ("group g any a\ngroup g any b", 8, "g is a witness or group already"),
    "member twice": ("group g all a\ngroup h all a", 8, "a is in a group already; nobody may count twice"),
    "member twice in one": ("group g all a a", 7, "a is in a group already"),
    "threshold zero": ("group g 0 a b", 7, "found 0; wanted all, any or a number from 1"),
    "threshold too high": ("group g 3 a b", 7, "3 of 2 members cannot be asked for"),
    "threshold in words": ("group g two a b", 7, "found two; wanted all, any or a number"),
    "threshold in other digits": ("group g ٢ a b", 7, "found ٢; wanted"),
    "quorum of a stranger": ("quorum z", 7, "z is not named before this line"),
    "quorum twice": ("quorum a\nquorum b", 8, "a second quorum line; remove one of them"),
    "quorum of two": ("quorum a b", 7, "write quorum NAME"),
    "fresh in words": ("fresh never", 7, "found never; wanted whole seconds from 1"),
    "fresh zero": ("fresh 0", 7, "found 0; wanted"),
    "fresh for ever": ("fresh 99999999999", 7, "found 99999999999; wanted"),
    "origin of two words": ("origin a b", 7, "write origin"),
    "control character": ("quorum a\r", 7, "control character 0x0d; remove it"),
    "logs of no number": ("logs some", 7, "found some; wanted all, any or a number"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_line_is_told_with_its_number_and_the_remedy(name: str) -> None:
    """Each rule of the format, broken once."""
    line, number, message = FAULTS[name]
    with pytest.raises(ConfigError) as caught:
        parse_policy((LOG + WITNESSES + line + "\n").encode(), "file.policy")
    assert str(caught.value).startswith(f"file.policy:{number}: ")
    assert message in str(caught.value)


WHOLES = {
    "empty": (b"", "no log line; add log VKEY"),
    "no quorum": ((LOG + WITNESSES).encode(), "no quorum line; add quorum NAME, or quorum none"),
    "fresh of nobody": ((LOG + "quorum none\nfresh 5\n").encode(), "quorum none demands no witness"),
    "another origin": ((LOG + "origin b.example\nquorum none\n").encode(), "is not named for the origin b.example"),
    "more keys than there are": ((LOG + "logs 2\nquorum none\n").encode(), "logs 2, but there are 1 log keys"),
    "not UTF-8": (LOG.encode() + b"# \xff\n", "p:2: byte 0xff is not UTF-8"),
    "very long": (b"#" * (MAX_POLICY + 1), "larger than 65536 bytes"),
}


@pytest.mark.parametrize("name", WHOLES)
def test_what_the_lines_lack_together_is_told_too(name: str) -> None:
    """And what is no such file at all."""
    data, message = WHOLES[name]
    with pytest.raises(ConfigError, match="p") as caught:
        parse_policy(data, "p")
    assert message in str(caught.value)


def test_all_faults_are_told_together() -> None:
    """One run of the command shows them all."""
    with pytest.raises(ConfigError) as caught:
        parse_policy(b"log x\nwitness\nquorum z\n", "p")
    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == ["p:1:", "p:2:", "p:3:"]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """With its name and the remedy."""
    with pytest.raises(ConfigError, match="nowhere: No such file or directory; name a policy file"):
        load_policy(tmp_path / "nowhere")


@given(
    st.lists(st.sampled_from([LOG, WITNESSES, "group g 1 a\n", "quorum g\n", "fresh 5\n", "\t", "\x00", "é", "log "]))
)
def test_any_text_is_a_policy_or_one_error(pieces: list[str]) -> None:
    """Nothing else comes out of the reader."""
    try:
        found = parse_policy("".join(pieces).encode(), "p")
    except ConfigError:
        return
    assert found.keys
