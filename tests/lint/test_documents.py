"""What the documents promise exists: tests, commands, files; and nothing says that it is unfinished."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from enforcer.cli import completion, main
from tests import documents

ROOT = Path(__file__).parents[2]
NODE = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
TRACKED = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")[
    :-1
]


def _rows(text: str) -> list[str]:
    """Table rows below the heading "Promises": its first two rows are the head."""
    section = text.partition("\n## Promises\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


def _exists(path: str, name: str) -> bool:
    """Whether a test id, without parameters, names a function or a method."""
    found = ROOT / path
    body: list[ast.stmt] = ast.parse(found.read_text()).body if found.exists() else []
    *classes, function = name.split("::")
    for wanted in classes:
        body = [node for outer in body if isinstance(outer, ast.ClassDef) and outer.name == wanted for node in outer.body]
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in body)


PROMISES = _rows((ROOT / "docs/threat-model.md").read_text())


def test_the_threat_model_promises_something() -> None:
    assert PROMISES


@pytest.mark.parametrize("row", PROMISES, ids=lambda row: row.split("|")[1].strip()[:40])
def test_every_promise_names_a_test_that_exists(row: str) -> None:
    named = NODE.findall(row)
    assert named, f"no test is named: {row}"
    assert [f"{path}::{name}" for path, name in named if not _exists(path, name)] == []


def test_a_test_that_does_not_exist_is_seen() -> None:
    assert not _exists("tests/lint/test_documents.py", "test_nothing")
    assert not _exists("tests/lint/test_nothing.py", "test_nothing")
    assert _exists("tests/lint/test_documents.py", "test_a_test_that_does_not_exist_is_seen")


def _commands(text: str) -> list[str]:
    """Lines of the shell blocks without their comments, and what is typed in sessions."""
    found: list[str] = []
    for block in documents.blocks(text):
        if block.language == "sh":
            found += [line.partition(" #")[0].strip() for line in block.text.replace("\\\n", "").splitlines() if line.strip()]
        elif block.language == "console":
            found += [command.words for command in documents.session(block.text)]
    return found


MENTIONED = sorted({command for path in DOCUMENTS for command in _commands(path.read_text()) if command})


@pytest.mark.parametrize("target", sorted({c.split()[1] for c in MENTIONED if c.startswith("make ")}))
def test_every_make_target_in_the_documents_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


SUBCOMMANDS = sorted({match for c in MENTIONED for match in re.findall(r"(?:^|\s|/)enforcer ([a-z][a-z-]*)", c)})


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_every_command_in_the_documents_exists(subcommand: str) -> None:
    result = subprocess.run([ROOT / "bin/enforcer", subcommand, "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


PATTERNS = sorted(
    {
        command
        for path in DOCUMENTS
        for block in documents.blocks(path.read_text())
        if block.language == "sh"
        for command in re.findall(r"(?:^|/| )(enforcer [a-z].*)$", block.text, re.MULTILINE)
    }
)


@pytest.mark.parametrize("command", PATTERNS)
def test_every_pattern_in_the_documents_can_be_typed(command: str) -> None:
    """Sessions are typed by tests/kernel/test_docs.py; what stands in a `sh` block is at least understood."""
    words = shlex.split(re.sub(r" [<>|&].*", "", command), comments=True)[1:]
    known = {entry.words: entry.command for entry in completion.entries()}
    name = tuple(words[:2]) if tuple(words[:2]) in known else tuple(words[:1])
    table = known[name]
    assert table is not None
    table.parse(words[len(name) :])


def test_what_readme_and_guide_show_of_enforcer_is_a_session_or_a_pattern() -> None:
    for path in documents.GUIDE:
        shown = {
            block.language
            for block in documents.blocks(path.read_text())
            if re.search(r"^[#$]? ?enforcer [a-z]", block.text, re.MULTILINE)
        }
        assert shown <= {"console", "sh"}, path


def test_the_table_of_commands_has_every_one() -> None:
    section = (ROOT / "README.md").read_text().partition("\n## Commands\n")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `([a-z]+)", section, re.MULTILINE)
    assert named == list(main.COMMANDS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_nothing_says_that_it_is_unfinished() -> None:
    mark = re.compile(rb"\b(?:T[O]DO|F[I]XME|X[X]X)\b")
    files = [path for path in TRACKED if (ROOT / path).is_file()]
    assert [path for path in files if mark.search((ROOT / path).read_bytes())] == []


def test_a_session_is_taken_apart_and_compared() -> None:
    first, second = documents.session("# a \\\n  b\none … three\n# echo $?\n3\n$ c\n…\nend\n")
    assert (first.words, first.root, first.output, first.code) == ("a   b", True, ("one … three",), 3)
    assert (second.root, second.code) == (False, 0)
    assert documents.agree(first.output, "one two three\n")
    assert not documents.agree(first.output, "one two\nthree\n")
    assert documents.agree(second.output, "x\ny\nend\n")
    assert documents.agree(second.output, "end")
    assert not documents.agree(second.output, "x\nend\ny\n")
    with pytest.raises(ValueError, match="no prompt"):
        documents.session("output\n")
