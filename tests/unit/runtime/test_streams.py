from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enforcer.runtime.streams import CHUNK, Relay

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
# What the three streams of a payload are, seen from a process whose own streams the test chooses.
LAYOUT = """
import os, stat, sys
from enforcer.runtime.streams import FIRST_FREE, Streams
found = Streams(terminal="terminal" in sys.argv, interactive="interactive" in sys.argv, owner=(os.getuid(), os.getgid()))
kinds = {stat.S_IFIFO: "pipe", stat.S_IFCHR: "device", stat.S_IFREG: "file", stat.S_IFSOCK: "socket"}
said = []
for number, end in enumerate(found.inside):
    kind = "none" if end < 0 else kinds[stat.S_IFMT(os.fstat(end).st_mode)]
    same = end >= 0 and os.path.sameopenfile(end, number)
    said.append(f"{kind}{'=' if same else ''}{'!' if 0 <= end < FIRST_FREE else ''}")
os.write(int(sys.argv[1]), (" ".join(said) + f" {len(found.relays)}").encode())
"""


def layout(*words: str, stdin: object = subprocess.DEVNULL, stdout: object = subprocess.DEVNULL) -> str:
    """Kind of each stream ("=" where it is the caller's own), and the number of relays. Standard error is /dev/null."""
    read, write = os.pipe()
    command = [sys.executable, "-c", LAYOUT, str(write), *words]
    subprocess.run(command, cwd=ROOT, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL, pass_fds=[write], check=True)  # type: ignore[call-overload]
    os.close(write)
    with os.fdopen(read) as report:
        return report.read()


def test_not_even_null_is_handed_on() -> None:
    assert layout("interactive") == "pipe pipe pipe 3"


def test_standard_input_is_nobodys_unless_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with (tmp_path / "secret").open() as secret:
        assert layout(stdin=secret) == "pipe pipe pipe 2"


@pytest.mark.parametrize("kind", ["file", "pipe", "socket"])
def test_what_could_be_used_otherwise_stays_outside(tmp_path: Path, kind: str) -> None:
    """A file can be read and truncated, a socket connected, a pipe opened the other way round (/proc/self/fd)."""
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    with (tmp_path / "out").open("w+") as file, ours, theirs:
        stdin, stdout = {"file": (file, file), "pipe": (read, write), "socket": (ours, theirs)}[kind]
        assert layout("interactive", stdin=stdin, stdout=stdout) == "pipe pipe pipe 3"
    os.close(read)
    os.close(write)


def test_with_a_terminal_of_its_own_nothing_is_handed_on() -> None:
    assert layout("terminal") == "none none none 0"


@pytest.fixture(name="pipes")
def two_pipes() -> Iterator[tuple[int, int, int, int]]:
    source, target = os.pipe(), os.pipe()
    yield (*source, *target)
    for descriptor in (*source, *target):
        try:
            os.close(descriptor)
        except OSError:  # the test closed it
            continue


def test_a_relay_copies_whole_and_in_order(pipes: tuple[int, int, int, int]) -> None:
    read, feed, sink, write = pipes
    relay = Relay(read, write)
    content = os.urandom(3 * CHUNK + 7)
    os.write(feed, content)
    os.close(feed)
    copied = b""
    while relay.read():
        assert relay.waits_for()[0] == write
        while relay.pending:
            assert relay.write()
        assert relay.waits_for()[0] == read
        copied += os.read(sink, CHUNK)
    assert copied == content


def test_a_reader_that_has_gone_ends_it(pipes: tuple[int, int, int, int]) -> None:
    read, feed, sink, write = pipes
    relay = Relay(read, write)
    os.write(feed, b"x")
    assert relay.read()
    os.close(sink)
    assert not relay.write()


def test_a_full_target_is_waited_for_and_nothing_is_lost(pipes: tuple[int, int, int, int]) -> None:
    read, feed, sink, write = pipes
    os.set_blocking(write, False)
    filled = 0
    try:
        while True:
            filled += os.write(write, bytes(CHUNK))
    except BlockingIOError:
        relay = Relay(read, write)
    os.write(feed, b"kept")
    assert relay.read()
    assert relay.write()
    assert relay.pending == b"kept"
    while filled:
        filled -= len(os.read(sink, filled))
    assert relay.write()
    assert os.read(sink, 8) == b"kept"


def test_its_own_ends_are_closed_with_it_and_only_once(pipes: tuple[int, int, int, int]) -> None:
    read, _, sink, write = pipes
    relay = Relay(read, write, own=(write,))
    relay.close()
    relay.close()
    assert os.read(sink, 1) == b""
    os.fstat(read)
