"""The image `host`: what programs need of this machine, and nothing of its users."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

import pytest

from enforcer.errors import ImageError
from enforcer.image import host, store

if TYPE_CHECKING:
    from pathlib import Path

KEY = "-----BEGIN PRIVATE KEY-----\nMIIE\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with secrets in every place where one might be picked up."""
    root = tmp_path / "machine"
    for name in (
        "usr/bin",
        "usr/lib",
        "etc/ssl/certs",
        "etc/ssl/private",
        "etc/python3",
        "etc/alternatives",
        "etc/ld.so.conf.d",
        "root/.ssh",
    ):
        (root / name).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "lib").symlink_to("usr/lib")
    (root / "etc/alternatives/vi").symlink_to("/usr/bin/vim")
    (root / "etc/localtime").symlink_to("/usr/share/zoneinfo/Etc/UTC")
    secrets = (
        "etc/shadow",
        "etc/gshadow",
        "etc/machine-id",
        "etc/npmrc",
        "etc/pip.conf",
        "etc/gitconfig",
        "etc/hostname",
        "etc/resolv.conf",
    )
    for name in (*secrets, "etc/ssl/private/key.pem", "root/.ssh/id", "etc/passwd", "etc/group", "etc/hosts"):
        (root / name).write_text("SECRET")
    (root / "etc/ssl/certs/with-key.pem").write_text(KEY)
    (root / "etc/ssl/certs/closed.pem").write_text("SECRET")
    (root / "etc/ssl/certs/closed.pem").chmod(0o640)
    (root / "etc/ssl/certs/ca.pem").write_text("certificate")
    (root / "etc/ssl/certs/large.pem").write_bytes(bytes(host.FILE_LIMIT + 1))
    os.mkfifo(root / "etc/ssl/certs/pipe")
    (root / "etc/ld.so.cache").write_text("cache")
    (root / "etc/ld.so.conf.d/a.conf").write_text("/usr/lib/a")
    (root / "etc/python3/debian_config").write_text("x")
    return root


@pytest.fixture
def place(tmp_path: Path) -> str:
    return store.open_store(str(tmp_path / "store"), os.geteuid())


def test_the_skeleton_has_what_programs_need(machine: Path, place: str) -> None:
    skeleton = host.find_skeleton(place, str(machine))
    at = skeleton.directory
    assert os.readlink(f"{at}/bin") == "usr/bin"
    for name in ("proc", "dev", "sys", "tmp", "run", "var", "etc", "home", "root", "srv", "opt", "mnt", "usr", "var/tmp"):
        assert os.path.isdir(f"{at}/{name}")
    assert stat.S_IMODE(os.stat(f"{at}/root").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(f"{at}/tmp").st_mode) == 0o1777
    assert os.listdir(f"{at}/usr") == []
    assert os.readlink(f"{at}/etc/alternatives/vi") == "/usr/bin/vim"
    assert os.readlink(f"{at}/etc/localtime") == "/usr/share/zoneinfo/Etc/UTC"
    for name in ("ld.so.cache", "ld.so.conf.d/a.conf", "python3/debian_config", "ssl/certs/ca.pem"):
        assert os.path.isfile(f"{at}/etc/{name}")
    with open(f"{at}/etc/passwd") as passwd:
        assert [line.split(":")[2] for line in passwd] == ["0", "65534", "65532"]
    assert skeleton.binds == ((str(machine / "usr"), "/usr"),)


def test_the_skeleton_has_no_secret(machine: Path, place: str) -> None:
    at = host.find_skeleton(place, str(machine)).directory
    found = []
    for directory, _, files in os.walk(at):
        for name in files:
            path = os.path.join(directory, name)
            assert stat.S_IMODE(os.lstat(path).st_mode) & 0o7000 == 0
            if not os.path.islink(path):
                with open(path, "rb") as content:
                    found.append((os.path.relpath(path, at), content.read()))
    assert not [name for name, content in found if b"SECRET" in content or b"PRIVATE KEY" in content]
    names = {name for name, _ in found}
    assert not names & {
        "etc/shadow",
        "etc/gshadow",
        "etc/hostname",
        "etc/resolv.conf",
        "etc/machine-id",
        "etc/npmrc",
        "etc/pip.conf",
    }
    assert not os.path.exists(f"{at}/etc/ssl/private")
    assert "etc/ssl/certs/large.pem" not in names
    assert os.listdir(f"{at}/root") == []


def test_the_digest_changes_with_the_content_and_only_with_it(machine: Path, place: str) -> None:
    first = host.find_skeleton(place, str(machine))
    (machine / "etc/shadow").write_text("other")
    (machine / "usr/bin/new").write_text("program")
    assert host.find_skeleton(place, str(machine)) == first
    (machine / "etc/ld.so.cache").write_text("other cache")
    second = host.find_skeleton(place, str(machine))
    assert second.digest != first.digest
    assert os.path.isdir(first.directory)
    assert re.fullmatch("sha256:[0-9a-f]{64}", second.digest)


def test_inputs_are_what_was_read(machine: Path, place: str) -> None:
    inputs = host.find_skeleton(place, str(machine)).inputs
    assert {str(machine / "etc/ld.so.cache"), str(machine / "etc"), str(machine / "etc/ssl/certs"), str(machine)} <= set(inputs)
    assert str(machine / "etc/shadow") not in inputs
    assert all(os.path.exists(path) for path in inputs)


def test_a_machine_whose_usr_is_not_merged_gets_its_directories_bound(machine: Path, place: str) -> None:
    (machine / "bin").unlink()
    (machine / "bin").mkdir()
    skeleton = host.find_skeleton(place, str(machine))
    assert (str(machine / "bin"), "/bin") in skeleton.binds
    assert os.path.isdir(f"{skeleton.directory}/bin")
    assert not os.path.islink(f"{skeleton.directory}/bin")


def test_a_machine_without_usr_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(ImageError, match="no /usr"):
        host.find_skeleton(place, str(tmp_path / "nothing"))


def test_this_machine_gives_a_skeleton_without_keys(place: str) -> None:
    skeleton = host.find_skeleton(place)
    assert host.find_skeleton(place) == skeleton
    for directory, _, files in os.walk(skeleton.directory):
        for name in files:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                with open(path, "rb") as content:
                    assert b"PRIVATE KEY-----" not in content.read()
