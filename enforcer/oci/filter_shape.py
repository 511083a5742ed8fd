"""The shape of a filter document: bounded JSON without duplicate or unknown keys, and values of the expected kinds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from enforcer.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SIZE_LIMIT = 4 << 20  # bytes of a document


def decode(data: bytes, source: str) -> object:
    """Read one JSON value. Raises ProfileError, naming `source`, when it is too large, not JSON, or has a key twice."""
    if len(data) > SIZE_LIMIT:
        raise ProfileError(f"the filter is larger than {SIZE_LIMIT} bytes", where=source)
    try:
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProfileError("the filter is not JSON as runtimes read it", where=source, why=str(error)) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} is there twice")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def members(value: object, where: str, keys: str, *, required: Collection[str] = ()) -> Mapping[str, Any]:
    """Read an object whose keys are all among `keys`, words in one string; those of `required` are there and not null."""
    if not isinstance(value, dict):
        raise ProfileError("an object is expected", where=where, why=f"it is {str(value)[:40]!r}")
    for key in value:
        if key not in keys.split():
            raise ProfileError(f"unknown key {key[:80]!r}", where=where, why="the keys here are " + ", ".join(keys.split()))
    for key in required:
        if value.get(key) is None:
            raise ProfileError(f"the key {key!r} is missing", where=where, hint=f"add {key}")
    return value


def items(document: Mapping[str, Any], key: str, where: str) -> list[Any]:
    """Read a list; [] when it is absent or null, as Go writes an empty one."""
    value = document.get(key)
    if value is not None and not isinstance(value, list):
        raise ProfileError("a list is expected", where=f"{where}: {key}", why=f"it is {str(value)[:40]!r}")
    return value or []


def texts(document: Mapping[str, Any], key: str, where: str) -> list[str]:
    """Read a list of strings; [] when it is absent or null."""
    return [text(item, f"{where}: {key}[{index}]") for index, item in enumerate(items(document, key, where))]


def text(value: object, where: str) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise ProfileError("a string is expected", where=where, why=f"it is {str(value)[:40]!r}")
    return value


def integer(value: object, where: str, least: int, most: int) -> int:
    """Read a whole number between two bounds, both included."""
    if type(value) is not int or not least <= value <= most:
        raise ProfileError(f"a number from {least} to {most} is expected", where=where, why=f"it is {str(value)[:40]!r}")
    return value
