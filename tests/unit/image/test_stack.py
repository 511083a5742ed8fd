"""What overlayfs would show at a name."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from enforcer.errors import ImageError
from enforcer.image.stack import open_path, read_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Top, middle, low."""
    made = tuple(tmp_path / name for name in ("top", "middle", "low"))
    for layer in made:
        (layer / "etc").mkdir(parents=True)
    (made[2] / "etc/passwd").write_text("low")
    return made  # type: ignore[return-value]


def read(layers: tuple[Path, ...], name: str = "etc/passwd") -> bytes:
    return read_file(tuple(str(layer) for layer in layers), name, 100)


def test_the_top_most_file_is_read(layers: tuple[Path, Path, Path]) -> None:
    assert read(layers) == b"low"
    (layers[0] / "etc/passwd").write_text("top")
    assert read(layers) == b"top"
    assert read(layers, "etc/missing") == b""


def test_whiteouts_hide_what_is_below(layers: tuple[Path, Path, Path]) -> None:
    (layers[1] / "etc/passwd").write_text("")
    os.setxattr(layers[1] / "etc/passwd", "user.overlay.whiteout", b"y")
    assert read(layers) == b""
    (layers[1] / "etc/passwd").unlink()
    os.mknod(layers[1] / "etc/passwd", stat.S_IFCHR, 0)
    assert read(layers) == b""
    (layers[0] / "etc/passwd").write_text("top")
    assert read(layers) == b"top"


def test_opaque_and_replaced_directories_hide_what_is_below(layers: tuple[Path, Path, Path]) -> None:
    os.setxattr(layers[1] / "etc", "user.overlay.opaque", b"y")
    assert read(layers) == b""
    os.setxattr(layers[1] / "etc", "user.overlay.opaque", b"x")
    assert read(layers) == b"low"
    (layers[1] / "etc").rmdir()
    (layers[1] / "etc").write_text("a file")
    assert read(layers) == b""


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../../etc/passwd", "/proc/self/environ", "passwd2"])
def test_cve_2019_18837_a_symbolic_link_is_never_followed(target: str, layers: tuple[Path, Path, Path]) -> None:
    (layers[0] / "etc/passwd").symlink_to(target)
    with pytest.raises(ImageError, match="symbolic link"):
        read(layers)
    (layers[0] / "etc/passwd").unlink()
    (layers[0] / "etc").rmdir()
    (layers[0] / "etc").symlink_to("/etc")
    with pytest.raises(ImageError, match="symbolic link"):
        read(layers)


def test_cve_2026_47262_a_large_or_special_file_is_refused(layers: tuple[Path, Path, Path]) -> None:
    with open(layers[0] / "etc/passwd", "wb") as output:
        output.truncate(1 << 30)
    with pytest.raises(ImageError, match="larger than"):
        read(layers)
    (layers[0] / "etc/passwd").unlink()
    os.mkfifo(layers[0] / "etc/passwd")
    with pytest.raises(ImageError, match="not a regular file"):
        read(layers)


def test_directories_are_found(layers: tuple[Path, Path, Path]) -> None:
    descriptor = open_path(tuple(map(str, layers)), "etc")
    assert descriptor is not None
    assert os.path.samestat(os.fstat(descriptor), os.stat(layers[0] / "etc"))
    os.close(descriptor)
    assert open_path((), "etc") is None


def test_no_descriptor_is_left_open(layers: tuple[Path, Path, Path]) -> None:
    (layers[0] / "etc/link").symlink_to("x")
    before = os.listdir("/proc/self/fd")
    read(layers)
    with pytest.raises(ImageError):
        read(layers, "etc/link")
    assert os.listdir("/proc/self/fd") == before
