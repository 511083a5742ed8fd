"""From a reference to an image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from enforcer.errors import HostError, ImageError
from enforcer.image.find import find
from enforcer.oci.image import ImageConfig
from enforcer.oci.reference import parse_reference

if TYPE_CHECKING:
    from pathlib import Path

    from enforcer.image.find import Image

UID = os.geteuid()


def get(text: str, tmp_path: Path) -> Image:
    return find(parse_reference(text), store=str(tmp_path / "store"), machine="x86_64", uid=UID)


def test_host_is_this_machine(tmp_path: Path) -> None:
    found = get("host", tmp_path)
    assert (found.reference, found.repository, found.tag) == ("host", "host", "")
    assert found.binds[0] == ("/usr", "/usr")
    assert len(found.layers) == 1
    assert found.layers[0].startswith(str(tmp_path / "store"))
    assert found.config.cmd == ("/bin/sh",)
    assert get("host", tmp_path) == found


def test_rootfs_is_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root").mkdir()
    found = get(f"rootfs:{tmp_path / 'root'}", tmp_path)
    assert found.layers == (str(tmp_path / "root"),)
    assert found.config == ImageConfig()
    assert found.reference == f"rootfs:{tmp_path / 'root'}"
    monkeypatch.chdir(tmp_path)
    assert get("rootfs:root", tmp_path) == found
    assert get("rootfs:./x/../root", tmp_path) == found


def test_a_registry_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="pulling is not available yet") as refused:
        get("nginx", tmp_path)
    assert "oci:, oci-archive:, docker-archive:, rootfs: or host" in refused.value.hint
    assert "docker.io/library/nginx:latest" in refused.value.render()


def test_a_store_that_others_can_reach_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o755)
    (tmp_path / "store").chmod(0o755)
    with pytest.raises(HostError):
        get("host", tmp_path)


@pytest.mark.parametrize("text", ["rootfs:/nowhere", "oci:/nowhere", "oci-archive:/nowhere", "docker-archive:/nowhere"])
def test_what_is_missing_is_said(text: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="/nowhere"):
        get(text, tmp_path)
