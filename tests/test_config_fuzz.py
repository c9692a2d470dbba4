"""Whatever is in the file: ``load`` returns a Config or raises ConfigError, and every problem can be shown."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.config import Config, ConfigProblems
from tests.config_text import EXAMPLE, load_text
from tests.test_config import uncommented

FULL = uncommented(EXAMPLE.read_text())
#: Every word, number and sign of the full example, to be put in the wrong places.
TOKENS = sorted(set(re.findall(r"[\w./:@-]+|[^\w\s]|\n *", FULL)))
ODD = [
    "~",
    "no",
    "8:20",
    "0x1f",
    "1e9",
    "-1",
    "&a ",
    "*a",
    "!!int ",
    "? ",
    "| \n",
    ">-\n",
    "\t",
    "\x85",
    "'",
    '"\\U',
    "%",
    "<<: ",
]
LIMITS = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(folder, data: str | bytes) -> None:
    """The property; the number of problems is bounded, and each is one line within the file."""
    try:
        config = load_text(folder, data, look=True)
    except ConfigProblems as caught:
        error = caught
    else:
        assert isinstance(config, Config)
        return
    assert 1 <= len(error.problems) <= 100
    str(error).encode()
    assert str(error).count("\n") == len(error.problems) - 1
    assert all(problem.line >= 1 and problem.column >= 1 for problem in error.problems)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """The full example after a few cuts, insertions and repetitions."""
    text = FULL
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 40)))
        put = draw(
            st.one_of(st.sampled_from(TOKENS), st.sampled_from(ODD), st.text(max_size=8), st.just(text[start:stop] * 2))
        )
        text = text[:start] + put + text[stop:]
    return text


@LIMITS
@given(text=damaged())
@example(text="0: 0\n0: [")
def test_a_damaged_example_is_a_config_or_a_list_of_problems(tmp_path, text):
    """What an editor, a merge or a bad copy makes of a good config."""
    check(tmp_path, text.encode("utf-8", "surrogatepass"))


@LIMITS
@given(data=st.binary(max_size=200))
def test_garbage_is_a_list_of_problems(tmp_path, data):
    """A file that is no text at all."""
    check(tmp_path, data)


@LIMITS
@given(text=st.lists(st.sampled_from([*TOKENS, *ODD, " ", "\n", ": ", "- ", "[", "]", "{", "}", ", "]), max_size=60))
def test_yaml_in_any_order_is_a_config_or_a_list_of_problems(tmp_path, text):
    """The words and signs of YAML, thrown together."""
    check(tmp_path, "".join(text))


@LIMITS
@given(
    path=st.sampled_from([m.start(1) for m in re.finditer(r"[:,\[] ?([\w/.:@-]+)", FULL)]), value=st.text(max_size=30)
)
def test_any_text_as_any_value_is_a_config_or_a_list_of_problems(tmp_path, path, value):
    """Each value of the full example replaced by any text in quotes."""
    quoted = "'" + value.replace("'", "''") + "'"
    end = re.compile(r"[\w/.:@-]+").match(FULL, path).end()
    check(tmp_path, (FULL[:path] + quoted + FULL[end:]).encode("utf-8", "surrogatepass"))
