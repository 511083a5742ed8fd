"""The accounts of an image, through its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enforcer.errors import ImageError
from enforcer.image.accounts import image_home, image_user
from enforcer.oci.user import ACCOUNTS_LIMIT

if TYPE_CHECKING:
    from pathlib import Path


def layer(path: Path, **files: str) -> str:
    (path / "etc").mkdir(parents=True)
    for name, content in files.items():
        (path / "etc" / name).write_text(content)
    return str(path)


def test_accounts_come_from_the_top_most_layer_that_has_them(tmp_path: Path) -> None:
    low = layer(tmp_path / "low", passwd="web:x:7:8::/:\n", group="logs:x:50:web\n")
    top = layer(tmp_path / "top", passwd="web:x:9:8::/:\n")
    assert image_user((low,), "web") == (7, 8, (50,))
    assert image_user((top, low), "web") == (9, 8, (50,))
    assert image_home((low,), 7) == "/"


def test_an_image_without_accounts_has_numbers_only(tmp_path: Path) -> None:
    assert image_user((layer(tmp_path / "a"),), "10001:10001") == (10001, 10001, ())
    with pytest.raises(ImageError, match="no user"):
        image_user((str(tmp_path / "a"),), "web")


def test_cve_2026_47262_large_accounts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="larger"):
        image_user((layer(tmp_path / "a", group="#" * (ACCOUNTS_LIMIT + 1)),), "0")


def test_accounts_behind_a_link_are_not_read_and_two_numbers_need_none(tmp_path: Path) -> None:
    linked = layer(tmp_path / "a")
    (tmp_path / "a/etc/passwd").symlink_to("/etc/passwd")
    assert image_user((linked,), "7:8") == (7, 8, ())
    assert image_home((linked,), 0) == "/"
    for spec in ("", "0", "root", "7"):
        with pytest.raises(ImageError, match="symbolic link"):
            image_user((linked,), spec)
