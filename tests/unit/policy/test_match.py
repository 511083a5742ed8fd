from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enforcer.errors import ProfileError
from enforcer.policy.match import choose
from enforcer.policy.parse import parse_profile

if TYPE_CHECKING:
    from enforcer.policy.profile import Profile

DIGEST = "sha256:" + "a" * 64


def profile(name: str, *matches: str) -> Profile:
    entries = "".join(f"\n  - {{{match}}}" for match in matches)
    return parse_profile(f"profile: enforcer/v1\nname: {name}\nmatch:{entries}".encode(), f"{name}.yaml")


def chosen(profiles: list[Profile], repository: str, tag: str = "", digest: str = "") -> str | None:
    found = choose(profiles, repository, tag, digest)
    return found.name if found else None


PROFILES = [
    profile("repository", "image: shop.example/web"),
    profile("glob", "image: 'shop.example/web:1.*'"),
    profile("tag", "image: shop.example/web:1.27"),
    profile("digest", f"digest: '{DIGEST}'"),
    profile("hub", "image: nginx"),
    profile("host", "image: host"),
    profile("tree", "image: rootfs:/srv/root"),
]


@pytest.mark.parametrize(
    ("repository", "tag", "digest", "name"),
    [
        ("shop.example/web", "2", "", "repository"),
        ("shop.example/web", "", "", "repository"),
        ("shop.example/web", "1.5", "", "glob"),
        ("shop.example/web", "1.27", "", "tag"),
        ("shop.example/web", "1.27", DIGEST, "digest"),
        ("other.example/x", "", DIGEST, "digest"),
        ("shop.example/web2", "1.27", "", None),
        ("shop.example/webx/web", "1.27", "", None),
        ("docker.io/library/nginx", "1", "", "hub"),
        ("nginx", "1", "", "hub"),
        ("evil.example/library/nginx", "1", "", None),
        ("host", "", "", "host"),
        ("docker.io/library/host", "latest", "", None),
        ("rootfs:/srv/root", "", "", "tree"),
        ("rootfs:/srv/root2", "", "", None),
        ("", "", "", None),
        ("../../etc", "x", "", None),
    ],
)
def test_the_most_exact_profile_is_chosen(repository: str, tag: str, digest: str, name: str | None) -> None:
    assert chosen(PROFILES, repository, tag, digest) == name
    assert chosen(PROFILES[::-1], repository, tag, digest) == name


@pytest.mark.parametrize(
    ("pattern", "tag", "matches"),
    [
        ("1.*", "1.", True),
        ("1.*", "1x2", False),
        ("1.?", "1.2", True),
        ("1.?", "1.23", False),
        ("*", "anything", True),
        ("*", "", False),
        ("a*b*c", "aXbYc", True),
        ("a**b", "ab", True),
        ("v[1]", "v1", None),
        ("1.2", "1x2", False),
        ("latest", "Latest", False),
    ],
)
def test_globs(pattern: str, tag: str, matches: bool | None) -> None:  # noqa: FBT001  a column of the table
    if matches is None:
        with pytest.raises(ProfileError):
            profile("p", f"image: 'a:{pattern}'")
    else:
        assert (chosen([profile("p", f"image: 'a:{pattern}'")], "a", tag) == "p") is matches


def test_a_glob_takes_no_time_to_fail() -> None:
    hostile = profile("p", "image: 'a:" + "*a" * 30 + "b'")
    assert chosen([hostile], "a", "a" * 128) is None


@pytest.mark.parametrize(
    ("first", "second", "tag", "digest"),
    [
        ("image: a", "image: docker.io/library/a", "", ""),
        ("image: 'a:1*'", "image: 'a:*1'", "1", ""),
        ("image: a:1", "image: a:1", "1", ""),
        (f"digest: '{DIGEST}'", f"digest: '{DIGEST}'", "", DIGEST),
    ],
)
def test_equally_exact_is_an_error_that_names_both(first: str, second: str, tag: str, digest: str) -> None:
    with pytest.raises(ProfileError) as caught:
        choose([profile("one", first), profile("two", second)], "a", tag, digest)
    assert "one.yaml:4:5" in caught.value.why
    assert "two.yaml:4:5" in caught.value.why


def test_a_tie_below_the_best_is_no_tie() -> None:
    assert chosen([profile("one", "image: a"), profile("two", "image: a"), profile("three", "image: a:1")], "a", "1") == "three"


def test_one_profile_may_match_in_several_ways() -> None:
    assert chosen([profile("one", "image: 'a:1*'", "image: 'a:*1'")], "a", "1") == "one"
