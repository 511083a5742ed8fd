from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from enforcer.errors import HostError
from enforcer.runtime import state

ROOT = Path(__file__).parents[3]
# Claims a place, says so, and waits to be killed.
HOLDER = """
import sys
from enforcer.runtime import state
claim = state.claim(sys.argv[1], int(sys.argv[2]), sys.argv[3])
print(claim.index, flush=True)
sys.stdin.read()
"""


@pytest.fixture(name="places")
def directory_of_places(tmp_path: Path) -> str:
    return state.directory(str(tmp_path / "containers"))


class Holder:
    """Another process that holds a place."""

    def __init__(self, places: str, name: str, count: int = 10) -> None:
        words = [sys.executable, "-c", HOLDER, places, str(count), name]
        self.process = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def index(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


def test_places_are_given_out_in_order_and_given_back(places: str) -> None:
    first, second = state.claim(places, 10, "a"), state.claim(places, 10, "b")
    assert (first.index, second.index) == (0, 1)
    first.release()
    third = state.claim(places, 10, "c")
    assert third.index == 0
    second.release()
    third.release()
    assert os.listdir(places) == ["lock"]


def test_a_name_is_anothers_while_that_one_lives(places: str) -> None:
    first = state.claim(places, 10, "web")
    with pytest.raises(HostError, match="'web' is in use"):
        state.claim(places, 10, "web")
    first.release()
    state.claim(places, 10, "web").release()


def test_there_are_no_more_places_than_ranges(places: str) -> None:
    claims = [state.claim(places, 2, name) for name in "ab"]
    with pytest.raises(HostError, match="all 2 places"):
        state.claim(places, 2, "c")
    for claim in claims:
        claim.release()


def test_the_place_of_a_killed_holder_is_free_again_with_its_name(places: str) -> None:
    holder = Holder(places, "web")
    assert holder.index() == 0
    with pytest.raises(HostError):
        state.claim(places, 10, "web")
    assert os.path.exists(f"{places}/0")
    holder.kill()
    mine = state.claim(places, 10, "web")
    assert mine.index == 0
    mine.release()


def test_two_at_once_never_have_the_same_place(places: str) -> None:
    holders = [Holder(places, f"c{number}") for number in range(6)]
    assert sorted(holder.index() for holder in holders) == list(range(6))
    for holder in holders:
        holder.kill()


def test_two_at_once_never_have_the_same_name(places: str) -> None:
    holders = [Holder(places, "one") for _ in range(4)]
    won = []
    for holder in holders:
        assert holder.process.stdout is not None
        won.append(holder.process.stdout.readline())
    assert sorted(won) == ["", "", "", "0\n"]
    for holder in holders:
        holder.kill()


def test_what_a_dead_holder_named_is_removed(places: str, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[list[str]] = []
    monkeypatch.setattr(state.cgroups, "remove_all", removed.append)
    claim = state.claim(places, 10, "web")
    claim.write([("name", "web"), ("cgroup", "/a/enforcer-1"), ("cgroup", "/b/enforcer-1")])
    os.close(claim.descriptor)  # as the kernel does when its process ends
    state.claim(places, 10, "other").release()
    assert removed == [["/a/enforcer-1", "/b/enforcer-1"]]


def test_a_record_that_was_never_written_hinders_nobody(places: str) -> None:
    """Killed between creating the file and writing it."""
    Path(f"{places}/0").touch(0o600)
    claim = state.claim(places, 10, "web")
    assert claim.index == 0
    claim.release()


def test_a_shorter_record_replaces_a_longer_one(places: str) -> None:
    claim = state.claim(places, 10, "a-long-name-indeed")
    claim.write([("name", "b")])
    with pytest.raises(HostError, match="'b' is in use"):
        state.claim(places, 10, "b")
    state.claim(places, 10, "a-long-name-indeed").release()
    claim.release()


def test_a_directory_is_the_callers_alone(tmp_path: Path) -> None:
    made = state.directory(str(tmp_path / "a/b"))
    assert os.stat(made).st_mode & 0o777 == 0o700
    os.chmod(made, 0o750)
    with pytest.raises(HostError, match="entered by others"):
        state.directory(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_directory_that_someone_else_made_is_refused(tmp_path: Path) -> None:
    """CVE-2021-41103: a directory prepared by another user in /tmp."""
    path = tmp_path / "planted"
    path.mkdir(mode=0o700)
    os.chown(path, 1, 1)
    with pytest.raises(HostError, match="entered by others"):
        state.directory(str(path))


def test_a_link_or_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(HostError):
            state.directory(str(tmp_path / name))


def test_state_is_kept_where_only_its_owner_can_look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert state.root(0) == "/run/enforcer"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert state.root(1000) == f"{tmp_path}/enforcer"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    assert state.root(1000) == "/tmp/enforcer-1000"
