"""`enforcer policy new`: the beginning of a profile, to be filled in."""

from __future__ import annotations

import os

from enforcer.cli.options import Command, Option
from enforcer.errors import EnforcerError, UsageError
from enforcer.policy.parse import NAME, parse_profile
from enforcer.policy.profile import Clause
from enforcer.runtime.profiles import Library

COMMAND = Command(
    "policy new",
    "Write the beginning of a profile that grants nothing yet beyond its base. An existing file is never overwritten.",
    "NAME",
    (
        Option("from", "the profile it extends, as base/python", value="NAME"),
        Option("output", "write to this file instead of standard output", short="o", value="FILE"),
    ),
)
_TEXT = """\
# What one image may reach. What no clause here grants is refused. `enforcer policy show FILE` prints what is in force, and
# `enforcer plan --policy FILE IMAGE` what a run would do; docs/reference/profile.md describes every key.
profile: enforcer/v1
name: {name}
description: {name}, not yet described
{extends}
# Which images it is for; without this it is used by `--policy FILE` only.
# match:
#   - image: registry.example/{name}:1.*

# Each of these grants something, so each is commented out.
# run: {{user: 65532:65532, cwd: /srv}}
# environment:
#   pass: [LANG, TZ]
#   set: {{PORT: "8080"}}
# syscalls: {{base: default}}
# capabilities: [NET_BIND_SERVICE]
# filesystem:
#   root: ephemeral
#   mounts:
#     - {{bind: ./data, at: /data, access: read}}
#     - {{tmpfs: true, at: /tmp, size: 64MiB}}
#   paths:
#     read: [/etc, /usr]
#     execute: [/usr]
# network:
#   egress:
#     - {{host: pypi.org, ports: [443]}}

# Upper bounds. Leaving one out is no bound.
resources: {{memory: 256MiB, pids: 64, cpus: 1.0, open_files: 1024, scratch: 64MiB, time: 10m}}
"""


def run(argv: list[str]) -> int:
    """Run the command; returns its exit code."""
    given = COMMAND.parse(argv)
    if given.on("help"):
        print(COMMAND.usage())
        return 0
    if len(given.words) != 1:
        raise UsageError("one name is needed", where="enforcer policy new", hint="enforcer policy new NAME")
    content = scaffold(given.words[0], given.one("from"))
    if given.on("output"):
        _write(given.one("output"), content)
    else:
        print(content, end="")
    return 0


def scaffold(name: str, base: str) -> str:
    """Return the document. base: the profile it extends, "" for none. Raises EnforcerError for a name that cannot be one."""
    if NAME.fullmatch(name) is None:
        why = "a name is [a-z0-9][a-z0-9._-]*, at most 64 characters"
        raise UsageError(f"{name!r} is not a profile's name", where="enforcer policy new", why=why)
    if base:
        Library().base(base, Clause("extends", "--from"))
    content = _TEXT.format(name=name, extends=f"extends: {base}\n" if base else "")
    parse_profile(content.encode(), name)
    return content


def _write(path: str, content: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        hint = "choose another name, or remove the file" if isinstance(error, FileExistsError) else ""
        raise EnforcerError(f"the file cannot be made: {error.strerror}", where=path, hint=hint) from error
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
