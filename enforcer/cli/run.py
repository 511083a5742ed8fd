"""`enforcer run`: launch an image under its profile. On the launch path.

A plan that was made before is taken from the cache; otherwise a child process makes it, so that the process that stays with the
container never loads what planning needs.
"""

from __future__ import annotations

import os
import sys

from enforcer.cli.options import POLICY_OPTIONS, Command, Option, Parsed
from enforcer.errors import UsageError
from enforcer.runtime import launcher, paths, plancache, supervisor
from enforcer.runtime.init import exit_code

COMMAND = Command(
    "run",
    "Run a command in a new container; the exit code is the command's own, 125 when enforcer refuses,\n"
    "126 and 127 when the program cannot be executed or is not there, 128+n after signal n.",
    "IMAGE [CMD…]",
    (
        *POLICY_OPTIONS,
        Option("interactive", "keep standard input open", short="i"),
        Option("tty", "give it a terminal of its own", short="t"),
        Option("env", "set a variable; without =VALUE take the caller's", short="e", value="NAME[=VALUE]", many=True),
        Option("name", "name of the container, and its host name", value="NAME"),
        Option("rm", "remove the container when it ends (containers in the foreground always are)"),
        Option("dry-run", "show the plan, and start nothing"),
    ),
    rest=True,
)
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_NAME_LIMIT = 63
_PLAN_LIMIT = 64 << 20


def run(argv: list[str]) -> int:
    """Run the command; returns its exit code. Raises EnforcerError when nothing was started."""
    given = COMMAND.parse(argv)
    if given.on("help"):
        print(COMMAND.usage())
        return 0
    if not given.words:
        raise UsageError("no image is named", where="enforcer run", hint="enforcer run IMAGE [CMD…], as in: enforcer run host")
    if given.on("dry-run"):
        from enforcer.cli import plan  # noqa: PLC0415  (not on the launch path)

        return plan.show(given, "text", explain=False)
    options = launcher.Options(
        given.words[1:],
        _environment(given.all("env")),
        name=_name(given.one("name")),
        interactive=given.on("interactive"),
        terminal=_terminal(given),
    )
    directory = paths.cache("plans")
    name = plancache.key(_question(given))
    entry = plancache.load(directory, name) or plancache.decode(_planned(given, directory, name))
    for what in entry.record.all("narrowed"):
        sys.stderr.write(f"enforcer: narrowed: {what}\n")
    for path in entry.record.all("weaker"):
        sys.stderr.write(f"enforcer: accepted as weaker: {path}\n")
    return launcher.launch(entry.decoded(), entry.record, options)


def _question(given: Parsed) -> list[str]:
    """What a plan depends on, besides what it was made from."""
    words = ["plan", given.words[0], paths.working_directory(), paths.store(), paths.run_state(), str(given.on("tty"))]
    for option in POLICY_OPTIONS:
        words += [option.long, *given.all(option.long)]
    return words + plancache.caller() + [os.environ.get("XDG_CONFIG_HOME", ""), os.environ.get("HOME", "")]


def _planned(given: Parsed, directory: str, name: str) -> bytes:
    """Have a child make the plan and keep it. The child prints what is wrong; then this process ends with its exit code."""
    supervisor.keep_children()
    read, write = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(read)
        os._exit(_make_plan(given, write, directory, name))
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        content = pipe.read(_PLAN_LIMIT)
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise SystemExit(exit_code(status))
    return content


def _make_plan(given: Parsed, write: int, directory: str, name: str) -> int:
    from enforcer.cli import main, plan  # noqa: PLC0415  (heavy: only in the child that makes plans)

    def make() -> int:
        content = plan.entry(given)
        plancache.save(directory, name, content)
        with os.fdopen(write, "wb") as pipe:
            pipe.write(content)
        return 0

    return main.guarded(make)  # standard error is line-buffered: what was said is out


def _terminal(given: Parsed) -> bool:
    if given.on("tty") and given.on("interactive") and not os.isatty(0):
        hint = "leave out -t, or run it from a terminal"
        raise UsageError("standard input is not a terminal", where="enforcer run -i -t", hint=hint)
    return given.on("tty")


def _name(name: str) -> str:
    if name and (len(name) > _NAME_LIMIT or not name[0].isalnum() or not _NAME_CHARACTERS.issuperset(name)):
        raise UsageError(
            f"{name!r} cannot be the name of a container",
            where="--name",
            why=f"letters, digits, '_', '.' and '-', beginning with a letter or digit, at most {_NAME_LIMIT} of them",
        )
    return name


def _environment(words: list[str]) -> list[tuple[str, str]]:
    """NAME=VALUE sets, NAME alone takes the caller's value, as with Docker."""
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not name or "\0" in word:
            raise UsageError(f"{word!r} names no variable", where="--env", hint="write -e NAME=VALUE")
        if equals:
            pairs.append((name, value))
        elif name in os.environ:
            pairs.append((name, os.environ[name]))
    return pairs
