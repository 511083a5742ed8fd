"""Reading nodes by the shape the language wants: keys of a mapping, items of a list, strings, words of a choice, integers.

Whatever has another shape is refused where it stands.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from enforcer.policy.source import Mapping, Node, Scalar, Sequence, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable

T = TypeVar("T")
Word = TypeVar("Word", bound=str)
Fields = dict[str, Node]

_DECIMAL = re.compile(r"0|[1-9][0-9]*")


def fields(node: Node, known: Collection[str], *, required: Collection[str] = ()) -> Fields:
    """Read a mapping whose keys are all in `known`, with every key of `required` there."""
    mapping = entries(node)
    for key, _ in mapping.entries:
        if key.text not in known:
            raise key.refuse(
                f"unknown key {quoted(key.text)}", why=f"the keys here are {', '.join(known)}", hint=meant(key.text, known)
            )
    found = {key.text: value for key, value in mapping.entries}
    for name in required:
        if name not in found:
            raise node.refuse(f"the key {name!r} is missing", hint=f"add {name}: …")
    return found


def entries(node: Node) -> Mapping:
    """Read a mapping with any keys."""
    if not isinstance(node, Mapping):
        raise _unlike(node, "a mapping", "write {} for an empty one, or leave the key out")
    return node


def items(node: Node) -> tuple[Node, ...]:
    """Read a list."""
    if not isinstance(node, Sequence):
        raise _unlike(node, "a list", "write [] for an empty one, or leave the key out" if _is_null(node) else "put it in [ ]")
    return node.items


def distinct(node: Node, parse: Callable[[Node], T], key: Callable[[T], Hashable] = lambda value: value) -> tuple[T, ...]:
    """Read a list whose items differ by `key`."""
    seen: dict[Hashable, Node] = {}
    values = []
    for item in items(node):
        value = parse(item)
        if (first := seen.setdefault(key(value), item)) is not item:
            raise item.refuse("written twice", why=f"the same stands at {first.place}", hint="keep one of them")
        values.append(value)
    return tuple(values)


def scalar(node: Node) -> Scalar:
    """Read one value that is neither a list nor a mapping."""
    if not isinstance(node, Scalar):
        raise _unlike(node, "one value", "")
    return node


def text(node: Node) -> str:
    """Read a string."""
    found = scalar_or_string(node)
    if not isinstance(found.value, str):
        raise _unlike(node, "a string", f'quote it: "{found.text}"' if found.text.isprintable() and found.text else "")
    return found.value


def scalar_or_string(node: Node) -> Scalar:
    """Read one value, naming a string as what is expected."""
    if not isinstance(node, Scalar):
        raise _unlike(node, "a string", "")
    return node


def word(node: Node, choices: Collection[Word]) -> Word:
    """Read one of a few words."""
    value = text(node)
    for choice in choices:
        if value == choice:
            return choice
    raise node.refuse(f"{quoted(value)} is not one of {', '.join(choices)}", hint=meant(value, choices))


def flag(node: Node) -> bool:
    """Read true or false."""
    found = scalar(node)
    if not isinstance(found.value, bool):
        hint = "write true or false" if found.text.lower() in {"yes", "no", "on", "off", "y", "n", "0", "1"} else ""
        raise _unlike(node, "true or false", hint)
    return found.value


def integer(node: Node, low: int, high: int) -> int:
    """Read a decimal integer in [low, high], written in the one way that all readers agree on."""
    found = scalar(node)
    if type(found.value) is not int:
        raise _unlike(node, "an integer", "remove the quotes" if _DECIMAL.fullmatch(found.text) else "")
    if _DECIMAL.fullmatch(found.text) is None and not found.text.startswith("-"):
        raise node.refuse(
            f"{quoted(found.text)} is not written in plain decimal",
            why="a sign, a leading zero or another base is read differently by different programs",
            hint=f"write {found.value}",
        )
    if not low <= found.value <= high:
        raise node.refuse(f"{found.text} is out of range", why=f"it must be {low} to {high}")
    return found.value


def meant(name: str, known: Collection[str]) -> str:
    """A hint that names the closest known word, empty when none is close."""
    from difflib import get_close_matches  # noqa: PLC0415  only a refusal needs it

    close = get_close_matches(name[:64], known, 1, 0.6) or get_close_matches(name[:64].upper(), known, 1, 0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def _unlike(node: Node, expected: str, hint: str) -> Exception:
    return node.refuse(f"expected {expected}, found {node.kind}", hint=hint)
