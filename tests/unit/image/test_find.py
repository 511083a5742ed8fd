"""From a reference to an image."""

from __future__ import annotations

import os
import stat
import traceback
from typing import TYPE_CHECKING

import pytest

from enforcer.errors import HostError, ImageError
from enforcer.image.find import find
from enforcer.oci.image import ImageConfig
from enforcer.oci.reference import parse_reference
from tests.images import DIR, header, image, member, tar, write

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
    assert found.layers[0] in found.inputs
    assert get("host", tmp_path) == found


def test_rootfs_is_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root").mkdir()
    found = get(f"rootfs:{tmp_path / 'root'}", tmp_path)
    assert found.layers == (str(tmp_path / "root"),)
    assert found.config == ImageConfig()
    assert found.reference == f"rootfs:{tmp_path / 'root'}"
    assert [os.path.relpath(path, tmp_path / "root") for path in found.inputs] == [".", "etc", "etc/passwd", "etc/group"]
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


@pytest.mark.skipif(UID != 0, reason="only root can become somebody else")
def test_an_ordinary_user_has_a_store_of_their_own(tmp_path: Path) -> None:
    """Without CAP_CHOWN and CAP_MKNOD the files are the caller's, and the image is ready all the same."""
    base = tar(header("etc", DIR, mode=0o700, uid=b"0000012\0"), member("etc/passwd", b"web:x:7:8::/:\n", mode=0))
    place = write(image(base, tar(member(".wh.gone"), header("etc", DIR, mode=0o700))), tmp_path / "layout")
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", 65534, 65534)
    for above in (tmp_path, *tmp_path.parents):
        if not above.stat().st_mode & stat.S_IXOTH:  # pytest's own directories
            above.chmod(stat.S_IMODE(above.stat().st_mode) | stat.S_IXOTH)
    get(f"oci:{place}", tmp_path)  # loads what the child may not be able to read: root's own Python
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            for text in (f"oci:{place}", "host"):
                find(parse_reference(text), store=str(tmp_path / "home/store"), machine="x86_64", uid=65534)
            code = 0
        except BaseException:  # noqa: BLE001  a child must not return into pytest
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    owners = {found.stat().st_uid for found in (tmp_path / "home/store").rglob("*") if not found.is_symlink()}
    assert owners == {65534}
