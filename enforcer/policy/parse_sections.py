"""The sections `run`, `environment`, `capabilities`, `namespaces`, `user_namespace` and `resources`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from enforcer.policy.names import CAPABILITIES
from enforcer.policy.places import ENVIRONMENT_NAME, WHY_ENVIRONMENT_NAME, absolute, environment_name
from enforcer.policy.profile import Capability, Environment, Namespaces, Resources, WrittenRun
from enforcer.policy.quantities import cpus, duration, size, user
from enforcer.policy.shape import distinct, entries, fields, flag, integer, meant, text, word
from enforcer.policy.source import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from enforcer.policy.source import Node

RUN_KEYS = ("user", "init", "cwd")
ENVIRONMENT_KEYS = ("pass", "set")
NAMESPACE_KEYS = ("pid", "ipc", "uts", "cgroup", "time")
PRIVATE_OR_HOST: tuple[Literal["private", "host"], ...] = ("private", "host")

PID_MAX_LIMIT = 4_194_304  # include/linux/threads.h, 64-bit: no host has more tasks
OPEN_FILES_LIMIT = 2_147_483_584  # fs/file.c: sysctl_nr_open_max on 64-bit
OPEN_FILES_MIN = 3  # standard input, output and error
VALUE_LIMIT = 131_071  # MAX_ARG_STRLEN of execve(2), without the terminating byte


def run(node: Node) -> WrittenRun:
    """Read `run`."""
    found = fields(node, RUN_KEYS)
    return WrittenRun(
        user=user(found["user"]) if "user" in found else None,
        init=flag(found["init"]) if "init" in found else None,
        cwd=absolute(found["cwd"]) if "cwd" in found else None,
        clause=found["user"].clause if "user" in found else node.clause,
    )


def environment(node: Node) -> Environment:
    """Read `environment`; `clauses` has "environment.pass.NAME" and "environment.set.NAME"."""
    found = fields(node, ENVIRONMENT_KEYS)
    passed = (
        distinct(found["pass"], lambda item: (environment_name(item), item), lambda pair: pair[0]) if "pass" in found else ()
    )
    fixed = _fixed(found["set"]) if "set" in found else {}
    for name, item in passed:
        if name in fixed:
            raise item.refuse(f"{name} is passed and set", why=f"it is set at {fixed[name].place}", hint="keep one of them")
    clauses = {f"environment.pass.{name}": item.clause for name, item in passed}
    clauses |= {f"environment.set.{name}": value.clause for name, value in fixed.items()}
    values = {name: text(value) for name, value in fixed.items()}
    return Environment(frozenset(name for name, _ in passed), MappingProxyType(values), MappingProxyType(clauses))


def _fixed(node: Node) -> dict[str, Node]:
    fixed = {}
    for key, value in entries(node).entries:
        if ENVIRONMENT_NAME.fullmatch(key.text) is None:
            raise key.refuse(f"{quoted(key.text)} is not an environment name", why=WHY_ENVIRONMENT_NAME)
        if len(text(value).encode()) > VALUE_LIMIT:
            raise value.refuse(f"the value is longer than {VALUE_LIMIT} bytes", why="execve(2) takes no longer one")
        fixed[key.text] = value
    return fixed


def capabilities(node: Node) -> frozenset[Capability]:
    """Read `capabilities`; the prefix CAP_ may be written and is dropped."""
    return frozenset(distinct(node, _capability, lambda capability: capability.name))


def _capability(node: Node) -> Capability:
    written = text(node)
    name = written.removeprefix("CAP_")
    if name not in CAPABILITIES:
        why = (
            "there is no word for all of them: each is named"
            if name.upper() == "ALL"
            else "the names are those of capabilities(7)"
        )
        hint = meant(name.upper().removeprefix("CAP_"), CAPABILITIES)
        raise node.refuse(f"unknown capability {quoted(written)}", why=why, hint=hint)
    return Capability(name, node.clause)


def namespaces(node: Node | None, user_node: Node | None) -> Namespaces:
    """Read `namespaces` and `user_namespace` (auto or host), either of which may be unsaid."""
    found = fields(node, NAMESPACE_KEYS) if node else {}
    kinds = {name: word(value, PRIVATE_OR_HOST) for name, value in found.items()}
    clauses = {value.path: value.clause for value in found.values()}
    if user_node:
        kinds["user"] = "host" if word(user_node, ("auto", "host")) == "host" else "private"
        clauses[user_node.path] = user_node.clause
    return Namespaces(**kinds, clauses=MappingProxyType(clauses))


# Key of `resources` → how its value is read.
RESOURCES: dict[str, Callable[[Node], int]] = {
    "memory": size,
    "pids": lambda node: integer(node, 1, PID_MAX_LIMIT),
    "cpus": cpus,
    "open_files": lambda node: integer(node, OPEN_FILES_MIN, OPEN_FILES_LIMIT),
    "processes": lambda node: integer(node, 1, PID_MAX_LIMIT),
    "scratch": size,
    "time": duration,
}


def resources(node: Node) -> Resources:
    """Read `resources`."""
    found = fields(node, tuple(RESOURCES))
    bounds = {name: RESOURCES[name](value) for name, value in found.items()}
    return Resources(**bounds, clauses=MappingProxyType({value.path: value.clause for value in found.values()}))
