"""Whatever the bytes are, the parser answers with a profile or a ProfileError, and a policy written out reads back the same."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import ProfileError
from enforcer.policy.canonical import to_document
from enforcer.policy.compare import covers
from enforcer.policy.compose import resolve_scalar
from enforcer.policy.narrow import narrow
from enforcer.policy.order_network import meet_egress
from enforcer.policy.parse import KEYS, parse_profile
from enforcer.policy.parse_syscalls import _never
from enforcer.policy.resolve import from_command_line, resolve
from enforcer.policy.source import UNPRINTABLE
from tests.property import policies
from tests.unit.policy.bad_documents import BAD
from tests.unit.policy.test_parse import WHOLE
from tests.unit.policy.test_schema import VALIDATOR

if TYPE_CHECKING:
    from enforcer.policy.profile import Clause, Policy, Profile, SyscallGrant

HEADER = b"profile: enforcer/v1\n"
PIECES = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "- ",
    "&a",
    "*a",
    "!!",
    "|",
    ">",
    "'",
    '"',
    "#",
    "\n",
    "  ",
    "\t",
    "%",
    "---",
    "...",
    "?",
    "~",
]
WORDS = [
    *KEYS,
    "allow",
    "names",
    "args",
    "bind",
    "at",
    "egress",
    "cidr",
    "ports",
    "10.0.0.0/8",
    "443",
    "0x0",
    "1e3",
    "-1",
    "AF_UNIX",
    "/a",
]


def read(data: bytes) -> Profile | None:
    try:
        return parse_profile(data, "x.yaml")
    except ProfileError as error:
        assert error.where.startswith("x.yaml:")  # noqa: PT017  whichever way it ends
        shown = set(map(unicodedata.category, error.render().replace("\n", "").replace("\t", "")))
        assert not shown & UNPRINTABLE
        return None


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    read(data)
    read(HEADER + data)


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    read(HEADER + text.encode("utf-8", "surrogatepass"))


@given(st.lists(st.sampled_from(PIECES + WORDS), max_size=40).map("".join))
def test_anything_made_of_the_languages_own_pieces(text: str) -> None:
    read(text.encode())
    read(HEADER + text.encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(WORDS), below, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYS), json_values))
def test_any_values_under_the_right_keys(document: dict[str, object]) -> None:
    read(json.dumps(document | {"profile": "enforcer/v1"}, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@given(st.integers(0, len(WHOLE)), st.integers(0, 40), st.text(max_size=3))
def test_a_good_document_with_one_hole(start: int, length: int, filler: str) -> None:
    read((WHOLE[:start] + filler + WHOLE[start + length :]).encode("utf-8", "surrogatepass"))


@given(st.sampled_from(BAD), st.randoms(use_true_random=False))
def test_bad_documents_cut_short(bad: object, random: Random) -> None:
    text = str(getattr(bad, "text", "")).replace("§", "")
    read(HEADER + text[: random.randint(0, len(text))].encode("utf-8", "surrogatepass"))


@given(st.text(max_size=40), st.text(max_size=20))
def test_any_command_line(net: str, path: str) -> None:
    for arguments in (([net], [], []), ([], [path], []), ([], [], [path])):
        try:
            from_command_line(*arguments, directory="/home")
        except ProfileError as error:
            assert error.where == "command line"  # noqa: PT017  whichever way it ends


@given(st.integers(-(10**30), 10**30))
def test_integers_are_read_exactly(number: int) -> None:
    assert resolve_scalar(str(number)) == number


@pytest.mark.parametrize(
    "text", ["[" * 5000, "{a: " * 5000, "- " * 5000, "? " * 5000, "[" * 500_000, "a: &x [" * 9, '"' * 9, "\n" * 99_999 + ":"]
)
def test_deep_documents_end_soon(text: str) -> None:
    assert read(HEADER + text.encode()) is None


def test_a_document_of_one_mebibyte_is_read_in_time() -> None:
    names = ", ".join(f'"/{number}"' for number in range(40_000))
    assert read(HEADER + f"filesystem: {{paths: {{read: [{names}]}}}}".encode()) is not None


def never_base(name: str, clause: Clause) -> Profile:
    raise ProfileError(f"no base {name}", where=clause.place)


def never_file(path: str, clause: Clause) -> bytes:
    raise ProfileError(f"no file {path}", where=clause.place)


def again(policy: Policy) -> Policy:
    data = json.dumps(to_document(policy), ensure_ascii=False).encode()
    return resolve(parse_profile(data, "again.json"), load_base=never_base, read_file=never_file).policy


def spoken(policy: Policy) -> Policy:
    """The nearest policy that the language can say: in its ranges, one mount a place, a phase that only ends rights."""
    mounts = {mount.at: mount for mount in sorted(policy.filesystem.mounts, key=repr) if mount.at != "/"}
    published = {
        (entry.publish, entry.port.protocol): entry for entry in sorted(policy.network.ingress, key=repr) if entry.publish
    }
    unpublished = {entry for entry in policy.network.ingress if not entry.publish}
    bounds = policy.resources
    network = replace(policy.network, ingress=frozenset({*published.values(), *unpublished}))
    phase = policy.phases
    return replace(
        policy,
        run=replace(policy.run, root=False),
        syscalls=replace(policy.syscalls, allowed={name: _possible(grant) for name, grant in policy.syscalls.allowed.items()}),
        filesystem=replace(policy.filesystem, mounts=frozenset(mounts.values())),
        network=network,
        resources=replace(
            bounds,
            memory=bounds.memory and bounds.memory * 4096,
            scratch=bounds.scratch and bounds.scratch * 4096,
            cpus=bounds.cpus and bounds.cpus * 333,
            open_files=bounds.open_files and bounds.open_files + 2,
        ),
        phases=phase and replace(phase, egress=None if phase.egress is None else meet_egress(phase.egress, network.egress)),
    )


def _possible(grant: SyscallGrant) -> SyscallGrant:
    return replace(grant, matches=frozenset(match for match in grant.matches if not any(map(_never, match))))


@given(policies.policies())
def test_a_policy_written_out_reads_back_the_same(policy: Policy) -> None:
    policy = spoken(policy)
    found = again(policy)
    assert to_document(found) == to_document(policy)
    assert VALIDATOR.is_valid(to_document(policy))
    assert covers(found, policy) == covers(policy, found) == ()


@given(policies.policies(), policies.policies())
def test_a_narrowed_policy_is_within_both(policy: Policy, bound: Policy) -> None:
    policy, bound = spoken(policy), spoken(bound)
    try:
        met, narrowings = narrow(policy, bound, {})
    except ProfileError as error:
        assert "would appear" in error.why  # noqa: PT017  whichever way it ends
        return
    assert covers(policy, met) == covers(bound, met) == ()
    assert bool(narrowings) == bool(covers(met, policy))
    assert to_document(again(met)) == to_document(met)


def confusables(count: int) -> list[str]:
    """Image names with one character that looks like another, is hidden, or turns the line round: always the same ones."""
    random = Random(20260821)
    plain = "registry.example/shop/web"
    folded = [
        c
        for c in map(chr, range(0x80, 0x1F000))
        if unicodedata.normalize("NFKC", c).lower() in set("abcdefghijklmnopqrstuvwxyz0123456789/.:-_")
    ]
    alike = [
        *"\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u0261\u03bf\u03bd\u03b9\u2044\u2215\u29f8\ua789\u0589\u2010\u2011\u2013"
    ]
    hidden = [
        *"\u200b\u200c\u200d\u2060\ufeff\u00ad\u202e\u202d\u2066\u2069\u200e\u200f\u0301\u0337\u034f\u115f\u3164\U000e0061\ufe0f"
    ]
    names = set()
    while len(names) < count:
        at = random.randrange(len(plain))
        character = random.choice(random.choice((folded, alike, hidden)))
        names.add(plain[:at] + character + plain[at + random.randint(0, 1) :])
    return sorted(names)


def test_a_thousand_confusable_names() -> None:
    for name in confusables(1000):
        data = HEADER + f'match: [{{image: "{name}"}}]'.encode()
        with pytest.raises(ProfileError) as caught:
            parse_profile(data, "x.yaml")
        assert caught.value.what.startswith(("character ", "the character "))
    assert parse_profile(HEADER + b"match: [{image: registry.example/shop/web}]", "x.yaml").match
