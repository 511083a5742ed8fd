"""Index, manifest and config: what is read, and what is refused because it could mean two things."""

from __future__ import annotations

import json
from typing import Any

import pytest

from enforcer.errors import ImageError
from enforcer.oci.image import (
    LAYERS_LIMIT,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    check_platform,
    choose_platform,
    codec_of,
    parse_config,
    parse_index_or_manifest,
)

DIGEST = "sha256:" + "ab" * 32
OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."


def descriptor(media_type: str, **more: object) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": DIGEST, "size": 2, **more}


def manifest(**more: object) -> dict[str, Any]:
    layers = [descriptor(OCI + "layer.v1.tar+gzip")]
    return {"schemaVersion": 2, "config": descriptor(OCI + "config.v1+json"), "layers": layers, **more}


def index(**more: object) -> dict[str, Any]:
    return {"schemaVersion": 2, "manifests": [descriptor(OCI + "manifest.v1+json")], **more}


def read(document: object, media_type: str = "") -> Index | Manifest:
    return parse_index_or_manifest(json.dumps(document).encode(), where="x", media_type=media_type)


def test_an_index_and_a_manifest_are_told_apart() -> None:
    assert isinstance(read(index()), Index)
    assert isinstance(read(manifest()), Manifest)
    assert isinstance(read(manifest(mediaType=OCI + "manifest.v1+json"), OCI + "manifest.v1+json"), Manifest)
    old = manifest(mediaType=DOCKER + "distribution.manifest.v2+json", config=descriptor(DOCKER + "container.image.v1+json"))
    assert isinstance(read(old), Manifest)


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        (manifest(manifests=[]), ""),
        (manifest(manifests=[]), OCI + "manifest.v1+json"),
        (index(layers=[]), ""),
        (index(config={}), OCI + "index.v1+json"),
    ],
)
def test_cve_2021_41190_a_document_that_is_index_and_manifest_is_refused(document: object, media_type: str) -> None:
    with pytest.raises(ImageError, match="at once"):
        read(document, media_type)


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        (manifest(mediaType=OCI + "index.v1+json"), ""),
        (manifest(mediaType=OCI + "manifest.v1+json"), OCI + "index.v1+json"),
        (manifest(), OCI + "index.v1+json"),
        (index(), OCI + "manifest.v1+json"),
        (index(), OCI + "config.v1+json"),
        (manifest(), "text/plain"),
        (manifest(fsLayers=[]), ""),
        (manifest(signatures=[]), ""),
    ],
)
def test_go_2022_0379_a_document_of_another_type_than_said_is_refused(document: object, media_type: str) -> None:
    with pytest.raises(ImageError):
        read(document, media_type)


@pytest.mark.parametrize(
    "layer",
    [
        descriptor(OCI + "layer.v1.tar+gzip", urls=["https://elsewhere.example/layer"]),
        descriptor(OCI + "layer.nondistributable.v1.tar+gzip"),
        descriptor(DOCKER + "image.rootfs.foreign.diff.tar.gzip", urls=["https://elsewhere.example/layer"]),
        descriptor(DOCKER + "image.rootfs.foreign.diff.tar.gzip"),
    ],
)
def test_cve_2020_15157_a_foreign_layer_is_refused(layer: object) -> None:
    with pytest.raises(ImageError, match=r"urls|the layer's type"):
        read(manifest(layers=[layer]))


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 1}, {"schemaVersion": True}, {"schemaVersion": "2"}, {"schemaVersion": None},
        {"config": None}, {"config": []}, {"config": descriptor("application/vnd.example.artifact")}, {"layers": {}},
        {"layers": None},
        {"layers": ["a"]}, {"layers": [descriptor(OCI + "layer.v1.tar+xz")]}, {"layers": [descriptor("")]},
        {"layers": [{"mediaType": OCI + "layer.v1.tar", "size": 1}]},
        {"layers": [{"mediaType": OCI + "layer.v1.tar", "digest": DIGEST}]},
        {"layers": [descriptor(OCI + "layer.v1.tar", digest="sha512:" + "ab" * 64)]},
        {"layers": [descriptor(OCI + "layer.v1.tar", digest="sha256:../../etc/passwd")]},
        {"layers": [descriptor(OCI + "layer.v1.tar", size=-1)]},
        {"layers": [descriptor(OCI + "layer.v1.tar", annotations={"a": 1})]},
        {"layers": [descriptor(OCI + "layer.v1.tar")] * (LAYERS_LIMIT + 1)},
    ],
)  # fmt: skip
def test_a_manifest_that_is_not_an_image_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ImageError):
        read(manifest(**change))


def test_a_manifest_with_as_many_layers_as_overlayfs_takes_is_read() -> None:
    found = read(manifest(layers=[descriptor(OCI + "layer.v1.tar")] * LAYERS_LIMIT))
    assert isinstance(found, Manifest)
    assert [codec_of(layer, where="x") for layer in found.layers] == [""] * LAYERS_LIMIT


def place(digit: str, *platform: str) -> Descriptor:
    return Descriptor(OCI + "manifest.v1+json", "sha256:" + digit * 64, 1, (*platform, "", "", "")[:3])  # type: ignore[arg-type]


ATTESTATION = place("f", "unknown", "unknown")


