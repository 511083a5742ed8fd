"""The section `syscalls`: names, argument conditions, what a violation does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.oci.syscalls import NUMBERS, known
from enforcer.policy.names import constants, errnos
from enforcer.policy.places import host_path
from enforcer.policy.profile import ALWAYS, MAX_U64, ArgumentCondition, Clause, Match, Operator, WrittenSyscalls
from enforcer.policy.shape import distinct, fields, integer, items, meant, scalar, text, word
from enforcer.policy.source import Mapping, Scalar, quoted

if TYPE_CHECKING:
    from enforcer.policy.source import Node

KEYS = ("base", "allow", "deny", "violation", "architectures")
BASES = ("none", "minimal", "default", "moby")
ARCHITECTURES = ("x86", "x32", "arm")
OPERATORS: tuple[Operator, ...] = ("==", "!=", "<", "<=", ">", ">=", "&==")
ARGUMENT_COUNT = 6  # seccomp(2): args[6]
CONDITION_LIMIT = 16  # of one entry


def syscalls(node: Node) -> WrittenSyscalls:
    """Read the section."""
    found = fields(node, KEYS)
    architectures = distinct(found["architectures"], lambda item: word(item, ARCHITECTURES)) if "architectures" in found else ()
    return WrittenSyscalls(
        base=_base(found["base"]) if "base" in found else None,
        allow=_allow(found["allow"]) if "allow" in found else (),
        deny=denied(found["deny"]) if "deny" in found else (),
        violation=_violation(found["violation"]) if "violation" in found else None,
        architectures=frozenset(architectures),
        clause=node.clause,
        base_clause=found["base"].clause if "base" in found else node.clause,
    )


def denied(node: Node) -> tuple[tuple[str, Clause], ...]:
    """Read a list of system calls that are taken away again, whatever their arguments."""
    return distinct(node, lambda item: (_name(item), item.clause), lambda pair: pair[0])


def _base(node: Node) -> str:
    if isinstance(node, Mapping):
        return "file:" + host_path(fields(node, ("file",), required=("file",))["file"])
    written = text(node)
    if written.startswith("file:"):
        raise node.refuse("a file is named by a mapping", hint=f"write {{file: {written[5:].strip()}}}")
    return word(node, BASES)


def _allow(node: Node) -> tuple[tuple[str, Match, Clause], ...]:
    grants: list[tuple[str, Match, Clause]] = []
    seen: dict[tuple[str, frozenset[ArgumentCondition]], Clause] = {}
    for item in items(node):
        for name, match, at in _entry(item):
            if (first := seen.setdefault((name, frozenset(match)), at.clause)) is not at.clause and first != at.clause:
                raise at.refuse(
                    f"{name} is allowed twice in the same way", why=f"it stands at {first.place}", hint="keep one of them"
                )
            grants.append((name, match, item.clause))
    return tuple(grants)


def _entry(item: Node) -> tuple[tuple[str, Match, Node], ...]:
    """One entry of `allow`: a name, or names with conditions that must all hold."""
    if not isinstance(item, Mapping):
        return ((_name(item), ALWAYS, item),)
    found = fields(item, ("names", "args"), required=("names",))
    names = distinct(found["names"], lambda name: (_name(name), name), lambda pair: pair[0])
    if not names:
        raise found["names"].refuse("no system call is named", hint="name one, or remove the entry")
    match = _conditions(found["args"]) if "args" in found else ALWAYS
    return tuple((name, match, at) for name, at in names)


def _name(node: Node) -> str:
    name = text(node)
    if not known(name):
        every = {name for table in NUMBERS.values() for name in table}
        raise node.refuse(f"unknown system call {quoted(name)}", why="no architecture has it", hint=meant(name, every))
    return name


def _conditions(node: Node) -> Match:
    conditions = tuple(map(_condition, items(node)))
    if not conditions:
        raise node.refuse(
            "args is empty", why="an empty list is no condition", hint="write the names alone to allow them always"
        )
    if len(conditions) > CONDITION_LIMIT:
        raise node.refuse(f"more than {CONDITION_LIMIT} conditions")
    return conditions


def _condition(node: Node) -> ArgumentCondition:
    found = fields(node, ("index", "op", "value", "mask"), required=("index", "op", "value"))
    op = word(found["op"], OPERATORS)
    if (op == "&==") != ("mask" in found):
        what = "mask belongs to op '&==' only" if "mask" in found else "op '&==' needs a mask"
        raise found.get("mask", node).refuse(what, why="&== compares (argument & mask) with value")
    condition = ArgumentCondition(
        index=integer(found["index"], 0, ARGUMENT_COUNT - 1),
        op=op,
        value=_number(found["value"]),
        mask=_number(found["mask"]) if "mask" in found else MAX_U64,
    )
    if _never(condition):
        raise node.refuse("the condition never holds", why="no unsigned 64-bit argument meets it", hint="remove the entry")
    return condition


def _never(condition: ArgumentCondition) -> bool:
    return (
        (condition.op == "<" and condition.value == 0)
        or (condition.op == ">" and condition.value == MAX_U64)
        or (condition.op == "&==" and condition.value & ~condition.mask != 0)
    )


def _number(node: Node) -> int:
    """Read an unsigned 64-bit number: decimal, 0x…, 0o…, or names of constants joined by |."""
    found = scalar(node)
    if isinstance(found.value, str) and found.text:
        return _named(found)
    if type(found.value) is not int:
        raise node.refuse(f"expected a number or the name of a constant, found {found.kind}")
    if not 0 <= found.value <= MAX_U64:
        hint = (
            f"write {found.value & MAX_U64:#x} for 64 bits or {found.value & 0xFFFFFFFF:#x} for 32" if found.value < 0 else ""
        )
        raise node.refuse(f"{quoted(found.text)} is out of range", why="an argument is an unsigned 64-bit number", hint=hint)
    return found.value


def _named(found: Scalar) -> int:
    value = 0
    for name in found.text.split("|"):
        if name.strip() not in constants():
            what = f"unknown constant {quoted(name.strip())}"
            raise found.refuse(
                what, why="the kernel's names that are the same on every machine", hint=meant(name.strip(), constants())
            )
        value |= constants()[name.strip()]
    return value


def _violation(node: Node) -> str:
    written = text(node)
    if written in {"kill", "complain"}:
        return written
    action, _, name = written.partition(" ")
    if action != "errno":
        raise node.refuse(
            f"{quoted(written)} is not a violation",
            why="it is errno NAME, kill or complain",
            hint=meant(written, ("kill", "complain")),
        )
    if name not in errnos():
        raise node.refuse(f"unknown error {quoted(name)}", why="errno takes a name of errno(3)", hint=meant(name, errnos()))
    return written
