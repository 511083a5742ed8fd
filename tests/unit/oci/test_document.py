"""JSON of images: bounded and strict."""

from __future__ import annotations

import pytest

from enforcer.errors import ImageError
from enforcer.oci import document
from enforcer.oci.document import DOCUMENT_LIMIT, parse_object


def test_cve_2023_25153_a_document_is_refused_at_one_byte_more_than_the_limit() -> None:
    content = b'{"a":"b"}'
    assert parse_object(content.ljust(DOCUMENT_LIMIT), where="x") == {"a": "b"}
    with pytest.raises(ImageError, match="larger than"):
        parse_object(content.ljust(DOCUMENT_LIMIT + 1), where="x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a":1,"a":1}', "duplicate key 'a'"),
        (b'{"a":{"b":1,"b":2}}', "duplicate key 'b'"),
        (b'{"a":1,"\\u0061":2}', "duplicate key 'a'"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":1}{"a":2}', "Extra data"),
        (b'{"a":\xff}', "UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        ('{"a":1}'.encode("utf-16"), "UTF-8"),
        (b"[]", "an object is expected|a JSON object"),
        (b"null", "null"),
        (b'"a"', "a string"),
        (b"", "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b"[" * 200_000, "nested too deeply|not JSON"),
        (b'{"a":' * 200_000, "nested too deeply|not JSON"),
        (b'{"a":' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_a_document_that_readers_could_disagree_about_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        parse_object(content, where="x")


@pytest.mark.parametrize("value", [1, True, 1.5, [], {}, "a\0b", "\ud800", "a" * (document.TEXT_LIMIT + 1)])
def test_a_string_is_a_string(value: object) -> None:
    with pytest.raises(ImageError):
        document.text({"a": value}, "a", where="x")


@pytest.mark.parametrize("value", ["1", 1.0, True, -1, 1 << 63, None, [], {}])
def test_a_size_is_a_whole_number_of_bytes(value: object) -> None:
    with pytest.raises(ImageError):
        document.size({"a": value}, "a", where="x")


def test_absent_and_null_are_empty() -> None:
    for empty in ({}, {"a": None}):
        assert document.text(empty, "a", where="x") == ""
        assert document.texts(empty, "a", where="x") == ()
        assert document.text_map(empty, "a", where="x") == {}


def test_lists_and_maps_are_bounded_and_typed() -> None:
    with pytest.raises(ImageError, match="more than"):
        document.texts({"a": [""] * (document.ITEMS_LIMIT + 1)}, "a", where="x")
    with pytest.raises(ImageError, match="more than"):
        document.text_map({"a": {str(n): "" for n in range(document.ITEMS_LIMIT + 1)}}, "a", where="x")
    for wrong in ({"a": "b"}, {"a": {"b": 1}}, {"a": [1]}, {"a": 0}):
        with pytest.raises(ImageError):
            document.texts(wrong, "a", where="x")
        with pytest.raises(ImageError):
            document.text_map(wrong, "a", where="x")
