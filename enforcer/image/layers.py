"""Unpacked layers in the store: each appears complete and verified by its digests, or not at all."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from enforcer.errors import ImageError
from enforcer.image import store as stores
from enforcer.image.unpack import extract

if TYPE_CHECKING:
    from enforcer.image.stream import Stream


@dataclass(frozen=True, slots=True)
class LayerName:
    """What a layer must be, and where it goes. All are checked digests.

    diff_id:  of the uncompressed tar; the layer's name in the store when it stands for itself.
    stack_id: of the diff_ids of this layer and of all below it; its name when directories that it implies took their owner and
              mode from the layers below, so that it is right on top of those only.
    digest:   of the layer as it comes.
    """

    diff_id: str
    stack_id: str
    digest: str


def layer_directory(store: str, name: LayerName) -> str:
    """Where the layer is unpacked; "" when it is not."""
    for digest in (name.diff_id, name.stack_id):
        path = stores.layer_path(store, digest)
        if os.path.isdir(path):
            return path
    return ""


def unpack_layer(store: str, stream: Stream, name: LayerName, *, below: tuple[str, ...], owners: bool) -> str:
    """Unpack one layer; return its directory. The caller holds the store's lock.

    below:  directories of the layers below it, the top-most first.
    owners: give files the owners the archive says (needs CAP_CHOWN); without, they are the caller's.
    Raises ImageError when the layer is damaged, hostile, too large, or another one than its name says.
    """
    with stores.unfinished(store, "layer") as place, stores.unfinished(store, "layer.json") as record_place:
        os.mkdir(place, 0o700)
        record = extract(stream, place, owners=owners, below=below)
        # Verified when it was copied, and again now: what lies on a disk may have changed since (CVE-2026-35172).
        _check_digest(stream.where, "layer", stream.source_digest(), name.digest)
        _check_digest(stream.where, "uncompressed layer", stream.digest(), name.diff_id)
        with open(record_place, "x", encoding="ascii") as output:
            json.dump(asdict(record), output)
        final = stores.layer_path(store, name.stack_id if record.implied else name.diff_id)
        stores.publish(record_place, final + ".json")
        stores.publish(place, final)
    return final


def _check_digest(where: str, what: str, found: str, expected: str) -> None:
    if found != expected:
        raise ImageError(f"the {what} is not the one that the image names", where=where, why=f"it is {found}, not {expected}")
