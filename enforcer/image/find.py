"""From a reference to an image that can be launched: directories, a config, and the digest it is known by."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enforcer.errors import ImageError
from enforcer.image import host, layout, rootfs
from enforcer.image import store as stores
from enforcer.image.archive import Archive, Directory
from enforcer.oci.image import ImageConfig, architecture_of

if TYPE_CHECKING:
    from enforcer.image.archive import Place
    from enforcer.oci.reference import Reference


@dataclass(frozen=True, slots=True)
class Image:
    """An image, ready on this machine.

    reference:  the canonical text; paths in it are absolute.
    repository, tag: for choosing a profile; from what the caller wrote, never from what the image says about itself.
    digest:     "sha256:…" of the manifest (the one chosen for this machine). For host and rootfs a stable identity of what it
                is made of, which is not content-addressed: /usr, or the directory, may change under it. For docker-archive,
                which has no manifest, of the one that is made from its config and layers.
    config:     what the image says about how to run it.
    layers:     absolute host directories, the top-most first, as overlay's lowerdir takes them.
    binds:      (host source, target): read-only mounts that the image consists of beyond its layers.
    inputs:     absolute paths of files and directories whose content decides this result, and the user that its config or a
                profile names in it: while the stat of none of them changes (a missing one stays missing), neither does the
                result. The directories that it consists of are among them: one that was removed is noticed.
    """

    reference: str
    repository: str
    tag: str
    digest: str
    config: ImageConfig
    layers: tuple[str, ...]
    binds: tuple[tuple[str, str], ...] = ()
    inputs: tuple[str, ...] = ()


def find(reference: Reference, *, store: str, machine: str, uid: int) -> Image:
    """Find the image and make it ready in the store.

    store:   directory of the image store; made with mode 0700 if it is missing.
    machine: uname -m, to choose from an index. uid: the caller's effective user id, who owns the store.
    Raises ImageError when the image is missing, damaged, hostile or not for this machine, HostError when the store cannot be
    trusted.
    """
    try:
        return _find(reference, store, machine, uid)
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else str(reference)
        raise ImageError(f"the image cannot be read or unpacked: {error.strerror or error}", where=place) from error


def _find(reference: Reference, store: str, machine: str, uid: int) -> Image:
    if reference.path:
        reference = replace(reference, path=os.path.abspath(reference.path))
    if reference.kind == "host":
        return _host(reference, stores.open_store(store, uid), machine)
    if reference.kind == "rootfs":
        return _rootfs(reference, uid)
    if reference.kind != "docker":
        return _unpacked(reference, stores.open_store(store, uid), machine, owners=uid == 0)
    raise ImageError(
        "pulling is not available yet",
        where=str(reference),
        why="no registry is asked for images in this version",
        hint="use oci:, oci-archive:, docker-archive:, rootfs: or host",
    )


def _host(reference: Reference, store: str, machine: str) -> Image:
    skeleton = host.find_skeleton(store)
    config = ImageConfig(cmd=("/bin/sh",), env=(f"PATH={host.PATH}",), architecture=architecture_of(machine)[0], os="linux")
    return Image(
        str(reference),
        "host",
        "",
        skeleton.digest,
        config,
        (skeleton.directory,),
        binds=skeleton.binds,
        inputs=(*skeleton.inputs, skeleton.directory),
    )


def _unpacked(reference: Reference, store: str, machine: str, *, owners: bool) -> Image:
    place: Place = Directory(reference.path) if reference.kind == "oci" else Archive(reference.path)
    with place:
        if reference.kind == "docker-archive":
            repository, tag = reference.repository, reference.tag
            done = layout.unpack_saved(place, repository, tag, store=store, machine=machine, owners=owners)
        else:
            done = layout.unpack_layout(place, reference.tag, store=store, machine=machine, owners=owners)
    return Image(
        str(reference),
        reference.repository,
        reference.tag,
        done.digest,
        done.config,
        done.layers,
        inputs=(*place.inputs, *done.layers),
    )


def _rootfs(reference: Reference, uid: int) -> Image:
    directory, digest = rootfs.find_rootfs(reference.path, uid)
    inputs = (directory, *(os.path.join(directory, name) for name in ("etc", "etc/passwd", "etc/group")))
    return Image(str(replace(reference, path=directory)), "", "", digest, ImageConfig(), (directory,), inputs=inputs)
