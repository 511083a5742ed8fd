"""A profile's text and its nodes: every value knows the line and column where it stands and its path in the document.

`policy.compose` makes nodes from YAML; the parsers of the sections read them and refuse with `Node.refuse`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from enforcer.errors import ProfileError
from enforcer.policy.profile import Clause

LINE_BREAK = re.compile(r"\r\n|\r|\n")
EXCERPT_WIDTH = 120  # characters of a line that are shown around the caret
QUOTED_WIDTH = 60  # characters of a value that are repeated in a sentence
# Categories that a terminal obeys or hides instead of showing: control, format (bidi and zero width), surrogate, separators.
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Source:
    """A text with a name. numbered: places are "name:line:column"; else the name alone, as for the command line."""

    name: str
    lines: tuple[str, ...]
    numbered: bool = True

    def place(self, line: int, column: int) -> str:
        """Lines and columns count from 1; a column is one character (code point)."""
        return f"{self.name}:{line}:{column}" if self.numbered else self.name

    def refuse(self, line: int, column: int, what: str, *, why: str = "", hint: str = "") -> ProfileError:
        """Build the error for a place, with the line and a caret; the caller raises it."""
        return ProfileError(what, where=self.place(line, column), why=why, hint=hint, excerpt=self._excerpt(line, column))

    def _excerpt(self, line: int, column: int) -> str:
        if not 1 <= line <= len(self.lines):
            return ""
        text = self.lines[line - 1]
        start = max(0, column - 1 - EXCERPT_WIDTH // 2) if len(text) > EXCERPT_WIDTH else 0
        shown = "".join(map(visible, text[start : start + EXCERPT_WIDTH]))
        before = shown[: column - 1 - start]
        return shown + "\n" + "".join("\t" if character == "\t" else " " * _columns(character) for character in before) + "^"


def source_of(name: str, text: str, *, numbered: bool = True) -> Source:
    """Split a text into the lines that YAML counts."""
    return Source(name, tuple(LINE_BREAK.split(text)), numbered)


def visible(character: str) -> str:
    """Return the character, or U+FFFD in place of one that a terminal would obey or hide."""
    return "\ufffd" if character != "\t" and unicodedata.category(character) in UNPRINTABLE else character


def describe(character: str) -> str:
    """Name a character without printing it: "U+0430 CYRILLIC SMALL LETTER A"."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def quoted(text: str) -> str:
    """Repeat a value in a sentence: in quotes, shortened, and in ASCII, so that what looks alike is seen to differ."""
    return ascii(text if len(text) <= QUOTED_WIDTH else text[:QUOTED_WIDTH] + "...")


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


@dataclass(frozen=True, slots=True)
class Node:
    """A value in a document. path: "network.egress[0]", "" for the document itself. line and column count from 1.

    start: line and column where its clause begins: its key's, when it has one.
    """

    source: Source = field(repr=False)
    path: str
    line: int
    column: int
    start: tuple[int, int]

    @property
    def place(self) -> str:
        """Where it stands: "web.yaml:12:5"."""
        return self.source.place(self.line, self.column)

    @property
    def clause(self) -> Clause:
        """The clause that this value belongs to."""
        return Clause(self.path, self.source.place(*self.start))

    @property
    def kind(self) -> str:
        """What a reader would call it: "a list"."""
        raise NotImplementedError

    def refuse(self, what: str, *, why: str = "", hint: str = "", at: int = 0) -> ProfileError:
        """Build the error that stands at this value, `at` characters after its start; the caller raises it."""
        return self.source.refuse(self.line, self.column + at, what, why=why, hint=hint)


@dataclass(frozen=True, slots=True)
class Scalar(Node):
    """A string, number, boolean or null. text: what is written, without quotes. plain: without quotes or block marks."""

    value: str | int | float | bool | None
    text: str
    plain: bool

    @property
    def kind(self) -> str:
        """What a reader would call it."""
        if self.value is None:
            return "nothing" if not self.text else "null"
        return {str: "a string", bool: "a boolean", int: "an integer", float: "a number"}[type(self.value)]


@dataclass(frozen=True, slots=True)
class Sequence(Node):
    """A list."""

    items: tuple[Node, ...]

    @property
    def kind(self) -> str:
        """What a reader would call it."""
        return "a list"


@dataclass(frozen=True, slots=True)
class Mapping(Node):
    """Keys, all of them strings and different, with their values."""

    entries: tuple[tuple[Scalar, Node], ...]

    @property
    def kind(self) -> str:
        """What a reader would call it."""
        return "a mapping"
