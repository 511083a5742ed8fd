"""The store: private, cleared after a crash, changed only by renaming."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING

import pytest

from enforcer.errors import HostError, ImageError
from enforcer.image import store

if TYPE_CHECKING:
    from pathlib import Path

UID = os.geteuid()


def test_it_is_made_private(tmp_path: Path) -> None:
    path = store.open_store(str(tmp_path / "a/b/store"), UID)
    for directory in (
        path,
        f"{path}/tmp",
        f"{path}/blobs",
        f"{path}/blobs/sha256",
        f"{path}/layers/sha256",
        f"{path}/host/sha256",
    ):
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    assert store.open_store(path, UID) == path


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o770, 0o1700, 0o500])
@pytest.mark.parametrize("room", [".", "layers", "layers/sha256", "tmp"])
def test_cve_2021_41103_a_store_that_others_can_reach_is_refused(mode: int, room: str, tmp_path: Path) -> None:
    path = store.open_store(str(tmp_path / "store"), UID)
    os.chmod(os.path.join(path, room), mode)
    with pytest.raises(HostError, match="mode"):
        store.open_store(path, UID)


def test_a_store_of_someone_else_is_refused(tmp_path: Path) -> None:
    path = store.open_store(str(tmp_path / "store"), UID)
    with pytest.raises(HostError, match="someone else"):
        store.open_store(path, UID + 1)


def test_a_room_that_is_a_link_or_a_file_is_refused(tmp_path: Path) -> None:
    path = store.open_store(str(tmp_path / "store"), UID)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    os.rmdir(f"{path}/tmp")
    os.symlink(elsewhere, f"{path}/tmp")
    with pytest.raises(HostError, match="not a directory"):
        store.open_store(path, UID)
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError):
        store.open_store(str(tmp_path / "file"), UID)
    with pytest.raises(HostError):
        store.open_store(str(tmp_path / "file/store"), UID)


def test_the_next_holder_clears_what_a_crash_left_and_follows_nothing(tmp_path: Path) -> None:
    path = store.open_store(str(tmp_path / "store"), UID)
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    os.makedirs(f"{path}/tmp/layer/d/e")
    os.symlink(kept, f"{path}/tmp/layer/d/link")
    os.symlink(kept, f"{path}/tmp/link")
    os.chmod(f"{path}/tmp/layer/d", 0)
    with store.locked(path):
        assert os.listdir(f"{path}/tmp") == []
    assert (kept / "file").read_text() == "kept"


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = store.open_store(str(tmp_path / "store"), UID)
    with store.locked(path):
        other = os.open(f"{path}/lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_a_holder_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    path = store.open_store(str(tmp_path / "store"), UID)
    child = os.fork()
    if child == 0:
        with store.locked(path), store.unfinished(path, "layer") as place:
            os.mkdir(place)
            os.mkdir(f"{place}/half")
            time.sleep(60)
        os._exit(0)
    while not os.path.exists(f"{path}/tmp/layer/half"):
        time.sleep(0.01)
    store.open_store(path, UID)
    assert os.listdir(f"{path}/tmp") == ["layer"], "the work of a living holder is left alone"
    os.kill(child, 9)
    os.waitpid(child, 0)
    store.open_store(path, UID)
    assert os.listdir(f"{path}/tmp") == []


def test_unfinished_work_is_removed_and_finished_work_is_not(tmp_path: Path) -> None:
    path = store.open_store(str(tmp_path / "store"), UID)
    with store.unfinished(path, "a") as place:
        os.makedirs(f"{place}/b")
    assert os.listdir(f"{path}/tmp") == []
    final = store.layer_path(path, "sha256:" + "a" * 64)
    with store.unfinished(path, "a") as place:
        os.makedirs(f"{place}/b")
        store.publish(place, final)
    assert os.listdir(final) == ["b"]


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:" + "a" * 63, "sha256:../" + "a" * 61, "md5:" + "a" * 64, "a" * 64])
def test_only_a_digest_becomes_a_path(digest: str) -> None:
    for path in (store.blob_path, store.layer_path, store.host_path):
        with pytest.raises(ImageError):
            path("/store", digest)
