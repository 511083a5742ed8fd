"""`enforcer completion`: what a shell needs to complete the command line, made from the commands' own option tables."""

from __future__ import annotations

from enforcer.cli import compare, completion_bash, completion_fish, completion_zsh, doctor, main, plan, policy
from enforcer.cli import run as launch
from enforcer.cli.completion_words import Entry
from enforcer.cli.options import Command
from enforcer.errors import UsageError

SHELLS = {"bash": completion_bash.script, "zsh": completion_zsh.script, "fish": completion_fish.script}
COMMAND = Command(
    "completion",
    "Print what makes a shell complete enforcer's command line. For bash: source <(enforcer completion bash); for zsh: write\n"
    "it to a file named _enforcer in a directory of $fpath; for fish: enforcer completion fish | source.",
    "|".join(SHELLS),
    (),
)


def run(argv: list[str]) -> int:
    """Run the command; returns its exit code."""
    given = COMMAND.parse(argv)
    if given.on("help"):
        print(COMMAND.usage())
        return 0
    if len(given.words) != 1 or given.words[0] not in SHELLS:
        said = f"there is no completion for {given.words[0]!r}" if given.words else "no shell is named"
        raise UsageError(said, where="enforcer completion", hint=f"one of {', '.join(SHELLS)}")
    print(SHELLS[given.words[0]](entries()), end="")
    return 0


def entries() -> tuple[Entry, ...]:
    """Every command there is, by the words that name it: ("run",), ("policy",), ("policy", "new"), and so on."""
    tables = {
        "run": launch.COMMAND,
        "plan": plan.COMMAND,
        "compare": compare.COMMAND,
        "doctor": doctor.COMMAND,
        "completion": COMMAND,
    }
    found = [Entry((name,), about, tables.get(name)) for name, (_, about) in main.COMMANDS.items()]
    found += [Entry(("policy", name), command.about.splitlines()[0], command) for name, command in policy.COMMANDS.items()]
    return tuple(found)
