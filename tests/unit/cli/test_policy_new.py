from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enforcer.cli import policy_new
from enforcer.errors import EnforcerError, ProfileError, UsageError
from enforcer.policy.parse import parse_profile
from tests import shipped

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("base", ["", *(name for name in shipped.NAMES if name.startswith("base/"))])
def test_the_beginning_is_a_profile_that_grants_nothing_of_its_own(place: Path, base: str) -> None:
    assert place
    found = parse_profile(policy_new.scaffold("web", base).encode(), "web.yaml")
    assert found.name == "web"
    assert [name for name, _ in found.extends] == ([base] if base else [])
    assert (found.run, found.syscalls, found.capabilities, found.filesystem, found.network) == (None,) * 5
    assert found.match == ()


def test_what_is_commented_out_is_of_the_language(place: Path) -> None:
    """With the marks of comments taken away it is a profile as well: an example that is wrong would teach the wrong thing."""
    assert place
    lines = [line.removeprefix("# ") for line in policy_new.scaffold("web", "base/default").splitlines()]
    prose = ("What one image", "`enforcer plan", "Which images", "Each of these", "Upper bounds")
    text = "\n".join(line for line in lines if not line.startswith(prose))
    found = parse_profile(text.encode(), "web.yaml")
    assert found.filesystem is not None
    assert len(found.filesystem.mounts) == 2
    assert found.network is not None
    assert found.match


def test_it_goes_to_standard_output(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert place
    assert policy_new.run(["web", "--from", "base/default"]) == 0
    assert capsys.readouterr().out == policy_new.scaffold("web", "base/default")


def test_a_file_is_made_and_never_overwritten(place: Path) -> None:
    assert policy_new.run(["web", "-o", "web.yaml"]) == 0
    assert (place / "web.yaml").read_text() == policy_new.scaffold("web", "")
    (place / "web.yaml").write_text("mine")
    with pytest.raises(EnforcerError, match="File exists"):
        policy_new.run(["web", "--output", "web.yaml"])
    assert (place / "web.yaml").read_text() == "mine"


def test_a_link_is_not_written_through(place: Path) -> None:
    (place / "link.yaml").symlink_to("elsewhere.yaml")
    with pytest.raises(EnforcerError):
        policy_new.run(["web", "-o", "link.yaml"])
    assert not (place / "elsewhere.yaml").exists()


@pytest.mark.parametrize("name", ["Web", "../x", "", "a b", "a\nmatch: []", "x" * 65])
def test_a_name_that_cannot_be_one_is_refused(place: Path, name: str) -> None:
    assert place
    with pytest.raises(UsageError):
        policy_new.scaffold(name, "")


@pytest.mark.parametrize("base", ["base/none", "../x", "x\nname: y"])
def test_a_base_that_is_not_there_is_refused(place: Path, base: str) -> None:
    assert place
    with pytest.raises(ProfileError):
        policy_new.scaffold("web", base)
