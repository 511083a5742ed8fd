"""From an OCI layout or a `docker save` archive to verified blobs and unpacked layers in the store.

1. Choose the manifest by what the caller wrote and by the machine.
2. Verify manifest and config by digest.
3. Copy what the store lacks, hashing while reading.
4. Unpack what is not unpacked yet, verifying both digests of each layer.
Nothing that was not verified is used, and what was verified is used by its digest only.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enforcer.errors import ImageError
from enforcer.image import store as stores
from enforcer.image.archive import Part, Place, read_document
from enforcer.image.layers import LayerName, layer_directory, unpack_layer
from enforcer.image.stream import CHUNK, Stream
from enforcer.oci import document as json_documents
from enforcer.oci import image as documents
from enforcer.oci import saved
from enforcer.oci.image import Descriptor, Manifest

if TYPE_CHECKING:
    from enforcer.oci.image import Codec, ImageConfig

INDEX_DEPTH = 4
_REF_NAME = "org.opencontainers.image.ref.name"
_FULL_NAME = "io.containerd.image.name"  # docker save since 25, ctr export: the whole name, where ref.name has the tag alone
_MAGIC: tuple[tuple[bytes, Codec], ...] = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))


@dataclass(frozen=True, slots=True)
class Unpacked:
    """digest: of the manifest. layers: absolute directories, the top-most first, each once."""

    digest: str
    config: ImageConfig
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was chosen and verified. files: digest → name in the place, of the layers."""

    digest: str
    manifest_bytes: bytes
    config_bytes: bytes
    manifest: Manifest
    config: ImageConfig
    names: tuple[LayerName, ...]
    files: dict[str, str]


def unpack_layout(place: Place, name: str, *, store: str, machine: str, owners: bool) -> Unpacked:
    """Make ready the image that an OCI layout calls `name` ("" for its only one)."""
    return _store(place, _choose(place, name, machine), store, owners=owners)


def unpack_saved(place: Place, repository: str, tag: str, *, store: str, machine: str, owners: bool) -> Unpacked:
    """Make ready the image repository:tag ("" for its only one) of a docker archive."""
    if place.has("oci-layout"):
        name = f"{repository}:{tag}" if repository else ""
        return _store(place, _choose(place, name, machine), store, owners=owners)
    return _store(place, _choose_saved(place, repository, tag, machine), store, owners=owners)


def _choose(place: Place, name: str, machine: str) -> _Found:
    _check_version(place)
    where = f"{place.where}: index.json"
    document = documents.parse_index_or_manifest(read_document(place, "index.json"), where=where)
    if isinstance(document, Manifest):
        raise ImageError("index.json is a manifest, not an index", where=where)
    index = documents.Index(tuple(m for m in document.manifests if not name or _is_named(m, name)))
    if not index.manifests:
        there = sorted({_name(m) for m in document.manifests} - {""})
        raise ImageError(
            f"no image named {name!r} in the layout", where=where, why=f"it has: {', '.join(there) or 'no names'}"[:500]
        )
    if not name and len(index.manifests) > 1 and len({_name(m) for m in index.manifests}) > 1:
        there = sorted(_name(m) or "(no name)" for m in index.manifests)
        raise ImageError(
            "the layout has more than one image",
            where=where,
            why=f"it has: {', '.join(there)}"[:500],
            hint="write its tag after the path",
        )
    for _ in range(INDEX_DEPTH):
        chosen = index.manifests[0] if len(index.manifests) == 1 else documents.choose_platform(index, machine, where=where)
        where = f"{place.where}: {chosen.digest}"
        content = _verified(place, chosen)
        document = documents.parse_index_or_manifest(content, where=where, media_type=chosen.media_type)
        if isinstance(document, Manifest):
            return _with_config(place, chosen.digest, content, document, machine)
        index = document
    raise ImageError(f"indexes are nested deeper than {INDEX_DEPTH}", where=where)


def _check_version(place: Place) -> None:
    where = f"{place.where}: oci-layout"
    layout = json_documents.parse_object(read_document(place, "oci-layout"), where=where)
    if json_documents.text(layout, "imageLayoutVersion", where=where) != "1.0.0":
        raise ImageError("not an OCI image layout of version 1.0.0", where=where)


def _name(manifest: Descriptor) -> str:
    return manifest.annotations.get(_FULL_NAME) or manifest.annotations.get(_REF_NAME, "")


def _is_named(manifest: Descriptor, name: str) -> bool:
    names = {manifest.annotations.get(key, "") for key in (_FULL_NAME, _REF_NAME)}
    return name in names or name in {saved.canonical_name(given) for given in names if given}


def _with_config(place: Place, digest: str, content: bytes, manifest: Manifest, machine: str) -> _Found:
    where = f"{place.where}: {manifest.config.digest}"
    config_bytes = _verified(place, manifest.config)
    config, diff_ids = documents.parse_config(config_bytes, where=where)
    documents.check_platform(config, machine, where=where)
    if len(diff_ids) != len(manifest.layers):
        raise ImageError(f"the manifest has {len(manifest.layers)} layers, the config {len(diff_ids)}", where=where)
    files = {layer.digest: _blob_name(layer.digest) for layer in manifest.layers}
    return _Found(digest, content, config_bytes, manifest, config, _layer_names(manifest, diff_ids), files)


def _layer_names(manifest: Manifest, diff_ids: tuple[str, ...]) -> tuple[LayerName, ...]:
    layers = zip(manifest.layers, diff_ids, strict=True)
    return tuple(
        LayerName(diff_id, _sha256(" ".join(diff_ids[: number + 1]).encode()), layer.digest)
        for number, (layer, diff_id) in enumerate(layers)
    )


