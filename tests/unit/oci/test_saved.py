"""manifest.json of `docker save`."""

from __future__ import annotations

import json

import pytest

from enforcer.errors import ImageError
from enforcer.oci.image import Manifest, parse_index_or_manifest
from enforcer.oci.saved import SavedImage, choose_saved, make_manifest, parse_saved

DIGEST = "sha256:" + "ab" * 32
WEB = SavedImage("a.json", ("b.tar",), ("shop/web:1", "shop/web:latest"))
BUSYBOX = SavedImage("c.json", ("d.tar",), ("busybox:1",))


def test_images_are_read_and_chosen_by_name() -> None:
    text = json.dumps([{"Config": "a.json", "Layers": ["b.tar"], "RepoTags": ["shop/web:1", "shop/web:latest"]}])
    assert parse_saved(text.encode(), where="x") == (WEB,)
    assert choose_saved((WEB,), "", "", where="x") == WEB
    assert choose_saved((WEB, BUSYBOX), "docker.io/library/busybox", "1", where="x") == BUSYBOX


@pytest.mark.parametrize(
    ("images", "repository", "tag"),
    [
        ((), "", ""),
        ((WEB, BUSYBOX), "", ""),
        ((WEB, BUSYBOX), "docker.io/shop/web", "2"),
        ((WEB, BUSYBOX), "docker.io/library/shop", "1"),
        ((SavedImage("a", (), ("Not A Name",)),), "docker.io/library/a", "1"),
    ],
)
def test_no_image_or_more_than_one_is_refused(images: tuple[SavedImage, ...], repository: str, tag: str) -> None:
    with pytest.raises(ImageError):
        choose_saved(images, repository, tag, where="x")


@pytest.mark.parametrize(
    "text", ["{}", "[1]", '[{"Config":1}]', '[{"Config":"a","Layers":"b"}]', '[{"Config":"a","Config":"b"}]', "["]
)
def test_a_list_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(ImageError):
        parse_saved(text.encode(), where="x")


def test_the_manifest_made_of_it_reads_as_one_and_is_always_the_same() -> None:
    content = make_manifest((DIGEST, 5), ((DIGEST, 7, ""), (DIGEST, 8, "gzip")))
    found = parse_index_or_manifest(content, where="x")
    assert isinstance(found, Manifest)
    assert [layer.size for layer in found.layers] == [7, 8]
    assert content == make_manifest((DIGEST, 5), ((DIGEST, 7, ""), (DIGEST, 8, "gzip")))
