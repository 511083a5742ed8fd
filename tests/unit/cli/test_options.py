from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.cli.options import Command, Option
from enforcer.errors import UsageError

OPTIONS = (
    Option("policy", "a profile", value="FILE"),
    Option("env", "a variable", short="e", value="NAME", many=True),
    Option("interactive", "input", short="i"),
    Option("tty", "terminal", short="t"),
    Option("format", "how", value="FORMAT", choices=("text", "json")),
)
REST = Command("run", "Run.", "IMAGE [CMD…]", OPTIONS, rest=True)
PLAIN = Command("show", "Show.", "[NAME]", OPTIONS)


def test_every_way_to_write_an_option() -> None:
    given = REST.parse(["--policy", "a", "-e", "A=1", "-eB=2", "--env=C=3", "-it", "image", "-x", "--policy"])
    assert given.one("policy") == "a"
    assert given.all("env") == ["A=1", "B=2", "C=3"]
    assert given.on("interactive")
    assert given.on("tty")
    assert given.words == ["image", "-x", "--policy"]


def test_options_after_a_word_belong_to_the_command_unless_a_payload_follows() -> None:
    assert PLAIN.parse(["name", "--policy", "a"]).one("policy") == "a"
    assert not REST.parse(["image", "--tty"]).on("tty")
    assert PLAIN.parse(["--", "--policy"]).words == ["--policy"]
    assert PLAIN.parse(["-"]).words == ["-"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--polcy", "x"], "no option --polcy"),
        (["-x"], "no option -x"),
        (["--policy"], "needs a value"),
        (["--tty=1"], "takes no value"),
        (["--policy", "a", "--policy", "b"], "given twice"),
        (["--tty", "-t"], "given twice"),
        (["--format", "xml"], "no format 'xml'"),
        (["--format="], "no format ''"),
    ],
)
def test_what_is_wrong_is_said(argv: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        PLAIN.parse(argv)
    assert said in caught.value.what
    assert caught.value.where == "enforcer show"
    assert caught.value.hint


def test_a_near_miss_is_hinted_at() -> None:
    with pytest.raises(UsageError) as caught:
        PLAIN.parse(["--polcy", "x"])
    assert caught.value.hint == "did you mean --policy?"


@given(st.lists(st.text(max_size=6) | st.sampled_from(["--policy", "-e", "-it", "--", "--format=json", "x"]), max_size=6))
def test_any_command_line_is_parsed_or_refused(argv: list[str]) -> None:
    for command in (REST, PLAIN):
        try:
            found = command.parse(argv)
        except UsageError:
            continue
        assert all(word in argv for word in found.words)


def test_help_shows_every_option() -> None:
    usage = REST.usage()
    assert usage.startswith("usage: enforcer run [OPTION…] IMAGE [CMD…]\n")
    assert "-e, --env NAME" in usage
    assert "--help" in usage
    assert REST.parse(["--help"]).on("help")