def _choose_saved(place: Place, repository: str, tag: str, machine: str) -> _Found:
    where = f"{place.where}: manifest.json"
    images = saved.parse_saved(read_document(place, "manifest.json"), where=where)
    image = saved.choose_saved(images, repository, tag, where=where)
    config_bytes = read_document(place, image.config)
    digest = _sha256(config_bytes)
    if digest[7:] not in image.config:  # HEX.json before, blobs/sha256/HEX after
        raise ImageError(
            "the config is not the one that its name says", where=f"{place.where}: {image.config[:200]}", why=f"it is {digest}"
        )
    where = f"{place.where}: {digest}"
    config, diff_ids = documents.parse_config(config_bytes, where=where)
    documents.check_platform(config, machine, where=where)
    if len(diff_ids) != len(image.layers):
        raise ImageError(f"manifest.json has {len(image.layers)} layers, the config {len(diff_ids)}", where=where)
    layers = [_describe(place, name, diff_id) for name, diff_id in zip(image.layers, diff_ids, strict=True)]
    content = saved.make_manifest((digest, len(config_bytes)), tuple(layers))
    manifest = documents.parse_index_or_manifest(content, where=where)
    if not isinstance(manifest, Manifest):
        raise ImageError("the archive gives no manifest", where=where)
    files = {layer[0]: name for layer, name in zip(layers, image.layers, strict=True)}
    return _Found(_sha256(content), content, config_bytes, manifest, config, _layer_names(manifest, diff_ids), files)


def _describe(place: Place, name: str, diff_id: str) -> tuple[str, int, Codec]:
    """Return (digest, size, codec) of a layer. A plain one must have its diff_id as digest; copying verifies that."""
    part = place.open(name)
    head = part.read(4)
    codec: Codec = next((codec for magic, codec in _MAGIC if head.startswith(magic)), "")
    if not codec:
        return diff_id, part.size, codec
    total = hashlib.sha256(head)
    while chunk := part.read(CHUNK):
        total.update(chunk)
    return f"sha256:{total.hexdigest()}", part.size, codec


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _blob_name(digest: str) -> str:
    return digest.replace("sha256:", "blobs/sha256/", 1)


def _verified(place: Place, descriptor: Descriptor) -> bytes:
    """Read a document of the layout: exactly the bytes that its descriptor promises."""
    content = read_document(place, _blob_name(descriptor.digest))
    if len(content) != descriptor.size or _sha256(content) != descriptor.digest:
        raise _altered(place.where, descriptor, _sha256(content), len(content))
    return content


def _altered(where: str, descriptor: Descriptor, digest: str, size: int) -> ImageError:
    return ImageError(
        "a blob is not what its descriptor says",
        where=f"{where}: {descriptor.digest}",
        why=f"it is {digest} of {size} bytes, {descriptor.size} were promised",
        hint="fetch the image again; this copy is damaged or was changed",
    )


def _store(place: Place, found: _Found, store: str, *, owners: bool) -> Unpacked:
    documents_there = all(os.path.exists(stores.blob_path(store, d)) for d in (found.digest, found.manifest.config.digest))
    directories = tuple(layer_directory(store, name) for name in found.names)
    if not documents_there or "" in directories:
        with stores.locked(store):
            _keep(store, found.manifest.config.digest, found.config_bytes)
            directories = ()  # the lowest first
            for layer, name in zip(found.manifest.layers, found.names, strict=True):
                directory = layer_directory(store, name)
                if not directory:
                    blob = _blob(place, found.files[layer.digest], layer, store)
                    directory = _unpack(blob, layer, name, (store, _stack(directories)), owners=owners)
                directories = (*directories, directory)
            _keep(store, found.digest, found.manifest_bytes)
    return Unpacked(found.digest, found.config, _stack(directories))


def _keep(store: str, digest: str, content: bytes) -> None:
    if os.path.exists(stores.blob_path(store, digest)):
        return
    with stores.unfinished(store, "blob") as path:
        with open(path, "xb") as output:
            output.write(content)
        stores.publish(path, stores.blob_path(store, digest))


def _blob(place: Place, file: str, layer: Descriptor, store: str) -> str:
    blob = stores.blob_path(store, layer.digest)
    if not os.path.exists(blob):
        _copy(place, place.open(file), layer, store)
    return blob


def _unpack(blob: str, layer: Descriptor, name: LayerName, at: tuple[str, tuple[str, ...]], *, owners: bool) -> str:
    store, below = at
    with open(blob, "rb") as source:
        stream = Stream(source, documents.codec_of(layer, where=blob), where=f"layer {layer.digest}")
        return unpack_layer(store, stream, name, below=below, owners=owners)


def _copy(place: Place, part: Part, layer: Descriptor, store: str) -> None:
    if part.size != layer.size:
        raise _altered(place.where, layer, "something", part.size)
    total = hashlib.sha256()
    with stores.unfinished(store, "blob") as path:
        with open(path, "xb") as output:
            while chunk := part.read(1 << 20):
                total.update(chunk)
                output.write(chunk)
        digest = f"sha256:{total.hexdigest()}"
        if digest != layer.digest:
            raise _altered(place.where, layer, digest, part.size)
        stores.publish(path, stores.blob_path(store, layer.digest))


def _stack(directories: tuple[str, ...]) -> tuple[str, ...]:
    """Top-most first. overlayfs takes no directory twice: of equal layers the upper one says all that the lower one does."""
    layers: dict[str, None] = {}
    for path in reversed(directories):
        layers[path] = None
        if _hides_all(path):
            break
    return tuple(layers)


def _hides_all(path: str) -> bool:
    """An opaque root: overlayfs merges the roots of layers whatever they are marked with, so the rest is left out."""
    with suppress(OSError):
        return os.getxattr(path, "user.overlay.opaque") == b"y"
    return False
