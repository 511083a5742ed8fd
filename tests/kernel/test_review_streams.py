"""The caller's standard streams: nothing that is done to them stops signals or the time limit, or leads out."""

from __future__ import annotations

import os
import pty
import shutil
import socket
import subprocess
import tempfile
import time
import tty
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kernel.running import OPEN, Site

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOON = 15
BRIEF = "resources: {time: 1s}\n"
STOLEN = b"of another writer"


def start(
    site: Site, text: str, command: Sequence[str], *, options: Sequence[str] = (), **how: object
) -> subprocess.Popen[bytes]:
    """A run in the background, with no input unless one is given."""
    how = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": site.environment(), "cwd": "/"} | how
    if site.user:
        how |= {"user": site.user, "group": site.user, "extra_groups": []}
    return subprocess.Popen(site.words(text, command, options=options), **how)  # type: ignore[call-overload,no-any-return]


def end_of(process: subprocess.Popen[bytes]) -> int | None:
    """The exit code, None when it does not end soon; then it is killed."""
    try:
        return process.wait(SOON)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Master and slave of a pseudo-terminal in raw mode."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, slave
    os.close(master)
    os.close(slave)


@pytest.fixture(scope="module")
def user_site() -> Iterator[Site]:
    """A site of a user without rights."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    directory = Path(tempfile.mkdtemp(prefix="review-"))
    directory.chmod(0o755)
    yield Site(directory, "daemon")
    shutil.rmtree(directory)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_descriptors_that_the_caller_closed_become_dev_null(site: Site, closed: tuple[int, ...]) -> None:
    """Else the container's record gets number 1, and the payload's output is written into it."""
    script = "echo out; echo err >&2; exit 7"
    shut = " ".join(f"{number}>&-" for number in closed)
    words = site.words(HARMLESS, ["/bin/sh", "-c", script])
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {shut}', "sh", *words],
        env=site.environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 7
    assert done.stdout == (b"" if 1 in closed else b"out\n")
    assert done.stderr == (b"" if 2 in closed else b"err\n")


HARMLESS = "run: {init: false}\n"


def test_a_reader_that_fails_does_not_leave_the_payload_waiting(site: Site) -> None:
    with open("/dev/full", "wb") as full:
        assert end_of(start(site, HARMLESS, ["/bin/seq", "1000000"], stdout=full)) not in (0, None)


def test_the_time_limit_holds_while_nobody_reads_the_terminal(site: Site, terminal: tuple[int, int]) -> None:
    process = start(site, BRIEF, ["/bin/seq", "100000000"], stdout=terminal[1], stderr=terminal[1])
    assert end_of(process) == 137


def test_the_time_limit_holds_while_the_payload_does_not_read_its_terminal(site: Site, terminal: tuple[int, int]) -> None:
    master, slave = terminal
    os.set_blocking(master, False)
    script = ["/bin/sh", "-c", "stty raw -echo; sleep 100"]
    process = start(site, OPEN + BRIEF, script, options=["-it"], stdin=slave, stdout=slave, stderr=slave)
    end = time.monotonic() + SOON
    while process.poll() is None and time.monotonic() < end:
        for action in (lambda: os.write(master, b"x" * 4096), lambda: os.read(master, 65536)):
            try:
                action()
            except BlockingIOError:
                time.sleep(0.01)
    assert end_of(process) == 137


def test_a_terminal_that_is_gone_hangs_up_the_payloads(site: Site) -> None:
    master, slave = pty.openpty()
    process = start(site, OPEN, ["/bin/seq", "100000000"], options=["-it"], stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    os.read(master, 100)
    os.close(master)
    assert end_of(process) not in (0, None)


def test_a_slow_reader_gets_everything(site: Site) -> None:
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    process = start(site, HARMLESS, ["/bin/head", "-c", "70000", "/dev/zero"], stdout=theirs)
    theirs.close()
    time.sleep(4)  # longer than the supervisor waits for a payload's end of a pipe
    received = 0
    while part := ours.recv(65536):
        received += len(part)
    assert (received, end_of(process)) == (70000, 0)
    ours.close()


def test_a_signal_ends_the_wait_for_a_reader(site: Site) -> None:
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    process = start(site, HARMLESS, ["/bin/head", "-c", "70000", "/dev/zero"], stdout=theirs)
    theirs.close()
    time.sleep(3)
    assert process.poll() is None
    process.terminate()
    assert end_of(process) == 0
    ours.close()


def test_a_payload_cannot_read_what_others_wrote_to_a_shared_pipe(user_site: Site) -> None:
    """Without own ids the pipe belongs to the payload's user: it could open /proc/self/fd/1 the other way round."""
    read, write = os.pipe()
    shutil.chown(write, "daemon")
    os.write(write, STOLEN)
    stealing = ["/bin/sh", "-c", "echo started >&2; exec 3</proc/self/fd/1 && head -c 17 <&3 >&2"]
    process = start(user_site, "run: {user: '0:0', init: false}\n" + OPEN, stealing, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    try:
        _, said = process.communicate(timeout=SOON)
    except subprocess.TimeoutExpired:  # the payload waits for its own pipe
        process.kill()
        _, said = process.communicate()
    assert b"started" in said
    assert STOLEN not in said
    assert os.read(read, 100) == STOLEN
    os.close(read)


def test_the_time_limit_holds_while_nobody_reads_one_pipe_for_both_outputs(site: Site) -> None:
    """Both relays see that the pipe takes a chunk, and the second one then finds it full."""
    read, write = os.pipe()
    script = "seq 1000000 & seq 1000000 >&2 & wait"
    process = start(site, OPEN + BRIEF, ["/bin/sh", "-c", script], stdout=write, stderr=write)
    os.close(write)
    try:
        time.sleep(4)
        assert process.poll() == 137
    finally:
        end_of(process)
        os.close(read)
