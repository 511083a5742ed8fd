"""The command `enforcer`: finds the command, prints errors, and gives exit codes. On the launch path."""

from __future__ import annotations

import os
import sys

import enforcer
from enforcer.errors import EnforcerError, UsageError

TYPE_CHECKING = False  # typing would cost a launch 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable

# name: (module, one line about it). A module offers run(argv) -> exit code.
COMMANDS = {
    "run": ("enforcer.cli.run", "run an image under its profile"),
    "plan": ("enforcer.cli.plan", "show what would be executed, and which clause each step enforces"),
    "compare": ("enforcer.cli.compare", "say whether one profile grants more than another, with a counter-example"),
    "policy": ("enforcer.cli.policy", "new, show, list, schema: profiles"),
    "doctor": ("enforcer.cli.doctor", "what this host can enforce, and what to install"),
    "completion": ("enforcer.cli.completion", "print shell completion for bash, zsh or fish"),
}
FAILED = 125
INTERRUPTED = 130


def usage() -> str:
    """Return the text of --help."""
    about = "Runs software that is not trusted: nothing is reachable that no clause grants."
    lines = ["usage: enforcer [--debug] COMMAND …", "", about, ""]
    lines += [f"  {name:12}{about}" for name, (_, about) in COMMANDS.items()]
    return "\n".join([*lines, "", "enforcer COMMAND --help says more; enforcer --version names this version."])


def main(argv: list[str]) -> int:
    """Run one command; returns its exit code."""
    _standard_descriptors()
    os.umask(os.umask(0o077) & 0o077)  # a mask that shuts out the owner would make caches that nobody can read any more
    debug = argv[:1] == ["--debug"]
    words = argv[1:] if debug else argv
    return guarded(lambda: _dispatch(words), debug=debug)


def _standard_descriptors() -> None:
    """Put /dev/null where the caller left descriptor 0, 1 or 2 closed.

    The next file that is opened would get that number, and the payload's output would be written to it: to the container's
    record, which names the control groups that the next command removes.
    """
    while (descriptor := os.open("/dev/null", os.O_RDWR)) <= 2:  # noqa: PLR2004  (standard error)
        os.set_inheritable(descriptor, True)  # noqa: FBT003  (os has it so)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  (a descriptor, for as long as we live)
    sys.stderr = sys.stderr or open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


def guarded(command: Callable[[], int], *, debug: bool = False) -> int:
    """Run something; print what it refuses, and return the exit code."""
    try:
        code = command()
        sys.stdout.flush()
    except EnforcerError as error:
        if debug:
            raise
        sys.stderr.write(f"enforcer: {error.render()}\n")
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stdout = sys.stderr = None  # the reader has gone: there is nobody to tell, and nothing to flush at the end
        return FAILED
    except Exception as error:
        if debug:
            raise
        sys.stderr.write(f"enforcer: a mistake of enforcer itself: {type(error).__name__}: {error}\n")
        sys.stderr.write("  hint: nothing was started; please report it with the output of `enforcer --debug …`\n")
        return FAILED
    return code


def exit_code(error: EnforcerError) -> int:
    """Return the exit code for an error: 125, or what the error itself says (126, 127: the payload's program)."""
    code: int = getattr(error, "exit_code", FAILED)
    return code


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        print(f"enforcer {enforcer.__version__}")
        return 0
    if not words or words[0] in ("--help", "-h", "help"):
        print(usage())
        return 0 if words else FAILED
    if words[0] not in COMMANDS:
        raise UsageError(f"there is no command {words[0]!r}", where="enforcer", hint="enforcer --help lists the commands")
    return _load(COMMANDS[words[0]][0])(words[1:])


def _load(module: str) -> Callable[[list[str]], int]:
    """Import one command's module, and no other, so that each pays for itself only; importlib itself would cost 1 ms."""
    __import__(module)
    command: Callable[[list[str]], int] = sys.modules[module].run
    return command