@pytest.mark.parametrize(
    ("manifests", "machine", "chosen"),
    [
        ((place("1", "linux", "amd64"), place("2", "linux", "arm64")), "x86_64", "1"),
        ((place("1", "linux", "amd64"), place("2", "linux", "arm64")), "aarch64", "2"),
        ((place("1", "linux", "arm64"), place("2", "linux", "arm64", "v8")), "aarch64", "2"),
        ((place("1", "linux", "arm", "v6"), place("2", "linux", "arm", "v7")), "armv7l", "2"),
        ((place("1", "windows", "amd64"), place("2", "linux", "amd64"), ATTESTATION), "x86_64", "2"),
        ((place("1"),), "x86_64", "1"),
    ],
)
def test_the_manifest_for_the_machine_is_chosen(manifests: tuple[Descriptor, ...], machine: str, chosen: str) -> None:
    assert choose_platform(Index(manifests), machine, where="x").digest == "sha256:" + chosen * 64


@pytest.mark.parametrize(
    ("manifests", "machine"),
    [
        ((place("1", "linux", "arm64"),), "x86_64"),
        ((place("1", "linux", "amd64", "v3"),), "x86_64"),
        ((place("1", "linux", "amd64"), place("2", "linux", "amd64")), "x86_64"),
        ((place("1"), place("2")), "x86_64"),
        ((), "x86_64"),
        ((ATTESTATION,), "x86_64"),
        ((place("1", "linux", "amd64"),), "vax"),
    ],
)
def test_no_manifest_or_two_are_refused(manifests: tuple[Descriptor, ...], machine: str) -> None:
    with pytest.raises(ImageError):
        choose_platform(Index(manifests), machine, where="x")


def config(**run: object) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [DIGEST]}
    return json.dumps({"architecture": "amd64", "os": "linux", "config": run, "rootfs": rootfs}).encode()


def test_a_config_is_read() -> None:
    found, diff_ids = parse_config(
        config(
            Entrypoint=["/bin/a", "-b"],
            Cmd=["c"],
            Env=["PATH=/bin", "EMPTY=", "A=b=c"],
            User="10001:10001",
            WorkingDir="/srv",
            Labels={"k": "v"},
            ExposedPorts={"8080/tcp": {}, "53/udp": {}},
            Volumes={"/data": {}},
            StopSignal="SIGINT",
        ),
        where="x",
    )
    assert diff_ids == (DIGEST,)
    assert found == ImageConfig(
        entrypoint=("/bin/a", "-b"),
        cmd=("c",),
        env=("PATH=/bin", "EMPTY=", "A=b=c"),
        user="10001:10001",
        working_dir="/srv",
        labels={"k": "v"},
        exposed_ports=("53/udp", "8080/tcp"),
        volumes=("/data",),
        stop_signal="SIGINT",
        architecture="amd64",
        os="linux",
    )


def test_a_config_without_wishes_is_read() -> None:
    for empty in ({}, {"Entrypoint": None, "Cmd": None, "Env": None, "Volumes": None}):
        assert parse_config(config(**empty), where="x")[0] == ImageConfig(architecture="amd64", os="linux")


@pytest.mark.parametrize(
    "run",
    [
        {"Entrypoint": "/bin/sh -c x"}, {"Cmd": [1]}, {"Cmd": ["a\0b"]}, {"Env": ["A"]}, {"Env": ["=x"]}, {"Env": ["A=\0"]},
        {"User": 0}, {"User": "a\0b"}, {"Labels": ["a"]}, {"Labels": {"a": 1}}, {"ExposedPorts": {"0/tcp": {}}},
        {"ExposedPorts": {"65536/tcp": {}}}, {"ExposedPorts": {"80/xyz": {}}}, {"ExposedPorts": {"-1": {}}},
        {"ExposedPorts": ["80"]},
        {"StopSignal": "SIG KILL"}, {"StopSignal": "$(id)"}, {"StopSignal": 9},
    ],
)  # fmt: skip
def test_a_config_that_is_not_as_the_specification_says_is_refused(run: dict[str, Any]) -> None:
    with pytest.raises(ImageError):
        parse_config(config(**run), where="x")


@pytest.mark.parametrize("path", ["..", "/..", "/a/../../etc", "relative", "./a", "/a\0b", "/" + "a" * 4095])
def test_cve_2022_23648_a_volume_or_working_directory_outside_is_refused(path: str) -> None:
    with pytest.raises(ImageError):
        parse_config(config(Volumes={path: {}}), where="x")
    with pytest.raises(ImageError):
        parse_config(config(WorkingDir=path), where="x")


@pytest.mark.parametrize("rootfs", [None, {}, {"type": "layers", "diff_ids": ["sha256:x"]}, {"type": "x", "diff_ids": []}])
def test_a_config_whose_layers_cannot_be_verified_is_refused(rootfs: object) -> None:
    with pytest.raises(ImageError):
        parse_config(json.dumps({"rootfs": rootfs}).encode(), where="x")


def test_an_image_for_another_machine_is_refused() -> None:
    check_platform(ImageConfig(architecture="amd64", os="linux"), "x86_64", where="x")
    for other in (ImageConfig(architecture="arm64", os="linux"), ImageConfig(architecture="amd64", os="windows")):
        with pytest.raises(ImageError, match="the image is for"):
            check_platform(other, "x86_64", where="x")
