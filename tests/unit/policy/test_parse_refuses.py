"""Every refusal names the exact place, and its caret stands under the right column."""

from __future__ import annotations

import pytest

from enforcer.errors import ProfileError
from enforcer.policy.compose import NODE_LIMIT, SIZE_LIMIT
from enforcer.policy.parse import parse_profile
from tests.unit.policy.bad_documents import BAD, Bad


def document(bad: Bad) -> tuple[str, int, int]:
    """The text without its mark, and the line and column of the mark."""
    text = bad.text.removeprefix("!")
    if not bad.text.startswith(("!", "profile:")):
        text = "profile: enforcer/v1\n" + text
    before, mark, after = text.partition("§")
    assert mark, text
    assert "§" not in after, text
    lines = before.split("\n")
    return before + after, len(lines), len(lines[-1]) + 1


def refusal(data: bytes) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        parse_profile(data, "x.yaml")
    return caught.value


@pytest.mark.parametrize(
    "bad", BAD, ids=lambda bad: bad.text.replace("\n", " ")[:60].encode("ascii", "backslashreplace").decode()
)
def test_refuses_at_the_exact_place(bad: Bad) -> None:
    text, line, column = document(bad)
    error = refusal(text.encode())
    assert bad.what in error.what
    assert error.where == f"x.yaml:{line}:{column}"
    shown, _, caret = error.excerpt.rpartition("\n")
    assert caret.lstrip("\t ") == "^"
    if len(shown) < 100 and column <= len(shown) and error.excerpt.isascii():
        assert shown[len(caret) - 1] == text.split("\n")[line - 1][column - 1]


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 120
    assert len({bad.text for bad in BAD}) == len(BAD)


def test_the_limits_are_exact() -> None:
    start = b"profile: enforcer/v1\ndescription: "
    assert parse_profile(start + b"a" * (SIZE_LIMIT - len(start)), "x.yaml").description
    assert "larger than" in refusal(start + b"a" * (SIZE_LIMIT - len(start) + 1)).what
    assert "more than" in refusal(b"profile: enforcer/v1\nname: [" + b"1," * NODE_LIMIT + b"]").what


def test_names_the_first_of_two_keys() -> None:
    assert "x.yaml:1:1" in refusal(b"profile: enforcer/v1\nprofile: enforcer/v1").why


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("sycalls: {}", "did you mean 'syscalls'?"),
        ("syscalls: {allow: [openatt]}", "did you mean 'openat'?"),
        ("capabilities: [NET_BIND_SERVIC]", "did you mean 'NET_BIND_SERVICE'?"),
        ("capabilities: [net_raw]", "did you mean 'NET_RAW'?"),
        ("syscalls: {violation: errno EPREM}", "did you mean 'EPERM'?"),
        ("network: {egress: [{cidr: 10.1.2.3/16, ports: [1]}]}", "write 10.1.0.0/16"),
        ("network: {egress: [{host: 10.0.0.1, ports: [1]}]}", "write cidr: 10.0.0.1/32"),
        ("network: {egress: [{cidr: '2001:DB8::/32', ports: [1]}]}", "write 2001:db8::/32"),
        ("network: {egress: [{cidr: '::ffff:a00:0/104', ports: [1]}]}", "write 10.0.0.0/8"),
        ("filesystem: {mounts: [{tmpfs: true, at: /b, size: 64M}]}", "write 64MiB"),
        ("filesystem: {mounts: [{bind: /a, at: /b/}]}", "write /b"),
        ("run: {init: yes}", "write true or false"),
        ("resources: {time: 10}", "write 10s for seconds"),
        ("resources: {pids: 0o100}", "write 64"),
        ("syscalls: {allow: [{names: [read], args: [{index: 0, op: ==, value: -1}]}]}", "0xffffffffffffffff"),
        ("environment: {set: {PORT: 8080}}", 'quote it: "8080"'),
    ],
)
def test_hints_say_what_to_write(text: str, hint: str) -> None:
    assert hint in refusal(f"profile: enforcer/v1\n{text}".encode()).hint


def test_bytes_that_are_not_utf8() -> None:
    error = refusal(b"profile: enforcer/v1\nname: w\xffb")
    assert error.where == "x.yaml:2:8"
    assert "0xff" in error.what
    assert "is not UTF-8" in refusal("profile: enforcer/v1".encode("utf-16")).what


def test_an_excerpt_never_carries_what_a_terminal_obeys() -> None:
    error = refusal("profile: enforcer/v1\nname: \x1b]0;owned\x07\u202e".encode())
    assert all(character == "\n" or character.isprintable() for character in error.render())


def test_an_excerpt_of_a_long_line_shows_the_place() -> None:
    names = ", ".join(f"/{number}" for number in range(1000))
    shown, caret = refusal(f"profile: enforcer/v1\nfilesystem: {{paths: {{read: [{names}, bad, /z]}}}}".encode()).excerpt.split(
        "\n"
    )
    assert len(shown) <= 120
    assert shown[len(caret) - 1 :].startswith("bad")


def test_a_caret_below_wide_characters_and_tabs() -> None:
    error = refusal("profile: enforcer/v1\nrun: {cwd: /\u6f22,\tinit: 1}".encode())
    assert error.where == "x.yaml:2:22"
    assert error.excerpt.split("\n")[1] == " " * 12 + "  " + " " + "\t" + " " * 6 + "^"
