"""What a launch needs beside its program: text of the form "key=value", NUL-separated, keys may repeat.

The form needs no parser that would have to be imported: this module is on the launch path.
"""

from __future__ import annotations


class Record:
    """An ordered multimap of strings."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def one(self, key: str, default: str = "") -> str:
        """Return the first value of a key."""
        return next((value for name, value in self._fields if name == key), default)

    def all(self, key: str) -> list[str]:
        """Return every value of a key, in order."""
        return [value for name, value in self._fields if name == key]

    def encode(self) -> bytes:
        """Raises ValueError for a value that holds a NUL."""
        for key, value in self._fields:
            if "\0" in value:
                raise ValueError(f"{key} holds a NUL character")
        return "\0".join(f"{key}={value}" for key, value in self._fields).encode("utf-8", "surrogateescape")


def decode(content: bytes) -> Record:
    """Read what `encode` wrote. Raises ValueError for anything else."""
    fields = []
    for item in content.decode("utf-8", "surrogateescape").split("\0") if content else []:
        key, separator, value = item.partition("=")
        if not separator:
            raise ValueError("a field without a value")
        fields.append((key, value))
    return Record(fields)
