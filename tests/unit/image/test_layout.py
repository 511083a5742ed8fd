"""OCI layouts and docker archives: verified by digest, unpacked once, shared, safe against two at once."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from enforcer.errors import EnforcerError, ImageError
from enforcer.image.find import Image, find
from enforcer.oci.reference import parse_reference
from tests.images import DIR, OCI, archive, descriptor, header, image, member, saved, sha256, tar, write

BASE = tar(
    header("etc", DIR), member("etc/passwd", b"root:x:0:0::/:\nweb:x:7:8::/:\n"), header("a", DIR), member("a/low", b"low")
)
TOP = tar(header("a", DIR), member("a/.wh.low"), member("a/high", b"high"))


def get(text: str, tmp_path: Path, machine: str = "x86_64") -> Image:
    return find(parse_reference(text), store=str(tmp_path / "store"), machine=machine, uid=os.geteuid())


@pytest.mark.parametrize("codec", ["", "gzip", "zstd"])
def test_a_layout_is_verified_and_unpacked(codec: str, tmp_path: Path) -> None:
    files = image(BASE, TOP, codec=codec, config={"Cmd": ["/a/high"], "User": "web"})
    found = get("oci:" + write(files, tmp_path / "layout"), tmp_path)
    top, base = found.layers
    assert Path(top, "a/high").read_text() == "high"
    assert Path(base, "a/low").read_text() == "low"
    assert os.path.basename(base) == sha256(BASE)[7:]
    assert (found.config.cmd, found.config.user) == (("/a/high",), "web")
    assert found.digest == json.loads(files["index.json"])["manifests"][0]["digest"]
    assert (found.repository, found.tag) == ("", "")
    assert os.listdir(tmp_path / "store/tmp") == []


def test_the_same_image_from_an_archive_is_the_same_and_nothing_is_unpacked_twice(tmp_path: Path) -> None:
    files = image(BASE, TOP)
    first = get("oci:" + write(files, tmp_path / "layout") + ":v1", tmp_path)
    marks = [os.stat(layer).st_ino for layer in first.layers]
    second = get("oci-archive:" + archive(files, tmp_path / "a.tar") + ":v1", tmp_path)
    assert (second.digest, second.layers, second.config) == (first.digest, first.layers, first.config)
    assert [os.stat(layer).st_ino for layer in second.layers] == marks
    other = get("oci:" + write(image(BASE, tar(member("x"))), tmp_path / "other"), tmp_path)
    assert other.layers[1] == first.layers[1]


def test_a_docker_archive_is_unpacked_to_the_same_layers(tmp_path: Path) -> None:
    path = archive(saved(BASE, TOP), tmp_path / "d.tar")
    found = get(f"docker-archive:{path}:shop/web:1", tmp_path)
    assert (found.repository, found.tag) == ("docker.io/shop/web", "1")
    assert [os.path.basename(layer) for layer in found.layers] == [sha256(TOP)[7:], sha256(BASE)[7:]]
    assert get(f"docker-archive:{path}", tmp_path).digest == found.digest
    with pytest.raises(ImageError, match="no image named"):
        get(f"docker-archive:{path}:shop/web:2", tmp_path)


def test_a_docker_archive_that_is_a_layout_is_read_as_one(tmp_path: Path) -> None:
    files = image(BASE)
    index = json.loads(files["index.json"])
    index["manifests"][0]["annotations"] = {
        "org.opencontainers.image.ref.name": "1",
        "io.containerd.image.name": "docker.io/shop/web:1",
    }
    files["index.json"] = json.dumps(index).encode()
    path = archive(files | {"manifest.json": b"[]"}, tmp_path / "d.tar")
    found = get(f"docker-archive:{path}:shop/web:1", tmp_path)
    assert found.digest == index["manifests"][0]["digest"]


def test_links_between_layers_of_an_old_docker_archive_are_followed_inside_it(tmp_path: Path) -> None:
    files = saved(BASE, TOP)
    body = b"".join(member(name, content) for name, content in files.items() if name != "1/layer.tar")
    path = tmp_path / "d.tar"
    path.write_bytes(tar(body, member("x/real.tar", TOP), header("1/layer.tar", b"2", link="../x/real.tar")))
    assert os.path.basename(get(f"docker-archive:{path}", tmp_path).layers[0]) == sha256(TOP)[7:]
    for target in ("/etc/passwd", "../../etc/passwd", "../1/layer.tar", "missing"):
        path.write_bytes(tar(body, header("1/layer.tar", b"2", link=target)))
        with pytest.raises(ImageError, match="lacks"):
            get(f"docker-archive:{path}", tmp_path / "fresh")


def flipped(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    content = bytearray(files[name])
    content[4 if content.startswith(b"\x1f\x8b") else len(content) // 2] ^= 1  # gzip's time: what comes out stays the same
    return files | {name: bytes(content)}


def test_cve_2026_33542_a_flipped_byte_in_any_blob_is_refused(tmp_path: Path) -> None:
    files = image(BASE, TOP)
    for number, name in enumerate(name for name in files if name.startswith("blobs/")):
        changed = write(flipped(files, name), tmp_path / str(number))
        with pytest.raises(ImageError):
            get(f"oci:{changed}", tmp_path / f"fresh{number}")
        assert not any(files for _, _, files in os.walk(tmp_path / f"fresh{number}/store/layers") if "etc" in files)
        blobs = tmp_path / f"fresh{number}/store/blobs/sha256"
        assert all(sha256(blob.read_bytes())[7:] == blob.name for blob in blobs.iterdir())
        assert os.listdir(tmp_path / f"fresh{number}/store/tmp") == []
    get("oci:" + write(files, tmp_path / "whole"), tmp_path)


def test_cve_2026_35172_a_blob_that_changed_in_the_store_is_refused(tmp_path: Path) -> None:
    files = image(BASE)
    place = write(files, tmp_path / "layout")
    found = get(f"oci:{place}", tmp_path)
    os.rename(found.layers[0], tmp_path / "removed")
    layer = json.loads(next(content for content in files.values() if b'"layers"' in content and b"config.v1" in content))[
        "layers"
    ][0]
    blob = tmp_path / "store/blobs/sha256" / layer["digest"][7:]
    blob.write_bytes(flipped({"x": blob.read_bytes()}, "x")["x"])
    with pytest.raises(ImageError):
        get(f"oci:{place}", tmp_path)
    assert not os.path.exists(found.layers[0])


def test_a_layer_that_is_not_the_one_of_the_config_is_refused(tmp_path: Path) -> None:
    place = write(image(BASE, diff_ids=[sha256(TOP)]), tmp_path / "layout")
    with pytest.raises(ImageError, match="not the one that the image names"):
        get(f"oci:{place}", tmp_path)
    assert os.listdir(tmp_path / "store/layers/sha256") == []
    place = write(image(BASE, diff_ids=[sha256(BASE)] * 2), tmp_path / "count")
    with pytest.raises(ImageError, match="layers"):
        get(f"oci:{place}", tmp_path)


def _without(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {key: value for key, value in files.items() if key != name}


def _index(*manifests: dict[str, Any]) -> bytes:
    return json.dumps({"schemaVersion": 2, "manifests": list(manifests)}).encode()


def _two(files: dict[str, bytes]) -> dict[str, bytes]:
    [only] = json.loads(files["index.json"])["manifests"]
    return files | {"index.json": _index(only, only | {"annotations": {"org.opencontainers.image.ref.name": "v2"}})}


BROKEN = {
    "no oci-layout": _without(image(BASE), "oci-layout"),
    "another layout version": image(BASE) | {"oci-layout": b'{"imageLayoutVersion":"2.0.0"}'},
    "no index": _without(image(BASE), "index.json"),
    "empty index": image(BASE) | {"index.json": _index()},
    "index is a manifest": image(BASE) | {"index.json": b'{"schemaVersion":2,"config":{},"layers":[]}'},
    "two images, none named": _two(image(BASE)),
    "missing manifest": image(BASE) | {"index.json": _index(descriptor(OCI + "manifest.v1+json", b"missing"))},
    "wrong size": image(BASE)
    | {"index.json": _index(json.loads(image(BASE)["index.json"])["manifests"][0] | {"size": 3})},
    "digest is a path": image(BASE)
    | {"index.json": _index({"mediaType": OCI + "manifest.v1+json", "size": 1, "digest": "sha256:../../../../etc/passwd"})},
    "oversized index": image(BASE) | {"index.json": _index().ljust((8 << 20) + 1)},
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(BROKEN))
@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_a_broken_layout_is_refused(case: str, kind: str, tmp_path: Path) -> None:
    place = write(BROKEN[case], tmp_path / "p") if kind == "oci" else archive(BROKEN[case], tmp_path / "p")
    with pytest.raises(ImageError):
        get(f"{kind}:{place}", tmp_path)


def test_an_image_is_chosen_by_its_tag(tmp_path: Path) -> None:
    place = write(_two(image(BASE)), tmp_path / "layout")
    assert get(f"oci:{place}:v2", tmp_path).tag == "v2"
    with pytest.raises(ImageError, match="it has: v1, v2"):
        get(f"oci:{place}:v3", tmp_path)


def test_an_index_within_the_index_is_followed_for_this_machine_and_not_for_ever(tmp_path: Path) -> None:
    files = image(BASE)
    [manifest] = json.loads(files["index.json"])["manifests"]
    inner = _index(manifest | {"platform": {"os": "linux", "architecture": "amd64"}})
    for depth in range(5):
        files[f"blobs/sha256/{sha256(inner)[7:]}"] = inner
        files["index.json"] = _index(descriptor(OCI + "index.v1+json", inner))
        place = write(files, tmp_path / str(depth))
        if depth < 3:
            assert get(f"oci:{place}", tmp_path).digest == manifest["digest"]
        inner = files["index.json"]
    with pytest.raises(ImageError, match="nested"):
        get(f"oci:{place}", tmp_path)
    with pytest.raises(ImageError):
        get(f"oci:{tmp_path / '0'}", tmp_path, machine="aarch64")


def test_cve_2025_62725_annotations_are_never_paths(tmp_path: Path) -> None:
    files = image(BASE)
    [named] = json.loads(files["index.json"])["manifests"]
    document = json.loads(files.pop(f"blobs/sha256/{named['digest'][7:]}"))
    for layer in (document["config"], *document["layers"]):
        layer["annotations"] = {"org.opencontainers.image.title": "../../../canary", "io.deis.oras.content.unpack": "true"}
    manifest = json.dumps(document | {"annotations": {"org.opencontainers.image.title": str(tmp_path / "canary")}}).encode()
    files[f"blobs/sha256/{sha256(manifest)[7:]}"] = manifest
    files["index.json"] = _index(descriptor(OCI + "manifest.v1+json", manifest))
    get("oci:" + write(files, tmp_path / "layout"), tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["layout", "store"]


def test_a_symbolic_link_in_a_layout_is_refused(tmp_path: Path) -> None:
    place = write(image(BASE), tmp_path / "layout")
    (tmp_path / "outside").write_bytes((tmp_path / "layout/index.json").read_bytes())
    (tmp_path / "layout/index.json").unlink()
    (tmp_path / "layout/index.json").symlink_to(tmp_path / "outside")
    with pytest.raises(ImageError):
        get(f"oci:{place}", tmp_path)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "gz").write_bytes(b"\x1f\x8b\x08\0")
    (tmp_path / "text").write_text("text" * 400)
    files = image(BASE)
    honest = [member(name, content) for name, content in files.items()]
    (tmp_path / "twice").write_bytes(tar(*honest, member("./index.json", files["index.json"])))
    for name in ("fifo", "empty", "gz", "text", "twice", "missing", "."):
        for kind in ("oci-archive", "docker-archive"):
            with pytest.raises(ImageError):
                get(f"{kind}:{tmp_path / name}", tmp_path)


def test_directories_that_an_upper_layer_implies_are_as_the_lower_one_made_them(tmp_path: Path) -> None:
    base = tar(header("d", DIR, mode=0o711), member("d/low", b""))
    upper = tar(member("d/high", b"x"), member("new/x", b""))
    found = get("oci:" + write(image(base, upper), tmp_path / "a"), tmp_path)
    assert os.stat(f"{found.layers[0]}/d").st_mode & 0o7777 == 0o711
    assert os.stat(f"{found.layers[0]}/new").st_mode & 0o7777 == 0o755
    other = tar(header("d", DIR, mode=0o700))
    again = get("oci:" + write(image(other, upper), tmp_path / "b"), tmp_path)
    assert os.stat(f"{again.layers[0]}/d").st_mode & 0o7777 == 0o700
    assert get("oci:" + str(tmp_path / "a"), tmp_path).layers == found.layers
    link = tar(header("d", b"2", link="/etc"))
    with pytest.raises(ImageError, match="symbolic link"):
        get("oci:" + write(image(link, upper), tmp_path / "c"), tmp_path)


def test_an_opaque_root_hides_the_layers_below_and_no_layer_is_stacked_twice(tmp_path: Path) -> None:
    opaque = tar(member(".wh..wh..opq"), member("only", b""))
    found = get("oci:" + write(image(BASE, opaque, TOP), tmp_path / "a"), tmp_path)
    assert [os.path.basename(layer) for layer in found.layers] == [sha256(TOP)[7:], sha256(opaque)[7:]]
    empty = tar()
    found = get("oci:" + write(image(empty, BASE, empty), tmp_path / "b"), tmp_path)
    assert [os.path.basename(layer) for layer in found.layers] == [sha256(empty)[7:], sha256(BASE)[7:]]


def test_two_at_once_unpack_once(tmp_path: Path) -> None:
    place = write(image(*(tar(member(f"f{n}", bytes(200_000))) for n in range(4))), tmp_path / "layout")
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            try:
                found = get(f"oci:{place}", tmp_path)
                code = 0 if all(os.path.isdir(layer) for layer in found.layers) else 1
            except BaseException as error:  # noqa: BLE001  a child must not return into pytest
                print(error, file=sys.stderr)
                code = 2
            os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert len([name for name in os.listdir(tmp_path / "store/layers/sha256") if not name.endswith(".json")]) == 4
    assert os.listdir(tmp_path / "store/tmp") == []


def test_errors_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(EnforcerError) as refused:
        get("oci:/nowhere/at/all", tmp_path)
    assert "/nowhere/at/all" in refused.value.render()
