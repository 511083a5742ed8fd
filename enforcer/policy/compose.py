"""YAML text → nodes. Nothing is constructed: libyaml (or PyYAML) gives events, and their meaning is decided here.

Scalars follow the core schema of YAML 1.2.2, section 10.3.2: `no` and `22:22` are strings, 010 is ten, 0o17 is fifteen. What
two readers of YAML could understand in two ways is refused: anchors and aliases (also the "billion laughs"), tags, directives,
a second document, duplicate keys, keys that are not strings. JSON is read as the YAML that it is.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from enforcer.policy.source import LINE_BREAK, UNPRINTABLE, Mapping, Node, Scalar, Sequence, Source, describe, quoted, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Position = tuple[int, int]  # line and column

SIZE_LIMIT = 1 << 20  # bytes of one document
DEPTH_LIMIT = 32
NODE_LIMIT = 50_000
DIGIT_LIMIT = 64  # of one number
PATH_LIMIT = 512  # characters of all keys on the way to one value

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_UNUSUAL = re.compile(r"[^\t\n\r -~]")
_WHY_HIDDEN = "control, format and bidirectional characters hide what a line says"
_WHY_ALIAS = "aliases make one line mean many things, and a small document large"


def compose(data: bytes, name: str) -> Node | None:
    """Read one document of UTF-8; None when it holds nothing.

    Raises ProfileError with the place for everything that is not a document of the language, whatever the bytes are.
    """
    if len(data) > SIZE_LIMIT:
        raise source_of(name, "").refuse(1, 1, f"the document is larger than {SIZE_LIMIT} bytes", why="profiles are read whole")
    text = _decoded(data, name)
    source = source_of(name, text)
    _check_characters(text, source)
    return _Composer(source).document(text)


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        line, column = _position(before)
        source = source_of(name, data.decode("utf-8", "replace"))
        raise source.refuse(
            line, column, f"byte 0x{data[error.start]:02x} is not UTF-8", hint="save the file as UTF-8"
        ) from None


def _position(before: str) -> tuple[int, int]:
    lines = LINE_BREAK.split(before)
    return len(lines), len(lines[-1]) + 1


def _check_characters(text: str, source: Source) -> None:
    """Refuse what an editor or terminal would hide: control, bidirectional and zero-width characters, and a byte order mark."""
    if found := _hidden(text):
        line, column = _position(text[: found.start()])
        what = f"the character {describe(found[0])} is not allowed"
        raise source.refuse(line, column, what, why=_WHY_HIDDEN, hint="remove it")


def _hidden(text: str) -> re.Match[str] | None:
    """Find the first character that an editor or terminal would not show."""
    for found in _UNUSUAL.finditer(text):
        # U+FFFE and U+FFFF are no characters in YAML either; every other unassigned code point only shows badly.
        if unicodedata.category(found[0]) in UNPRINTABLE or found[0] in "\ufffe\uffff":
            return found
    return None


class _Composer:
    """Events of one document → nodes, with the limits checked before anything is kept."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.events: Iterator[Any] = iter(())
        self.nodes = 0

    def document(self, text: str) -> Node | None:
        import yaml  # noqa: PLC0415  45 ms; the launch path reads cached plans

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.events = yaml.parse(text, Loader=loader)
        try:
            return self._single_document(yaml)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = self._within(mark.line + 1, mark.column + 1) if mark else (1, 1)
            raise self.source.refuse(
                line, column, f"not YAML: {error.problem or error.context}", why=error.context or ""
            ) from None
        except yaml.YAMLError as error:
            raise self.source.refuse(1, 1, "not YAML", why=str(error).splitlines()[0]) from None

    def _within(self, line: int, column: int) -> Position:
        """The place, or the end of the text when it is behind it: libyaml ends every text with a line break of its own."""
        last = len(self.source.lines)
        return (line, column) if line <= last else (last, len(self.source.lines[-1]) + 1)

    def _single_document(self, yaml: Any) -> Node | None:  # noqa: ANN401  a module
        root: Node | None = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                self._check_start(event, documents)
                root = self._node(next(self.events), "", (1, 1), 1)
        return root

    def _check_start(self, event: Any, documents: int) -> None:  # noqa: ANN401  an event
        if documents > 1:
            raise self._refuse(
                event, "a second document begins here", why="a profile is one document", hint="put it in its own file"
            )
        if event.version or event.tags:
            raise self._refuse(
                event, "a YAML directive is not allowed", why="the language fixes YAML 1.2", hint="remove the % line"
            )

    def _refuse(self, event: Any, what: str, *, why: str = "", hint: str = "") -> Exception:  # noqa: ANN401  an event
        return self.source.refuse(event.start_mark.line + 1, event.start_mark.column + 1, what, why=why, hint=hint)

    def _node(self, event: Any, path: str, start: Position | None, depth: int) -> Node:  # noqa: ANN401  an event
        self._check(event, depth)
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        kind = type(event).__name__
        if kind == "ScalarEvent":
            return self._scalar(event, path, start)
        if kind == "SequenceStartEvent":
            return Sequence(self.source, path, line, column, start or (line, column), tuple(self._items(path, depth)))
        return Mapping(self.source, path, line, column, start or (line, column), tuple(self._entries(path, depth)))

    def _check(self, event: Any, depth: int) -> None:  # noqa: ANN401  an event
        self.nodes += 1
        if self.nodes > NODE_LIMIT:
            raise self._refuse(event, f"the document holds more than {NODE_LIMIT} values")
        if depth > DEPTH_LIMIT:
            raise self._refuse(event, f"nested deeper than {DEPTH_LIMIT}")
        if type(event).__name__ == "AliasEvent":
            raise self._refuse(
                event, f"the alias *{quoted(event.anchor)[1:-1]} is not allowed", why=_WHY_ALIAS, hint="write the value out"
            )
        if event.anchor:
            raise self._refuse(
                event, f"the anchor &{quoted(event.anchor)[1:-1]} is not allowed", why=_WHY_ALIAS, hint="remove it"
            )
        if event.tag:
            raise self._refuse(event, f"the tag {quoted(event.tag)} is not allowed", why="a value's type follows from its text")

    def _items(self, path: str, depth: int) -> Iterator[Node]:
        index = 0
        while type(event := next(self.events)).__name__ != "SequenceEndEvent":
            yield self._node(event, f"{path}[{index}]", None, depth + 1)
            index += 1

    def _entries(self, path: str, depth: int) -> Iterator[tuple[Scalar, Node]]:
        seen: dict[str, Scalar] = {}
        while type(event := next(self.events)).__name__ != "MappingEndEvent":
            key = self._key(event, path, depth)
            if key.text in seen:
                first = seen[key.text].place
                raise key.refuse(
                    f"duplicate key {quoted(key.text)}", why=f"it stands at {first} already", hint="keep one of them"
                )
            seen[key.text] = key
            yield key, self._node(next(self.events), key.path, key.start, depth + 1)

    def _key(self, event: Any, path: str, depth: int) -> Scalar:  # noqa: ANN401  an event
        self._check(event, depth)
        if type(event).__name__ != "ScalarEvent":
            raise self._refuse(event, "a key must be a string")
        if len(path) + len(event.value) > PATH_LIMIT:
            raise self._refuse(event, f"the keys to this value are longer than {PATH_LIMIT} characters")
        key = self._scalar(event, f"{path}.{event.value}" if path else event.value, None)
        if not isinstance(key.value, str):
            raise key.refuse(f"a key must be a string, not {key.kind}", hint="quote it")
        return key

    def _scalar(self, event: Any, path: str, start: Position | None) -> Scalar:  # noqa: ANN401  an event
        plain = not event.style
        text: str = event.value
        if found := _hidden(text):
            raise self._refuse(event, f"the value holds the character {describe(found[0])}", why=_WHY_HIDDEN)
        if plain and len(text) > DIGIT_LIMIT and _INTEGER.fullmatch(text):
            raise self._refuse(event, f"a number of more than {DIGIT_LIMIT} digits")
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        value = resolve_scalar(text) if plain else text
        return Scalar(self.source, path, line, column, start or (line, column), value, text, plain)


def resolve_scalar(text: str) -> str | int | float | bool | None:
    """Give a plain scalar's value by the core schema of YAML 1.2.2 (section 10.3.2)."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
