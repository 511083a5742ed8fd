"""JSON documents of images, read strictly: bounded, no duplicate key, no value of another type than the field's.

A document that two readers could understand in two ways is refused (CVE-2021-41190 and its kin).
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from enforcer.errors import ImageError

DOCUMENT_LIMIT = 8 << 20  # bytes
ITEMS_LIMIT = 10_000  # entries of one list or object that we use
TEXT_LIMIT = 1 << 20  # characters of one string that we use

Object = dict[str, Any]


def parse_object(content: bytes, *, where: str) -> Object:
    """Read one JSON object of at most DOCUMENT_LIMIT bytes.

    Raises ImageError, naming `where`, for anything else: larger, not UTF-8, not an object, a duplicate key, NaN, nested beyond
    the parser's own limit.
    """
    value = parse_json(content, where=where)
    if not isinstance(value, dict):
        raise ImageError(f"a JSON object is expected, not {_kind(value)}", where=where)
    return value


def parse_json(content: bytes, *, where: str) -> Any:  # noqa: ANN401  any JSON value; the callers check its type
    """Read one JSON value with the limits of `parse_object`."""
    if len(content) > DOCUMENT_LIMIT:
        raise ImageError(f"the document is larger than {DOCUMENT_LIMIT} bytes", where=where)
    try:
        return json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ImageError("the document is not UTF-8", where=where, why=str(error)) from None
    except RecursionError:
        raise ImageError("the document is nested too deeply", where=where) from None
    except ValueError as error:
        raise ImageError("the document is not JSON as images use it", where=where, why=str(error)) from None


def _unique(pairs: list[tuple[str, Any]]) -> Object:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        again = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"duplicate key {again[:80]!r}")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def text(document: Object, key: str, *, where: str) -> str:
    """Read the string at `key`; "" when it is absent or null."""
    value = document.get(key)
    return "" if value is None else _text(value, f"{where}: {key}")


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise ImageError(f"a string is expected, not {_kind(value)}", where=where)
    if len(value) > TEXT_LIMIT:
        raise ImageError(f"the string is longer than {TEXT_LIMIT} characters", where=where)
    if "\0" in value:
        raise ImageError("the string holds a NUL character", where=where, why="the kernel would see only what is before it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ImageError(
            "the string holds half of a character", where=where, why="a lone surrogate cannot be written as UTF-8"
        ) from None
    return value


def texts(document: Object, key: str, *, where: str) -> tuple[str, ...]:
    """Read the list of strings at `key`; () when it is absent or null."""
    return tuple(_text(item, f"{where}: {key}[{index}]") for index, item in enumerate(items(document, key, where=where)))


def text_map(document: Object, key: str, *, where: str) -> dict[str, str]:
    """Read the object of strings at `key`; {} when it is absent or null."""
    value = child(document, key, where=where)
    return {_text(name, f"{where}: {key}"): _text(item, f"{where}: {key}.{name[:80]}") for name, item in value.items()}


def child(document: Object, key: str, *, where: str) -> Object:
    """Read the object at `key`; {} when it is absent or null."""
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ImageError(f"an object is expected, not {_kind(value)}", where=f"{where}: {key}")
    if len(value) > ITEMS_LIMIT:
        raise ImageError(f"more than {ITEMS_LIMIT} entries", where=f"{where}: {key}")
    return value


def items(document: Object, key: str, *, where: str) -> list[Any]:
    """Read the list at `key`; [] when it is absent or null."""
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ImageError(f"a list is expected, not {_kind(value)}", where=f"{where}: {key}")
    if len(value) > ITEMS_LIMIT:
        raise ImageError(f"more than {ITEMS_LIMIT} entries", where=f"{where}: {key}")
    return value


def size(document: Object, key: str, *, where: str) -> int:
    """Read the number of bytes at `key`: an integer from 0 to 2^63 - 1."""
    value = document.get(key)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ImageError("a size in bytes is expected", where=f"{where}: {key}", why=f"it is {str(value)[:40]!r}")
    return value
