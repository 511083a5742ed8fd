"""The documents of an image: index, manifest, config (OCI image-spec v1.1; Docker's schema 2, which it grew from).

Pure: bytes in, values out. Nothing in here is trusted: every field is bounded, and what two readers could understand in two
ways is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from enforcer.errors import ImageError
from enforcer.oci import document
from enforcer.oci.reference import parse_digest
from enforcer.oci.user import resolve_user as resolve_user  # noqa: PLC0414  part of what this module offers

if TYPE_CHECKING:
    from collections.abc import Mapping

Codec = Literal["", "gzip", "zstd"]

_OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_INDEXES = frozenset({_OCI_INDEX, _DOCKER_INDEX})
_MANIFESTS = frozenset({_OCI_MANIFEST, _DOCKER_MANIFEST})
_CONFIGS = frozenset({"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"})
_CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "application/vnd.oci.image.layer.v1.tar": "",
        "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
        "application/vnd.docker.image.rootfs.diff.tar": "",
        "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
    }
)
_ARCHITECTURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "x86_64": ("amd64", ""),
        "aarch64": ("arm64", "v8"),
        "armv7l": ("arm", "v7"),
        "i686": ("386", ""),
        "ppc64le": ("ppc64le", ""),
        "riscv64": ("riscv64", ""),
        "s390x": ("s390x", ""),
    }
)

LAYERS_LIMIT = 500  # the kernel's overlay takes that many lower directories

_ENVIRONMENT_NAME = re.compile(r"[^=\0]+")
_PORT = re.compile(r"([0-9]{1,5})(?:/(?:tcp|udp|sctp))?")
_SIGNAL = re.compile(r"(?:SIG)?[A-Z0-9+-]{1,16}|[0-9]{1,2}")


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says about how to run it. It is a wish of the image's maker; nothing in it widens a policy.

    env: "NAME=value". user: as written, see `resolve_user`. working_dir and volumes: absolute, without "..", or working_dir "".
    exposed_ports: "8080/tcp". stop_signal: "SIGTERM", "TERM", "15" or "".
    architecture, os: the image specification's names ("amd64", "linux").
    """

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    architecture: str = ""
    os: str = ""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A document or layer, by what it must hash to. platform: (os, architecture, variant), empty strings when not said."""

    media_type: str
    digest: str
    size: int
    platform: tuple[str, str, str] = ("", "", "")
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Index:
    """Manifests to choose from."""

    manifests: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image: its config and its layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


def parse_index_or_manifest(content: bytes, *, where: str, media_type: str = "") -> Index | Manifest:
    """Read an index or a manifest.

    media_type: what the descriptor or the server said it is; "" for the index.json of a layout, which says it itself.
    Raises ImageError when the document is both (CVE-2021-41190), is of another type than it was said to be, or is neither.
    """
    doc = document.parse_object(content, where=where)
    said = document.text(doc, "mediaType", where=where)
    if media_type and said and media_type != said:
        raise ImageError(f"the document says it is {said!r}", where=where, why=f"it was offered as {media_type!r}")
    _version_2(doc, where)
    if "manifests" in doc and ("layers" in doc or "config" in doc):
        raise ImageError("the document is an index and a manifest at once", where=where, why="two readers would run two images")
    if "fsLayers" in doc or "history" in doc or "signatures" in doc:
        raise ImageError("the document has fields of Docker's schema 1", where=where, why="schema 1 is not content-addressed")
    kind = said or media_type
    if "manifests" in doc and kind in _INDEXES | {""}:
        return Index(_descriptors(doc, "manifests", where))
    if "layers" in doc and kind in _MANIFESTS | {""}:
        return _manifest(doc, where)
    raise ImageError(f"neither an image index nor an image manifest: {kind or 'no mediaType'!r}", where=where)


def _version_2(doc: document.Object, where: str) -> None:
    if doc.get("schemaVersion") != 2 or isinstance(doc.get("schemaVersion"), bool):  # noqa: PLR2004  image-spec: MUST be 2
        raise ImageError("schemaVersion is not 2", where=where, why=f"it is {str(doc.get('schemaVersion'))[:40]!r}")


def _manifest(doc: document.Object, where: str) -> Manifest:
    config = _descriptor(document.child(doc, "config", where=where), f"{where}: config")
    if config.media_type not in _CONFIGS:
        raise ImageError(
            "the manifest is not a container image's",
            where=where,
            why=f"its config is {config.media_type!r}: another kind of artifact",
        )
    layers = _descriptors(doc, "layers", where)
    if len(layers) > LAYERS_LIMIT:
        raise ImageError(f"more than {LAYERS_LIMIT} layers", where=where, why="the kernel's overlay does not take more")
    for layer in layers:
        codec_of(layer, where=where)
    return Manifest(config, layers)


def _descriptors(doc: document.Object, key: str, where: str) -> tuple[Descriptor, ...]:
    if doc[key] is None:
        raise ImageError("a list is expected, not null", where=f"{where}: {key}")
    places = enumerate(document.items(doc, key, where=where))
    return tuple(_descriptor(item, f"{where}: {key}[{index}]") for index, item in places)


def _descriptor(value: object, where: str) -> Descriptor:
    if not isinstance(value, dict):
        raise ImageError("a descriptor is expected", where=where)
    if value.get("urls"):
        raise ImageError(
            "the descriptor has urls",
            where=where,
            why="content from elsewhere is never fetched, and no credential sent there (CVE-2020-15157)",
        )
    platform = document.child(value, "platform", where=where)
    return Descriptor(
        media_type=document.text(value, "mediaType", where=where),
        digest=parse_digest(document.text(value, "digest", where=where), where=f"{where}: digest"),
        size=document.size(value, "size", where=where),
        platform=tuple(document.text(platform, key, where=where) for key in ("os", "architecture", "variant")),  # type: ignore[arg-type]
        annotations=MappingProxyType(document.text_map(value, "annotations", where=where)),
    )


def codec_of(layer: Descriptor, *, where: str) -> Codec:
    """How the layer is compressed.

    Raises ImageError for what is not a tar layer of the image itself (foreign and non-distributable layers, other types).
    """
    if layer.media_type in _CODECS:
        return _CODECS[layer.media_type]
    foreign = "foreign" in layer.media_type or "nondistributable" in layer.media_type
    raise ImageError(
        f"the layer's type is {layer.media_type!r}",
        where=f"{where}: {layer.digest}",
        why="a foreign layer is not in the image; what is not in the image is not run"
        if foreign
        else "tar, tar+gzip and tar+zstd are read",
    )


def choose_platform(index: Index, machine: str, *, where: str) -> Descriptor:
    """Return the manifest (or nested index) for `machine` (uname -m): the exact variant, else one that says none.

    Raises ImageError, listing what there is, when none or more than one fits.
    """
    architecture, variant = architecture_of(machine)
    usable = [m for m in index.manifests if m.media_type in _MANIFESTS | _INDEXES]
    fits = [m for m in usable if m.platform[:2] == ("linux", architecture) and m.platform[2] in {"", variant}]
    exact = [m for m in fits if m.platform[2] == variant]
    fits = exact or fits
    if not fits and len(usable) == 1 and usable[0].platform == ("", "", ""):
        fits = usable
    if len({m.digest for m in fits}) == 1:
        return fits[0]
    there = ", ".join(sorted({"/".join(filter(None, m.platform)) or "no platform said" for m in usable})) or "no image"
    raise ImageError(
        f"{'more than one' if fits else 'no'} image for linux/{architecture} in the index",
        where=where,
        why=f"it has: {there}"[:500],
    )


def architecture_of(machine: str) -> tuple[str, str]:
    """The image specification's (architecture, variant) for uname's machine."""
    if machine not in _ARCHITECTURES:
        raise ImageError(f"images for machine {machine!r} are not known", why=f"known: {', '.join(sorted(_ARCHITECTURES))}")
    return _ARCHITECTURES[machine]


def parse_config(content: bytes, *, where: str) -> tuple[ImageConfig, tuple[str, ...]]:
    """Read an image's config: how to run it, and the digests of its uncompressed layers, the lowest first."""
    doc = document.parse_object(content, where=where)
    run = document.child(doc, "config", where=where)
    at = f"{where}: config"
    config = ImageConfig(
        entrypoint=document.texts(run, "Entrypoint", where=at),
        cmd=document.texts(run, "Cmd", where=at),
        env=_environment(document.texts(run, "Env", where=at), at),
        user=document.text(run, "User", where=at),
        working_dir=_directory(document.text(run, "WorkingDir", where=at), f"{at}: WorkingDir"),
        labels=MappingProxyType(document.text_map(run, "Labels", where=at)),
        exposed_ports=_ports(document.child(run, "ExposedPorts", where=at), at),
        volumes=tuple(_directory(path, f"{at}: Volumes") for path in sorted(document.child(run, "Volumes", where=at))),
        stop_signal=_signal(document.text(run, "StopSignal", where=at), at),
        architecture=document.text(doc, "architecture", where=where),
        os=document.text(doc, "os", where=where),
    )
    rootfs = document.child(doc, "rootfs", where=where)
    if document.text(rootfs, "type", where=where) != "layers":
        raise ImageError('rootfs.type is not "layers"', where=where)
    diff_ids = document.texts(rootfs, "diff_ids", where=f"{where}: rootfs")
    return config, tuple(parse_digest(digest, where=f"{where}: rootfs.diff_ids") for digest in diff_ids)


