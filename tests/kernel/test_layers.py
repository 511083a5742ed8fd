"""Layers on the real file system: hostile ones change nothing outside, honest ones become what umoci makes of them."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enforcer.errors import ImageError
from enforcer.image.accounts import image_user
from enforcer.image.find import find
from enforcer.image.stream import LIMITS, Stream
from enforcer.image.tree import Tree
from enforcer.image.unpack import DEPTH_LIMIT, ID_LIMIT, NAME_LIMIT, PART_LIMIT, Record, extract
from enforcer.oci.reference import parse_reference
from tests.images import BLOCK, CHAR, DIR, FIFO, HARD, SYM, compress, fingerprint, header, member, pax, python_tar, tar

if TYPE_CHECKING:
    from enforcer.oci.image import Codec

ROOT = os.geteuid() == 0
root = pytest.mark.skipif(not ROOT, reason="only root can give files to others")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A piece of a host around the place where layers are unpacked: what an attacker aims at."""
    outside = tmp_path / "host"
    for name in ("etc", "layers"):
        (outside / name).mkdir(parents=True)
    (outside / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    (outside / "canary").write_text("untouched")
    (outside / "canary").chmod(0o640)
    (outside / "link").symlink_to("canary")
    return outside


def unpack(content: bytes, place: Path, codec: Codec = "", *, owners: bool = ROOT, **limits: int) -> Record:
    place.mkdir(exist_ok=True)
    bounds = dataclasses.replace(LIMITS, **limits)
    stream = Stream(io.BytesIO(content), codec, where="layer", limits=bounds)
    return extract(stream, str(place), owners=owners, limits=bounds)


def links(*names: str, target: str) -> bytes:
    return b"".join(member(name, kind=SYM, link=target) for name in names)


UP = "../" * 12
DEEP = "d" * 200


def hostile(host: Path) -> dict[str, bytes]:
    """Layers that must be refused, by CVE or trick."""
    canary = str(host / "canary")
    cases = {
        "cve_2007_4559_parent": tar(member("../canary", b"x")),
        "cve_2007_4559_parent_inside": tar(member("a/../../canary", b"x")),
        "cve_2007_4559_parent_last": tar(header("a/..", DIR)),
        "cve_2007_4559_absolute": tar(member(canary.encode(), b"x")),
        "cve_2007_4559_pax_path": tar(pax({"path": "../canary"}) + member("x", b"x")),
        "cve_2007_4559_long_name": tar(member("L", b"../canary\0", b"L") + member("x", b"x")),
        "cve_2007_4559_prefix": tar(member("canary", b"x", prefix=b"../..")),
        "cve_2007_4559_sparse_name": tar(
            pax({"GNU.sparse.name": "../canary", "GNU.sparse.map": "0,1", "GNU.sparse.size": "1"}) + member("x", b"x")
        ),
        "cve_2021_29136_root_is_a_symlink": tar(member(".", kind=SYM, link=str(host))),
        "cve_2021_29136_root_with_slash_is_a_symlink": tar(header("./", SYM, link="/")),
        "cve_2021_29136_root_is_a_hard_link": tar(header(".", HARD, link="canary")),
        "cve_2021_29136_root_is_a_file": tar(member(".", b"x")),
        "cve_2021_29136_root_is_a_device": tar(header(".", CHAR)),
        "cve_2026_50163_hard_link_to_parent": tar(header("a", HARD, link="../canary") + member("a", b"x")),
        "cve_2026_50163_hard_link_absolute": tar(member("a", kind=HARD, link=canary)),
        "cve_2026_50163_hard_link_to_symlink": tar(links("s", target=canary) + header("a", HARD, link="s")),
        "cve_2026_50163_hard_link_through_symlink": tar(links("s", target=str(host)) + header("a", HARD, link="s/canary")),
        "cve_2026_50163_hard_link_to_earlier_layer": tar(header("a", HARD, link="etc/passwd")),
        "cve_2026_50163_hard_link_to_directory": tar(header("d", DIR) + header("a", HARD, link="d")),
        "cve_2026_50163_hard_link_to_root": tar(header("a", HARD, link=".")),
        "cve_2026_50163_hard_link_to_itself": tar(member("a", b"x") + header("a", HARD, link="a")),
        "cve_2026_50163_hard_link_to_nothing": tar(header("a", HARD, link="")),
        "cve_2026_50163_hard_link_to_fifo": tar(header("f", FIFO) + header("a", HARD, link="f")),
        "cve_2026_50163_hard_link_to_whiteout": tar(member(".wh.f") + header("a", HARD, link=".wh.f")),
        "cve_2026_50162_file_through_dangling_link": tar(links("s", target=str(host)) + member("s/new", b"x")),
        "cve_2024_24579_link_then_file_below": tar(links("s", target=UP + f"{host}/etc") + member("s/cron", b"x")),
        "cve_2025_4330_link_chain": tar(
            links("a", target="b/" + UP) + links("b", target="c") + links("c", target="a") + member("a/x", b"x")
        ),
        "cve_2025_4517_realpath_overflow": tar(
            b"".join(
                pax({"path": "/".join([DEEP] * level)}) + header("x", DIR) for level in range(1, 17)
            )
            + pax({"path": "/".join([DEEP] * 16) + "/l", "linkpath": UP * 2}) + header("x", SYM)
            + pax({"path": "esc", "linkpath": "/".join([DEEP] * 16) + "/l/" + UP + "canary"}) + header("x", SYM)
            + header("h", HARD, link="esc")
        ),
        "name_with_a_part_too_long": tar(pax({"path": "a" * (PART_LIMIT + 1)}) + member("x")),
        "name_too_long": tar(pax({"path": "a/" * (NAME_LIMIT // 2) + "b"}) + member("x")),
        "name_too_deep": tar(pax({"path": "a/" * DEPTH_LIMIT + "b"}) + member("x")),
        "name_empty": tar(member("")),
        "depth_by_links": tar(
            pax({"path": "a/" * 200 + "a"}) + header("x", DIR) + pax({"linkpath": "a/" * 200}) + header("s",
            SYM) + pax({"path": "s/" + "b/" * 200 + "b"})
            + header("x", DIR)
        ),
        "type_changes_file_to_directory": tar(member("a", b"x") + header("a", DIR)),
        "cve_2025_4138_link_out_over_a_directory": tar(header("a", DIR) + links("a", target=str(host)) + member("a/x", b"x")),
        "type_changes_link_to_file": tar(links("a", target=canary) + member("a", b"x")),
        "cve_2024_12718_directory_over_a_link_out": tar(links("a", target=str(host)) + header("a", DIR) + member("a/x", b"x")),
        "type_changes_implied_directory_to_link": tar(member("a/b", b"x") + links("a", target=str(host))),
        "file_below_a_file": tar(member("a", b"x") + member("a/b", b"x")),
        "file_below_a_fifo": tar(header("a", FIFO) + member("a/b", b"x")),
        "whiteout_of_nothing": tar(member(".wh.")),
        "whiteout_of_dot": tar(member(".wh..")),
        "whiteout_of_parent": tar(member("a/.wh...")),
        "whiteout_of_a_whiteout": tar(member(".wh..wh.a")),
        "whiteout_of_the_opaque_mark": tar(member(".wh..wh..wh..opq")),
        "whiteout_of_aufs": tar(member(".wh..wh.plnk/1.2", b"x")),
        "whiteout_is_a_directory": tar(header(".wh.a", DIR)),
        "whiteout_is_a_link": tar(links(".wh.a", target=canary)),
        "whiteout_is_a_hard_link": tar(member("f") + header(".wh.a", HARD, link="f")),
        "whiteout_is_a_device": tar(header(".wh.a", CHAR)),
        "whiteout_has_data": tar(member(".wh.a", b"x")),
        "whiteout_has_a_child": tar(member(".wh.a/b", b"x")),
        "opaque_mark_below_a_link": tar(links("s", target=str(host)) + member("s/.wh..wh..opq")),
        "opaque_mark_below_a_file": tar(member("s", b"x") + member("s/.wh..wh..opq")),
        "overlay_redirect": tar(pax({"SCHILY.xattr.user.overlay.redirect": "/etc"}) + header("d", DIR)),
        "overlay_metacopy": tar(pax({"SCHILY.xattr.user.overlay.metacopy": "x"}) + member("f")),
        "overlay_whiteout": tar(pax({"SCHILY.xattr.user.overlay.whiteout": "y"}) + member("f")),
        "overlay_trusted_opaque": tar(pax({"SCHILY.xattr.trusted.overlay.opaque": "y"}) + header("d", DIR)),
        "cve_2024_40635_owner_beyond": tar(pax({"uid": str(ID_LIMIT + 1)}) + member("a")),
        "cve_2024_40635_owner_minus_one": tar(pax({"gid": str(2**32 - 1)}) + member("a")),
        "symlink_without_target": tar(header("a", SYM)),
        "symlink_target_too_long": tar(pax({"linkpath": "a" * NAME_LIMIT}) + header("a", SYM)),
    }  # fmt: skip
    for name in ("rootfs", "templates", "exec-output", "etc", "dev", "proc", "sys", "bin", "usr", "var", "tmp", "run", "home"):
        cases[f"cve_2026_48749_{name}_is_a_symlink_out"] = tar(links(name, target=str(host)) + member(f"{name}/new", b"x"))
        cases[f"cve_2026_41579_{name}_is_a_symlink_up"] = tar(links(name, target=UP) + member(f"{name}/../canary", b"x"))
    return cases


CASES = sorted(hostile(Path("/nowhere")))


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_layer_is_refused_and_the_host_unchanged(case: str, host: Path) -> None:
    content = hostile(host)[case]
    place = host / "layers" / "new"
    place.mkdir()
    before = fingerprint(host, skip=place)
    with pytest.raises(ImageError):
        unpack(content, place)
    assert fingerprint(host, skip=place) == before


def test_links_that_lead_out_stay_links_and_what_is_below_them_stays_inside(host: Path) -> None:
    """As in a container: an absolute target, and any number of "..", mean the layer's own root (CVE-2021-32760)."""
    place = host / "layers" / "new"
    place.mkdir()
    before = fingerprint(host, skip=place)
    content = tar(
        header("inside/lib", DIR),
        links("lib", target="/inside/lib"),
        links("up", target=UP + "inside"),
        links("canary", target=str(host / "canary")),
        member("lib/a", b"a"),
        member("up/lib/b", b"b"),
        header("hard", HARD, link="lib/a"),
    )
    unpack(content, place)
    assert (place / "inside/lib/a").read_bytes() == b"a"
    assert (place / "inside/lib/b").read_bytes() == b"b"
    assert os.path.samestat(os.stat(place / "hard"), os.stat(place / "inside/lib/a"))
    assert os.readlink(place / "canary") == str(host / "canary")
    assert fingerprint(host, skip=place) == before


def test_cve_2025_47290_a_symlink_that_appears_meanwhile_is_not_followed(host: Path) -> None:
    """Whoever swaps a directory of the layer for a link to the host between two entries gets nothing written there."""
    place = host / "layers" / "new"
    place.mkdir()
    tree = Tree(str(place), "layer")
    try:
        tree.make_directory((b"d",))
        os.close(tree.make_file((b"d", b"first")))
        shutil.rmtree(place / "d")
        (place / "d").symlink_to(host)
        before = sorted(os.listdir(host))
        with pytest.raises((ImageError, FileNotFoundError)):
            os.close(tree.make_file((b"d", b"second")))  # the descriptor of the directory that was
        with pytest.raises(ImageError):
            os.close(tree.make_file((b"d", b"sub", b"third")))  # resolved anew, in the layer's root
        assert sorted(os.listdir(host)) == before
    finally:
        tree.close()


def test_every_part_of_an_honest_layer_arrives(tmp_path: Path) -> None:
    content = tar(
        header("./", DIR, mode=0o755, mtime=b"00000000005\0"),
        header("d/", DIR, mode=0o2511, mtime=b"00000000007\0"),
        pax({"SCHILY.xattr.user.note": "hello", "SCHILY.xattr.security.capability": "\1", "mtime": "9.5"}),
        member("d/f", b"data", mode=0o4755),
        header("d/h", HARD, link="d/f"),
        header("s", SYM, link="../../anywhere"),
        header("p", FIFO, mode=0o620),
        header("dev/null", CHAR, tail=b"0000001\x000000003\0"),
        header("dev/sda", BLOCK, tail=b"0000010\x000000000\0"),
        member("implied/x/y", b""),
        member("twice", b"old and longer"),
        member("twice", b"new"),
    )
    record = unpack(content, tmp_path / "new")
    new = tmp_path / "new"
    assert (new / "d/f").read_bytes() == b"data"
    assert stat.S_IMODE((new / "d/f").stat().st_mode) == 0o755
    assert (new / "d/f").stat().st_mtime_ns == 9_500_000_000
    assert os.getxattr(new / "d/f", "user.note") == b"hello"
    assert os.listxattr(new / "d/f") == ["user.note"]
    assert (new / "d/h").stat().st_ino == (new / "d/f").stat().st_ino
    assert os.readlink(new / "s") == "../../anywhere"
    assert stat.S_ISFIFO((new / "p").lstat().st_mode)
    assert (stat.S_IMODE((new / "d").stat().st_mode), (new / "d").stat().st_mtime) == (0o511, 7)
    assert (stat.S_IMODE(new.stat().st_mode), new.stat().st_mtime) == (0o755, 5)
    assert not (new / "dev").exists()
    assert (new / "twice").read_bytes() == b"new"
    assert record.devices == [("dev/null", "c", 1, 3), ("dev/sda", "b", 8, 0)]
    assert record.setid == [("d/", 0o2511), ("d/f", 0o4755)]
    assert record.xattrs == [("d/f", "security.capability")]
    assert record.implied == ["implied", "implied/x"]


@root
def test_owners_are_kept_when_they_can_be_given(tmp_path: Path) -> None:
    content = tar(
        header("d", DIR, uid=b"0000012\0", gid=b"0000013\0"),
        member("d/f", b"", uid=b"0000014\0"),
        header("s", SYM, link="d", uid=b"0000015\0"),
        header("p", FIFO, uid=b"0000016\0"),
    )
    unpack(content, tmp_path / "kept", owners=True)
    assert [(tmp_path / "kept" / name).lstat().st_uid for name in ("d", "d/f", "s", "p")] == [10, 12, 13, 14]
    assert (tmp_path / "kept/d").stat().st_gid == 11
    unpack(content, tmp_path / "own", owners=False)
    assert {(tmp_path / "own" / name).lstat().st_uid for name in ("d", "d/f", "s", "p")} == {0}


def test_sparse_files_keep_their_holes(tmp_path: Path) -> None:
    with open(tmp_path / "f", "wb") as output:
        output.write(b"start")
        output.truncate(8 << 20)
    content = subprocess.run(["tar", "-S", "-c", "f"], cwd=tmp_path, check=True, capture_output=True).stdout
    unpack(content, tmp_path / "new")
    assert (tmp_path / "new/f").read_bytes() == (tmp_path / "f").read_bytes()
    assert (tmp_path / "new/f").stat().st_blocks < 100


def test_whiteouts_and_opaque_directories_become_overlayfs_marks(tmp_path: Path) -> None:
    new = tmp_path / "new"
    content = tar(
        member("a/.wh.gone"),
        member(".wh.replaced"),
        member("replaced/new", b"x"),
        member(".wh.file"),
        member("file", b"x"),
        member("o/.wh.before"),
        member("o/kept", b"x"),
        member("o/.wh..wh..opq"),
        member("o/sub/.wh.deep"),
        member("only/.wh..wh..opq"),
        member("now-a-file", b"x"),
        member("now-a-file/.wh.below"),
        header("now-a-link", SYM, link="a"),
        member("now-a-link/.wh.below"),
    )
    record = unpack(content, new)
    gone = (new / "a/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    opaque = [path for path in (new, *new.rglob("*")) if path.is_dir() and "user.overlay.opaque" in os.listxattr(path)]
    assert sorted(path.name for path in opaque) == ["o", "only", "replaced"]
    assert os.getxattr(new / "o", "user.overlay.opaque") == b"y"
    if ROOT:
        assert os.getxattr(new / "o", "trusted.overlay.opaque") == b"y"
    assert sorted(os.listdir(new / "o")) == ["kept"]
    assert (new / "file").read_bytes() == b"x"
    assert sorted(os.listdir(new / "a")) == ["gone"], "a whiteout goes through no link"
    assert not record.opaque_root


def test_a_whiteout_without_mknod_is_an_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "mknod", refuse)
    upper = tar(member("a/.wh.gone"), member(".wh.top"), member("o/.wh..wh..opq"), member("o/.wh.low"), member("o/high", b"x"))
    unpack(upper, tmp_path / "upper")
    assert os.getxattr(tmp_path / "upper/a/gone", "user.overlay.whiteout") == b"y"
    assert os.getxattr(tmp_path / "upper/a", "user.overlay.opaque") == b"x"
    unpack(tar(*(member(name, b"low") for name in ("a/gone", "a/kept", "top", "o/low"))), tmp_path / "lower")
    (tmp_path / "merged").mkdir()
    shown = listing(tmp_path / "merged", (str(tmp_path / "upper"), str(tmp_path / "lower")), "--user", "--map-root-user")
    assert [line[0] for line in shown] == [".", "a", "a/kept", "o", "o/high"]


def test_an_opaque_root_is_recorded(tmp_path: Path) -> None:
    assert unpack(tar(member(".wh..wh..opq"), member("a", b"x")), tmp_path / "new").opaque_root


LIMITED = {
    "entries": (tar(*(member(f"f{n}") for n in range(3))), {"entries": 3}, {"entries": 2}),
    "file": (tar(member("f", b"x" * 1000)), {"file": 1000}, {"file": 999}),
    "total": (tar(member("f", b"x" * 1000)), {"total": 3 * 1024}, {"total": 3 * 1024 - 513}),
    "total of sparse files": (
        tar(
            *(pax({"GNU.sparse.map": "0,1", "GNU.sparse.size": "50000"}) + member(name, b"x") for name in "ab"),
        ),
        {"total": 100_000},
        {"total": 99_999},
    ),
    "sparse file": (
        tar(pax({"GNU.sparse.map": "0,1", "GNU.sparse.size": "50000"}) + member("a", b"x")),
        {"file": 50_000},
        {"file": 49_999},
    ),
}


@pytest.mark.parametrize("case", sorted(LIMITED))
def test_a_limit_is_kept_exactly(case: str, tmp_path: Path) -> None:
    content, fits, refused = LIMITED[case]
    unpack(content, tmp_path / "fits", **fits)
    with pytest.raises(ImageError, match=r"larger than|more than"):
        unpack(content, tmp_path / "refused", **refused)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_decompression_bomb_is_refused_early(codec: Codec, tmp_path: Path) -> None:
    bomb = compress(tar(member("zeros", bytes(8 << 20))), codec)
    assert len(bomb) * 100 < 8 << 20
    with pytest.raises(ImageError, match="bomb"):
        unpack(bomb, tmp_path / "new", codec, ratio=100, ratio_from=1 << 20)
    unpack(bomb, tmp_path / "small", codec, ratio=100, ratio_from=16 << 20)
    unpack(bomb, tmp_path / "allowed", codec, ratio=100_000, ratio_from=1 << 20)


def test_as_an_ordinary_user_a_directory_may_shut_its_owner_out(tmp_path: Path) -> None:
    """Modes are set last, deepest first, so that 0000 directories can be filled by whoever has no CAP_DAC_OVERRIDE."""
    if not ROOT:
        unpack(tar(header("d", DIR, mode=0), member("d/f", b"x")), tmp_path / "new", owners=False)
        return
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            content = tar(header("d", DIR, mode=0), member("d/f", b"x", mode=0), member("e/.wh.gone"), member("o/.wh..wh..opq"))
            unpack(content, tmp_path / "new", owners=False)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / "new/d/f").read_bytes() == b"x"
    assert stat.S_IMODE((tmp_path / "new/d").stat().st_mode) == 0
    assert (tmp_path / "new/d").stat().st_uid == 65534
    assert os.path.lexists(tmp_path / "new/e/gone")
    assert os.getxattr(tmp_path / "new/o", "user.overlay.opaque") == b"y"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("codec", ["", "gzip", "zstd"])
def test_each_format_and_codec_unpacks_to_the_same(form: int, codec: Codec, tmp_path: Path) -> None:
    content = python_tar(("d", None), ("d/f", b"data" * 50_000), ("l", "d/f"), form=form)
    unpack(compress(content, codec), tmp_path / "new", codec)
    assert (tmp_path / "new/d/f").read_bytes() == b"data" * 50_000
    assert os.readlink(tmp_path / "new/l") == "d/f"


LISTING = """
import hashlib, json, os, stat, sys
lines = []
for directory, names, files in os.walk(sys.argv[1]):
    for name in (".", *names, *files):
        path = os.path.join(directory, name)
        found = os.lstat(path)
        mode = found.st_mode & ~(stat.S_ISUID | stat.S_ISGID)
        link = os.readlink(path) if stat.S_ISLNK(mode) else ""
        data = hashlib.sha256(open(path, "rb").read()).hexdigest() if stat.S_ISREG(mode) else ""
        size = found.st_size if data else 0
        time = 0 if stat.S_ISDIR(mode) else found.st_mtime_ns // 10**9
        relative = os.path.normpath(os.path.relpath(path, sys.argv[1]))
        lines.append((relative, mode, found.st_uid, found.st_gid, size, time, link, data))
json.dump(sorted(set(lines)), sys.stdout)
"""


def listing(place: Path, layers: tuple[str, ...] = (), *namespaces: str) -> list[list[object]]:
    """Everything in a tree; with layers, in their overlay, mounted in a mount namespace that ends with the command."""
    mount = f"mount -t overlay overlay -o ro,userxattr,lowerdir={':'.join(layers)} {place} &&" if layers else ""
    command = [
        "unshare",
        *namespaces,
        "--mount",
        "sh",
        "-c",
        f'{mount} exec "$@"',
        "sh",
        sys.executable,
        "-I",
        "-S",
        "-c",
        LISTING,
        str(place),
    ]
    found: list[list[object]] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def run(*command: str | Path, cwd: Path) -> None:
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layout of three layers by umoci, its archives by skopeo, and what umoci unpacks it to."""
    if not ROOT:
        pytest.skip("only root can unpack and mount an image with all its owners")
    missing = [name for name in ("umoci", "skopeo", "unshare") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (tests/apt-packages.txt)")
    work = tmp_path_factory.mktemp("real")
    run("umoci", "init", "--layout", "layout", cwd=work)
    run("umoci", "new", "--image", "layout:v1", cwd=work)
    for number, change in enumerate((_first, _second, _third)):
        run("umoci", "unpack", "--image", "layout:v1", f"bundle{number}", cwd=work)
        change(work / f"bundle{number}" / "rootfs")
        run("umoci", "repack", "--image", "layout:v1", f"bundle{number}", cwd=work)
    _insert_opaque(work)
    run("umoci", "config", "--image", "layout:v1", "--config.user", "web", "--config.cmd", "/bin/busybox", cwd=work)
    run("umoci", "unpack", "--image", "layout:v1", "final", cwd=work)
    run("skopeo", "copy", "oci:layout:v1", "oci-archive:image.tar:v1", cwd=work)
    run("skopeo", "copy", "oci:layout:v1", "docker-archive:saved.tar:shop/web:1", cwd=work)
    return work


def _first(tree: Path) -> None:
    for name in ("bin", "etc", "a/b/c", "gone/deep", "opaque/sub", "replaced", "kept", "closed"):
        (tree / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", tree / "bin/busybox")
    (tree / "bin/busybox").chmod(0o4755)
    (tree / "bin/sh").symlink_to("busybox")
    (tree / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nweb:x:7:8::/:/bin/sh\n")
    for name in ("a/b/c/file", "gone/deep/file", "opaque/low", "opaque/sub/low", "replaced/low", "kept/low", "a/remove"):
        (tree / name).write_text(name)
    os.link(tree / "a/b/c/file", tree / "a/hard")
    os.chown(tree / "a/b", 7, 8)
    (tree / "a/b").chmod(0o750)
    (tree / "closed").chmod(0)
    os.mkfifo(tree / "a/fifo")
    with open(tree / "a/sparse", "wb") as output:
        output.truncate(1 << 20)


def _second(tree: Path) -> None:
    shutil.rmtree(tree / "gone")
    (tree / "a/remove").unlink()
    shutil.rmtree(tree / "replaced")
    (tree / "replaced").write_text("a file now")
    (tree / "a/b/c/file").write_text("changed, below directories that the layer does not mention")
    (tree / "kept/high").write_text("high")


def _third(tree: Path) -> None:
    (tree / "gone").mkdir()
    (tree / "gone/again").write_text("again")
    (tree / "replaced").unlink()
    os.symlink("kept", tree / "replaced")


def _insert_opaque(work: Path) -> None:
    """Add a layer with an opaque directory, which umoci itself never writes."""
    layer = tar(header("opaque", DIR, mode=0o755), member("opaque/.wh..wh..opq"), member("opaque/high", b"high"))
    (work / "opaque.tar").write_bytes(layer)
    run("umoci", "raw", "add-layer", "--image", "layout:v1", "opaque.tar", cwd=work)


@pytest.mark.parametrize("text", ["oci:layout:v1", "oci-archive:image.tar:v1", "docker-archive:saved.tar:shop/web:1"])
def test_a_real_image_is_what_umoci_makes_of_it(text: str, real: Path, tmp_path: Path) -> None:
    kind, _, rest = text.partition(":")
    found = find(parse_reference(f"{kind}:{real}/{rest}"), store=str(tmp_path / "store"), machine=os.uname().machine, uid=0)
    (tmp_path / "merged").mkdir()
    ours, theirs = listing(tmp_path / "merged", found.layers), listing(real / "final/rootfs")
    assert ours == theirs
    names = {line[0] for line in ours}
    assert {"opaque/high", "gone/again", "kept/low", "kept/high", "a/hard", "a/sparse"} <= names
    assert not names & {"opaque/low", "opaque/sub", "gone/deep", "a/remove"}
    assert (found.config.user, found.config.cmd) == ("web", ("/bin/busybox",))
    assert image_user(found.layers, found.config.user) == (7, 8, ())
