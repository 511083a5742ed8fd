from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import HostError
from enforcer.plan.encoder import encode
from enforcer.runtime import plancache
from enforcer.runtime.record import Record
from tests.plans import plan

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = encode(plan().steps, "x86_64")
FIELDS = [("profile", "x"), ("uid", "65532")]


def entry(*dependencies: str) -> plancache.Entry:
    return plancache.Entry(list(dependencies) or [plancache.stat_of("/")], Record(FIELDS), PROGRAM)


CONTENT = entry("stat x /").encode()


def kept(directory: Path, *dependencies: str) -> Path:
    plancache.save(str(directory), "name", entry(*dependencies).encode())
    return directory / "name"


def load(directory: Path) -> plancache.Entry | None:
    return plancache.load(str(directory), "name")


def test_an_entry_survives_encoding() -> None:
    found = plancache.decode(CONTENT)
    assert found.dependencies == ["stat x /"]
    assert found.record.one("uid") == "65532"
    assert found.program == PROGRAM


@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_a_flipped_bit_is_never_used(place: int, bits: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[place] ^= bits
    with pytest.raises(ValueError, match="not a plan"):
        plancache.decode(bytes(damaged))


@given(st.integers(0, len(CONTENT) - 1))
def test_nor_is_one_that_was_cut_short(length: int) -> None:
    with pytest.raises(ValueError, match="not a plan"):
        plancache.decode(CONTENT[:length])


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    path = kept(tmp_path)
    found = load(tmp_path)
    assert found is not None
    assert found.program == PROGRAM
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["name"]


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: content + b"x", lambda _: b"", lambda _: b"\0" * 99]
)
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: object) -> None:
    path = kept(tmp_path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert load(tmp_path) is None


def test_a_whole_entry_of_a_broken_program_is_not_used(tmp_path: Path) -> None:
    broken = plancache.Entry([plancache.stat_of("/")], Record(FIELDS), PROGRAM[:-1])
    plancache.save(str(tmp_path), "name", broken.encode())
    assert load(tmp_path) is None


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert load(tmp_path) is None


@pytest.mark.parametrize("mode", [0o620, 0o604, 0o666])
def test_an_entry_that_others_can_change_is_an_error(tmp_path: Path, mode: int) -> None:
    kept(tmp_path).chmod(mode)
    with pytest.raises(HostError, match="changed by others"):
        load(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_so_is_one_of_another_owner(tmp_path: Path) -> None:
    os.chown(kept(tmp_path), 1, 1)
    with pytest.raises(HostError, match="changed by others"):
        load(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    kept(tmp_path).rename(tmp_path / "other")
    (tmp_path / "name").symlink_to("other")
    assert load(tmp_path) is None


# --- dependencies


def test_a_profile_that_changed_makes_the_plan_again(tmp_path: Path) -> None:
    profile = tmp_path / "x.yaml"
    profile.write_text("a")
    for changed, text in ((False, "a"), (True, "b"), (False, "a")):
        kept(tmp_path, plancache.content_dependency(str(profile), b"a"))
        profile.write_text(text)
        assert (load(tmp_path) is None) == changed
    profile.unlink()
    assert load(tmp_path) is None


def test_a_profile_that_appears_makes_it_again(tmp_path: Path) -> None:
    kept(tmp_path, plancache.stat_of(str(tmp_path / "ceiling.yaml")))
    assert load(tmp_path) is not None
    (tmp_path / "ceiling.yaml").write_text("")
    assert load(tmp_path) is None


def test_what_stat_sees_is_more_than_content(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.mkdir()
    kept(tmp_path, plancache.stat_of(str(image)))
    image.chmod(0o700)
    assert load(tmp_path) is None


def test_where_a_path_leads_counts(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to("one")
    kept(tmp_path, plancache.real_of(str(link)))
    assert load(tmp_path) is not None
    link.unlink()
    link.symlink_to("two")
    assert load(tmp_path) is None


def test_a_path_with_blanks_is_one_dependency(tmp_path: Path) -> None:
    profile = tmp_path / "my profile.yaml"
    profile.write_text("a")
    kept(tmp_path, plancache.content_dependency(str(profile), b"a"))
    assert load(tmp_path) is not None
    profile.write_text("b")
    assert load(tmp_path) is None


def test_keys_differ_by_every_word_and_its_place() -> None:
    words = [["a", "b"], ["b", "a"], ["a"], ["a", ""], ["ab"], []]
    assert len({plancache.key(each) for each in words}) == len(words)


def test_what_the_caller_is_counts() -> None:
    assert plancache.caller() == plancache.caller()
    assert str(os.geteuid()) in plancache.caller()


def test_old_entries_go(tmp_path: Path) -> None:
    for number in range(520):
        path = tmp_path / f"old{number}"
        path.write_bytes(b"")
        os.utime(path, (number, number))
    kept(tmp_path)
    assert (tmp_path / "name").exists()
    assert not (tmp_path / "old0").exists()
    assert len(os.listdir(tmp_path)) <= 513


def test_a_directory_that_is_gone_only_means_another_plan(tmp_path: Path) -> None:
    directory = tmp_path / "gone"
    directory.mkdir()
    shutil.rmtree(directory)
    plancache.save(str(directory), "name", CONTENT)
    assert load(directory) is None
