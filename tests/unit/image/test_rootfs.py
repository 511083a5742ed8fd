"""`rootfs:DIR`: only a directory that nobody else can change."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from enforcer.errors import ImageError
from enforcer.image.rootfs import find_rootfs

if TYPE_CHECKING:
    from pathlib import Path

UID = os.geteuid()


def test_a_directory_of_the_callers_is_found_without_links(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to("root")
    directory, digest = find_rootfs(str(tmp_path / "link"), UID)
    assert directory == str(tmp_path / "root")
    assert find_rootfs(str(tmp_path / "root"), UID) == (directory, digest)
    (tmp_path / "other").mkdir()
    assert find_rootfs(str(tmp_path / "other"), UID)[1] != digest


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file", "missing"):
        with pytest.raises(ImageError):
            find_rootfs(str(tmp_path / name), UID)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
def test_a_directory_that_everybody_can_write_to_is_refused(mode: int, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root").chmod(mode)
    with pytest.raises(ImageError, match="everybody"):
        find_rootfs(str(tmp_path / "root"), UID)


def test_a_directory_that_everybody_can_replace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "above/root").mkdir(parents=True)
    (tmp_path / "above").chmod(0o777)
    with pytest.raises(ImageError, match="everybody"):
        find_rootfs(str(tmp_path / "above/root"), UID)
    (tmp_path / "above").chmod(0o1777)
    find_rootfs(str(tmp_path / "above/root"), UID)


@pytest.mark.skipif(UID != 0, reason="only root can give a directory away")
def test_a_directory_of_someone_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    os.chown(tmp_path / "root", 4242, 4242)
    with pytest.raises(ImageError, match="someone else"):
        find_rootfs(str(tmp_path / "root"), 0)
