from __future__ import annotations

import os
from pathlib import Path

import pytest

from enforcer.errors import ProfileError
from enforcer.policy.profile import Clause
from enforcer.runtime import plancache, profiles
from enforcer.runtime.profiles import Library

HERE = Clause("extends", "x.yaml:1:1")


def write(path: Path, name: str, more: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"profile: enforcer/v1\nname: {name}\n{more}")
    return path


@pytest.fixture(name="places")
def two_places(tmp_path: Path) -> list[Path]:
    """The user's own place, which counts first, and the system's."""
    own, system = tmp_path / "own", tmp_path / "system"
    write(own / "web.yaml", "own-web", "match: [{image: nginx}]\n")
    write(system / "web.yaml", "system-web")
    write(system / "base/python.yaml", "python")
    write(system / "default.yaml", "default")
    return [own, system]


@pytest.fixture(name="library")
def library_of_both(places: list[Path]) -> Library:
    return Library([str(place) for place in places])


def test_a_base_is_found_in_the_first_place_that_has_it(library: Library) -> None:
    assert library.base("web", HERE).name == "own-web"
    assert library.base("base/python", HERE).name == "python"


def test_a_base_knows_its_own_directory(library: Library, places: list[Path]) -> None:
    assert library.base("base/python", HERE).directory == str(places[1] / "base")


@pytest.mark.parametrize("name", ["../system/web", "/etc/passwd", "a/../../b", "", ".", "A", "web\0"])
def test_a_name_cannot_lead_out_of_its_place(library: Library, name: str) -> None:
    with pytest.raises(ProfileError) as caught:
        library.base(name, HERE)
    assert caught.value.where == "x.yaml:1:1"


def test_nor_can_a_link_in_a_place(library: Library, places: list[Path], tmp_path: Path) -> None:
    outside = write(tmp_path / "outside/secret.yaml", "secret")
    (places[0] / "linked.yaml").symlink_to(outside)
    (places[0] / "dir").symlink_to(outside.parent)
    for name in ("linked", "dir/secret"):
        with pytest.raises(ProfileError, match="cannot be opened"):
            library.base(name, HERE)


def test_a_base_that_is_not_there_says_where_it_was_looked_for(library: Library, places: list[Path]) -> None:
    with pytest.raises(ProfileError) as caught:
        library.base("none", HERE)
    assert all(str(place) in caught.value.why for place in places)


def test_installed_profiles_are_those_with_a_match(library: Library) -> None:
    assert [profile.name for profile in library.installed()] == ["own-web"]


def test_every_profile_is_listed_once_by_the_place_that_counts(library: Library, places: list[Path]) -> None:
    found = library.names()
    assert list(found) == ["base/python", "default", "web"]
    assert found["web"] == str(places[0] / "web.yaml")


def test_a_word_names_a_profile_or_a_path(library: Library, tmp_path: Path, places: list[Path]) -> None:
    write(tmp_path / "web", "file")  # what a name could mean is never a file
    write(tmp_path / "mine.yaml", "mine")
    assert library.named("web", str(tmp_path)).name == "own-web"
    assert library.named("./web", str(tmp_path)).name == "file"
    assert library.named("mine.yaml", str(tmp_path)).name == "mine"
    assert library.named(str(places[1] / "web.yaml"), "/").name == "system-web"


def test_a_file_that_could_be_a_name_is_hinted_at(library: Library, tmp_path: Path) -> None:
    write(tmp_path / "other", "other")
    with pytest.raises(ProfileError) as caught:
        library.named("other", str(tmp_path))
    assert caught.value.hint == "to name the file, write ./other"


@pytest.mark.parametrize("kind", ["none", "directory", "fifo", "binary", "unreadable"])
def test_what_is_no_profile_is_an_error(library: Library, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.yaml"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe")
    elif kind == "unreadable":
        path = Path("/proc/self/mem")
    with pytest.raises(ProfileError):
        library.profile(str(path))


def test_a_profile_is_read_up_to_its_limit(library: Library, tmp_path: Path) -> None:
    path = write(tmp_path / "big.yaml", "big", "#" * (1 << 20))
    with pytest.raises(ProfileError):
        library.profile(str(path))


def test_the_default_is_the_first_places(library: Library, places: list[Path]) -> None:
    assert library.default().name == "default"
    write(places[0] / "default.yaml", "own-default")
    assert library.default().name == "own-default"
    with pytest.raises(ProfileError, match="no default"):
        Library([str(places[0] / "none")]).default()


@pytest.fixture(name="ceiling")
def own_ceiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(profiles, "CEILING", str(tmp_path / "ceiling.yaml"))
    return tmp_path / "ceiling.yaml"


def test_no_ceiling_is_no_bound(library: Library, ceiling: Path) -> None:
    assert library.ceiling() is None
    assert plancache.stat_of(str(ceiling)) in library.dependencies


@pytest.mark.skipif(os.geteuid() != 0, reason="a ceiling is root's")
@pytest.mark.parametrize(("mode", "owner", "fine"), [(0o644, 0, True), (0o664, 0, False), (0o646, 0, False), (0o644, 1, False)])
def test_a_ceiling_is_roots_alone(library: Library, ceiling: Path, mode: int, owner: int, fine: bool) -> None:  # noqa: FBT001
    write(ceiling, "site").chmod(mode)
    os.chown(ceiling, owner, 0)
    if fine:
        found = library.ceiling()
        assert found is not None
        assert found.name == "site"
    else:
        with pytest.raises(ProfileError, match="written by others"):
            library.ceiling()


@pytest.mark.skipif(os.geteuid() != 0, reason="a ceiling is root's")
def test_a_ceiling_that_is_broken_stops_everything(library: Library, ceiling: Path) -> None:
    ceiling.write_text("profile: enforcer/v1\nsycalls: {}\n")
    with pytest.raises(ProfileError, match="unknown key"):
        library.ceiling()


def test_everything_read_or_looked_for_is_a_dependency(library: Library, places: list[Path]) -> None:
    library.base("base/python", HERE)
    kinds = {line.split(" ", 2)[2]: line.split(" ", 2)[0] for line in library.dependencies}
    assert kinds[str(places[0] / "base/python.yaml")] == "stat"  # it was not there, and could come
    assert kinds[str(places[1] / "base/python.yaml")] == "content"


@pytest.mark.parametrize(("uid", "own"), [(0, False), (1000, True)])
def test_root_has_no_profiles_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uid: int, own: bool) -> None:  # noqa: FBT001
    """What root runs is decided by what only root can write, wherever HOME points to."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert (f"{tmp_path}/enforcer/policies" in profiles.directories()) == own
