"""The documents for people, taken apart: files that they show, and sessions that they print.

A fenced block may name a file after its language: ```yaml web.yaml. A `console` block is a session: "# " is root's prompt, "$ "
an ordinary user's, and what follows is what the command writes, where "…" stands for anything in a line and, alone in one, for
any lines. `echo $?` shows the exit code of the command before; where it is not shown, it is 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDE = sorted([ROOT / "README.md", *(ROOT / "docs/guide").glob("*.md")])
_BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"[#$] ")
ANYTHING = "…"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. file: its name, "" without one."""

    language: str
    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a session. words: for a shell. root: at root's prompt. output: lines. code: what it exits with."""

    words: str
    root: bool
    output: tuple[str, ...]
    code: int


def blocks(document: str) -> list[Block]:
    """Every fenced block, in order."""
    found = []
    for info, text in _BLOCK.findall(document):
        language, _, file = info.strip().partition(" ")
        found.append(Block(language, file, text))
    return found


def session(text: str) -> list[Command]:
    """The commands of a console block. Raises ValueError when it does not begin with a prompt."""
    commands: list[Command] = []
    for line in text.replace("\\\n", "").splitlines():
        if _PROMPT.match(line):
            commands.append(Command(line[2:], line[0] == "#", (), 0))
        elif not commands:
            raise ValueError(f"no prompt: {line}")
        else:
            last = commands.pop()
            commands.append(Command(last.words, last.root, (*last.output, line), 0))
    return _with_codes(commands)


def _with_codes(commands: list[Command]) -> list[Command]:
    kept: list[Command] = []
    for command in commands:
        if command.words == "echo $?":
            before = kept.pop()
            kept.append(Command(before.words, before.root, before.output, int(command.output[0])))
        else:
            kept.append(command)
    return kept


def agree(shown: tuple[str, ...], written: str) -> bool:
    """Whether a command wrote what the document shows."""
    parts = [".*\n(?:.*\n)*?|" if line == ANYTHING else _line(line) for line in shown]
    pattern = "".join(f"(?:{part})" for part in parts)
    ended = written if not written or written.endswith("\n") else written + "\n"
    return re.fullmatch(pattern, ended) is not None


def _line(line: str) -> str:
    return ".*".join(map(re.escape, line.split(ANYTHING))) + "\n"