def check_platform(config: ImageConfig, machine: str, *, where: str) -> None:
    """Refuse an image that this machine does not run: its programs would fail in ways that look like denials."""
    architecture, _ = architecture_of(machine)
    if config.os not in {"", "linux"} or config.architecture not in {"", architecture}:
        raise ImageError(
            f"the image is for {config.os[:40]}/{config.architecture[:40]}",
            where=where,
            why=f"this machine runs linux/{architecture}",
        )


def _environment(entries: tuple[str, ...], where: str) -> tuple[str, ...]:
    for entry in entries:
        name, equals, _ = entry.partition("=")
        if not equals or _ENVIRONMENT_NAME.fullmatch(name) is None:
            raise ImageError(f"not NAME=value: {entry[:80]!r}", where=f"{where}: Env")
    return entries


def _directory(path: str, where: str) -> str:
    if path and (not path.startswith("/") or ".." in path.split("/") or "\0" in path or len(path) > 4095):  # noqa: PLR2004  PATH_MAX - 1
        raise ImageError(
            f"not a directory of the image: {path[:80]!r}", where=where, why="it must be absolute, without .. (CVE-2022-23648)"
        )
    return path


def _ports(ports: document.Object, where: str) -> tuple[str, ...]:
    for port in ports:
        match = _PORT.fullmatch(port)
        if match is None or not 1 <= int(match[1]) <= 65535:  # noqa: PLR2004  a port
            raise ImageError(f"not a port: {port[:80]!r}", where=f"{where}: ExposedPorts", why='it is written "8080/tcp"')
    return tuple(sorted(ports))


def _signal(name: str, where: str) -> str:
    if name and _SIGNAL.fullmatch(name) is None:
        raise ImageError(f"not a signal: {name[:80]!r}", where=f"{where}: StopSignal")
    return name
