"""The archive of `docker save`: manifest.json, which names configs, layers and tags. A manifest with digests is made of it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from enforcer.errors import ImageError
from enforcer.oci import document
from enforcer.oci.reference import parse_reference


@dataclass(frozen=True, slots=True)
class SavedImage:
    """One image of the archive. config and layers: names of files in it, the lowest layer first. names: "repository:tag"."""

    config: str
    layers: tuple[str, ...]
    names: tuple[str, ...]


def parse_saved(content: bytes, *, where: str) -> tuple[SavedImage, ...]:
    """Read manifest.json."""
    images = document.parse_json(content, where=where)
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        raise ImageError("a list of images is expected", where=where)
    return tuple(
        SavedImage(
            config=document.text(image, "Config", where=where),
            layers=document.texts(image, "Layers", where=where),
            names=document.texts(image, "RepoTags", where=where),
        )
        for image in images
    )


def choose_saved(images: tuple[SavedImage, ...], repository: str, tag: str, *, where: str) -> SavedImage:
    """Return the image of that name; without a name, the only one.

    Raises ImageError, listing the names there are.
    """
    names = {name: image for image in images for name in image.names}
    if repository:
        wanted = f"{repository}:{tag}"
        fits = [image for name, image in names.items() if canonical_name(name) == wanted]
    else:
        fits = list(images)
    if len(fits) == 1:
        return fits[0]
    what = f"no image named {repository}:{tag} in the archive" if repository else f"the archive has {len(images)} images"
    there = ", ".join(sorted(names)) or "no names"
    raise ImageError(
        what, where=where, why=f"it has: {there}"[:500], hint="" if repository else "write docker-archive:FILE:name:tag"
    )


def canonical_name(name: str) -> str:
    """Write "busybox:1" as "docker.io/library/busybox:1"; "" for what is not a name with a tag."""
    try:
        reference = parse_reference(f"docker://{name}")
    except ImageError:
        return ""
    return f"{reference.repository}:{reference.tag}"


def make_manifest(config: tuple[str, int], layers: tuple[tuple[str, int, str], ...]) -> bytes:
    """Write the OCI manifest for a config (digest, size) and layers (digest, size, codec), always in the same bytes."""
    suffix = {"": "", "gzip": "+gzip", "zstd": "+zstd"}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config[0], "size": config[1]},
        "layers": [
            {"mediaType": f"application/vnd.oci.image.layer.v1.tar{suffix[codec]}", "digest": digest, "size": size}
            for digest, size, codec in layers
        ],
    }
    return json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
