"""An image chooses its symbolic links and its working directory: neither makes anything in a directory of the host."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kernel.running import Site


@pytest.fixture
def granted(tmp_path: Path) -> Path:
    """A directory of the host that the payload may not write to, as its mode has it, although its mount can be written."""
    path = tmp_path / "granted"
    path.mkdir()
    return path


def mounts(granted: Path, *more: str) -> str:
    """A profile with that directory at /data, and more."""
    words = ", ".join([f"{{bind: {granted}, at: /data, access: write}}", *more])
    return f"filesystem: {{mounts: [{words}]}}\n"


@pytest.mark.parametrize(
    "mount", ['{secret: token, from: "env:TOKEN", at: /run/secrets/token}', "{tmpfs: true, at: /run/deep/down, size: 1MiB}"]
)
def test_a_link_of_the_image_leads_no_mount_point_into_a_bind(site: Site, tmp_path: Path, granted: Path, mount: str) -> None:
    image = tmp_path / "image"
    shutil.copytree(site.image, image, symlinks=True)
    (image / "data").mkdir()
    (image / "run").symlink_to("/data")
    done = site.run(mounts(granted, mount), "/bin/true", image=image, env={"TOKEN": "x"})
    assert done.returncode == 125
    assert "EXDEV" in done.stderr
    assert os.listdir(granted) == []


def test_a_link_of_the_image_leads_nothing_below_a_tmpfs_into_a_bind(site: Site, tmp_path: Path, granted: Path) -> None:
    """The bind covers what /a leads to only after the tmpfs is there."""
    image = tmp_path / "image"
    shutil.copytree(site.image, image, symlinks=True)
    (image / "data").mkdir()
    (image / "a").symlink_to("/data")
    more = "{tmpfs: true, at: /a, size: 1MiB}", '{secret: token, from: "env:TOKEN", at: /a/deep/token}'
    assert site.run(mounts(granted, *more), "/bin/true", image=image, env={"TOKEN": "x"}).returncode == 125
    assert os.listdir(granted) == []


@pytest.mark.parametrize("cwd", ["/data/made", "/data/made/deep"])
def test_no_working_directory_is_made_in_a_bind(site: Site, granted: Path, cwd: str) -> None:
    done = site.run(f"run: {{cwd: {cwd}}}\n" + mounts(granted), "/bin/true")
    assert done.returncode == 125
    assert "the working directory does not exist" in done.stderr
    assert os.listdir(granted) == []


def test_mount_points_below_a_tmpfs_and_dev_are_made(site: Site, granted: Path) -> None:
    more = (
        "{tmpfs: true, at: /run, size: 1MiB}",
        '{secret: token, from: "env:TOKEN", at: /run/deep/token, mode: "0444"}',
        "{tmpfs: true, at: /dev/shm, size: 1MiB}",
    )
    text = "run: {cwd: /run/work/here}\n" + mounts(granted, *more)
    done = site.run(text, "/bin/sh", "-c", "cat /run/deep/token; pwd; ls -d /dev/shm", env={"TOKEN": "x"})
    assert done.stdout == "x/run/work/here\n/dev/shm\n", done.stderr
