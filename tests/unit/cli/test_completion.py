from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from enforcer.cli import completion, main
from enforcer.cli.completion_words import kind_of
from enforcer.errors import UsageError

BIN = Path(__file__).parents[3] / "bin"
COMPLETED = [
    ("enforcer comple", "enforcer|completion|"),
    ("enforcer run --pol", "enforcer|run|--policy|"),
    ("enforcer plan --format o", "enforcer|plan|--format|oci|"),
    ("enforcer policy sch", "enforcer|policy|schema|"),
    ("enforcer policy show base/min", "enforcer|policy|show|base/minimal|"),
    ("enforcer run --allow-net a:1 hos", "enforcer|run|--allow-net|a:1|host|"),
    ("enforcer completion f", "enforcer|completion|fish|"),
]
SETUP = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}


@pytest.fixture(name="shell")
def installed_shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture(name="directory")
def directory_with_files(tmp_path: Path, shell: str, capsys: pytest.CaptureFixture[str]) -> Path:
    """A working directory with a file to complete, and the script that the shell loads."""
    assert completion.run([shell]) == 0
    (tmp_path / ("_enforcer" if shell == "zsh" else "script")).write_text(capsys.readouterr().out)
    (tmp_path / "work/some-where").mkdir(parents=True)
    return tmp_path


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"ENFORCER_TESTS_SESSION", "TMPDIR", "HOME"}}
    return {**kept, "PATH": f"{BIN}:/usr/bin:/bin", "TERM": "dumb", "PS1": "> ", "LC_ALL": "C.UTF-8"}


class Terminal:
    """An interactive shell on a pseudo-terminal, as a person has it."""

    def __init__(self, shell: str, directory: Path) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(directory / "work")
            os.execve(shutil.which(shell) or shell, SETUP[shell], environment())

    def answer(self, keys: str, until: str) -> str:
        """Type, and read until a text comes; all that came. It fails after ten seconds."""
        os.write(self.master, keys.encode())
        seen, end = "", time.monotonic() + 10
        while until not in seen.rpartition("\x01")[2]:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {until!r} in {seen!r}"
            seen += os.read(self.master, 4096).decode(errors="replace")
        return seen

    def completed(self, line: str) -> str:
        """Complete a line with the tab key; what words there are then. They are printed, not run."""
        self.answer(f"{line}\t", line[-2:])
        time.sleep(0.5)
        return self.answer("\x01printf '%s|' '<<' \x05 '>>'\r", ">>|").rpartition("<<|")[2].partition(">>")[0]

    def end(self) -> None:
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.master)


@pytest.fixture(name="terminal")
def interactive_shell(shell: str, directory: Path) -> object:
    opened = Terminal(shell, directory)
    if shell == "bash":
        opened.answer(f"bind 'set enable-bracketed-paste off'; source {directory}/script; echo rea''dy\r", "ready")
    else:
        keys = "bindkey -e; unset zle_bracketed_paste; unsetopt auto_remove_slash"
        load = f"fpath=({directory} $fpath); autoload -U compinit; compinit -u -D"
        opened.answer(f"{keys}; {load}; echo rea''dy\r", "ready")
    yield opened
    opened.end()


@pytest.mark.parametrize("shell", ["bash", "zsh"], indirect=True)
def test_the_tab_key_completes(terminal: Terminal) -> None:
    for line, expected in COMPLETED:
        assert terminal.completed(line) == expected
    assert terminal.completed("enforcer run rootfs:some") == "enforcer|run|rootfs:some-where/|"
    assert terminal.completed("enforcer run --policy some") == "enforcer|run|--policy|some-where/|"


@pytest.mark.parametrize("shell", ["fish"], indirect=True)
def test_fish_completes(directory: Path) -> None:
    for line, expected in COMPLETED:
        command = ["fish", "--no-config", "-c", f"source {directory}/script; complete -C '{line}'"]
        done = subprocess.run(command, env=environment(), cwd=directory / "work", capture_output=True, text=True, check=True)
        words = [candidate.partition("\t")[0] for candidate in done.stdout.splitlines()]
        assert expected.rstrip("|").rpartition("|")[2] in words, (line, done.stdout)
        assert "--rm" not in words


@pytest.mark.parametrize("shell", ["bash", "zsh"], indirect=True)
def test_the_script_is_the_shells_language(shell: str, directory: Path) -> None:
    script = directory / ("_enforcer" if shell == "zsh" else "script")
    done = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_every_command_is_completed() -> None:
    entries = completion.entries()
    assert {entry.words[0] for entry in entries} == set(main.COMMANDS)
    assert all(entry.command or entry.words == ("policy",) for entry in entries)


def test_an_options_value_is_completed_by_its_kind() -> None:
    kinds = {option.long: kind_of(option) for entry in completion.entries() for option in entry.options}
    assert kinds["policy"] == kinds["from"] == "profile"
    assert kinds["allow-read"] == "file"
    assert kinds["name"] == ""
    assert kinds["rm"] == "-"


@pytest.mark.parametrize("words", [[], ["tcsh"], ["bash", "zsh"]])
def test_another_shell_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        completion.run(words)
