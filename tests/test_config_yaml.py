"""Text that is no YAML, or YAML that a config does not use: one exact problem at its place."""

from __future__ import annotations

import pytest

from gateway.config.text import MAX_BYTES
from tests.config_text import problems_of

TOKEN = " (while scanning for the next token)"
FLOW = " (while parsing a flow sequence)"
TAGS = "tags (!name) are not used here; write the plain value"
SYNTAX = [
    (b"", "1:1: the file is empty; config.example.yaml shows what belongs in it"),
    (b"# only a comment\n", "2:1: the file is empty; config.example.yaml shows what belongs in it"),
    (b"origin: a\n\tlog: b\n", "2:1: not YAML: a tab; indent with spaces"),
    (b"origin: a: b\n", "1:10: not YAML: mapping values are not allowed here"),
    (b"origin: 'a\n", "2:1: not YAML: found unexpected end of stream (while scanning a quoted scalar)"),
    (b"buses: [{name: a}\nb: 1\n", "2:1: not YAML: expected ',' or ']', but got '<scalar>'" + FLOW),
    (b"origin: a\nlog: b\n  c: d\n", "3:4: not YAML: mapping values are not allowed here"),
    (b"origin: @a\n", "1:9: not YAML: found character '@' that cannot start any token" + TOKEN),
    (b"origin: a\xff\n", "1:10: byte 0xff is not UTF-8; save the file as UTF-8 text"),
    (b"\xef\xbb\xbforigin: a\nkey: \xc3\xa4\xe9\n", "2:7: byte 0xe9 is not UTF-8; save the file as UTF-8 text"),
    (b"\xff\xfeo\x00r\x00", "1:1: byte 0xff is not UTF-8; save the file as UTF-8 text"),
    (b"origin: a\nkey: b\x00\n", "2:7: character U+0000 cannot be in a text file; remove it"),
    (b"%YAML 1.2\n---\norigin: a\n", "1:1: YAML directives (lines that begin with %) are not used here; remove them"),
    (b"origin: a\n---\nb: 1\n", "2:1: a second document begins here; a config is one document, remove the line ---"),
    (b"origin: &x a\n", "1:9: origin: anchors (&name) are not used here; write each value out"),
    (b"origin: !!str a\n", "1:9: origin: " + TAGS),
    (b"origin: !!python/object/apply:os.system [ls]\n", "1:9: origin: " + TAGS),
    (b"origin: a\nlog: *x\n", "2:6: log: aliases (*name) are not used here; write the value out"),
    (b"origin: a\n? [b]\n: c\n", "2:3: found a list as a key; a key is one word"),
    (b'origin: "\\UFFFFFFFF"\n', '1:1: not YAML: an escape such as "\\U…" behind this place names no character'),
    (b"origin: " + b"[" * 16 + b"]" * 16, "1:24: nested deeper than 16 levels; no config needs that"),
    (b"[" * 100_000, "1:17: nested deeper than 16 levels; no config needs that"),
    (b"- " * 100_000, "1:33: nested deeper than 16 levels; no config needs that"),
    (b"- a\n" * 20_001, "20000:3: more than 20000 keys and values; no config needs that"),
    (b"#" * (MAX_BYTES + 1), "1:1: the file is larger than 1048576 bytes; a config is text of a few kilobytes"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "problem"), SYNTAX, ids=[problem[:60] for _, problem in SYNTAX])
def test_text_that_cannot_be_read_has_one_problem_at_its_place(tmp_path, data, problem):
    """Broken YAML, other encodings, and the parts of YAML that a config does not need."""
    found = [line for line in problems_of(tmp_path, data) if "tags" not in problem or "tags" in line]
    assert found == [problem]


def test_a_lone_surrogate_is_shown_as_a_replacement(tmp_path):
    r"""The escape "\ud800" is no character, and no output must fail over it."""
    (problem,) = problems_of(tmp_path, b'origin: a\n"\\ud800": 1\n')
    assert problem.startswith("2:1: \ufffd: unknown key")
    problem.encode()


def test_words_mean_what_their_key_says(tmp_path):
    """YAML 1.1 reads no, off and 1.0 as other things; where a name is wanted they are names."""
    meter = "{name: 1.0, model: sunspec-203, bus: off, unit: 1}"
    text = f"origin: no\nbuses: [{{name: off, tcp: 192.0.2.1}}]\nmeters: [{meter}]\n"
    assert problems_of(tmp_path, text) == []
