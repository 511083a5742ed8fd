"""The payload as a process: what it inherits, its terminal, signals, exit codes, and what becomes of its children."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.kernel.running import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kernel.running import Site

CANARY = "canary-of-the-caller"


def test_variables_of_the_caller_stay_outside_unless_passed(site: Site) -> None:
    env = {"CANARY": CANARY, "LANG": "C.UTF-8", "LD_PRELOAD": "/nowhere.so", "ENFORCER_X": "1"}
    plain = site.output(OPEN, "/bin/env", env=env)
    assert {line.partition("=")[0] for line in plain.splitlines()} == {"PATH", "HOME", "HOSTNAME"}
    profile = OPEN + "environment: {pass: [LANG, ABSENT], set: {PORT: '8080'}}\n"
    granted = site.output(profile, "/bin/env", env=env, options=["-e", "MORE=x=y", "-e", "CANARY"]).splitlines()
    assert {"LANG=C.UTF-8", "PORT=8080", "MORE=x=y", f"CANARY={CANARY}"} <= set(granted)
    assert not [line for line in granted if line.startswith(("ABSENT", "LD_PRELOAD", "ENFORCER"))]


def test_descriptors_of_the_caller_are_not_there(site: Site) -> None:
    opened = [os.open("/etc/hostname", os.O_RDONLY) for _ in range(7)]
    try:
        for descriptor in opened:
            os.set_inheritable(descriptor, True)  # noqa: FBT003  (its only form)
        for init in ("false", "true"):
            profile = f"{OPEN}run: {{init: {init}}}\n"
            assert site.output(profile, "/bin/payload", "fds", close_fds=False).split() == ["0", "1", "2"]
    finally:
        for descriptor in opened:
            os.close(descriptor)


def test_streams_that_are_more_than_streams_stay_outside(site: Site) -> None:
    """A file could be truncated, a socket connected elsewhere, a terminal typed into: the payload gets pipes instead."""
    ours, theirs = socket.socketpair()
    look = "for n in 0 1 2; do readlink /proc/self/fd/$n; done >&2"
    words = site.words(OPEN, ["/bin/sh", "-c", look], options=["-i"])
    with ours, theirs:
        done = subprocess.run(
            words, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False, env=site.environment()
        )
    assert [line.partition(":")[0] for line in done.stderr.split()] == ["pipe"] * 3
    file = site.directory / "stream"
    with file.open("w+") as opened:
        opened.write("in\n")
        opened.seek(0)
        subprocess.run(
            site.words(OPEN, ["/bin/sh", "-c", "cat; echo out; readlink /proc/self/fd/1"], options=["-i"]),
            stdin=opened,
            stdout=opened,
            check=True,
            env=site.environment(),
        )
    assert "out\npipe:" in file.read_text()
    file.unlink()


def test_the_payload_can_open_its_streams_again(site: Site) -> None:
    """Many images log to /dev/stdout."""
    ran = site.run(OPEN, "/bin/sh", "-c", "echo out >/dev/stdout; echo err >/dev/stderr")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "out\n", "err\n")


def test_standard_input_is_given_only_where_asked(site: Site) -> None:
    assert site.output(OPEN, "/bin/cat", input="x\n") == ""
    assert site.output(OPEN, "/bin/cat", input="x\n", options=["-i"]) == "x\n"


def test_keys_of_the_caller_are_not_there(site: Site) -> None:
    answer = site.launches(OPEN, "/bin/payload", "look", jobs=[{}])["answers"][0]
    assert "canary-key -ENOKEY\n" in answer["out"], answer
    keyctl_get_keyring_id, session_keyring, keyctl_read = 0, -3, 11
    own = site.calls(
        OPEN, ("keyctl", keyctl_get_keyring_id, session_keyring, 0), ("keyctl", keyctl_read, session_keyring, "%64", 64)
    )
    assert int(own[0]) > 0
    assert own[1] == "0"  # it is empty


def test_groups_are_exactly_those_of_the_policy(site: Site) -> None:
    """CVE-2023-25173, CVE-2022-36109: neither the caller's groups nor those of the image's root."""
    (site.image / "etc" / "group").write_text("root:x:0:\nuser:x:1000:\nextra:x:77:user,root\n")
    try:
        for user, groups in (("1000:1000", ""), ("0:0", ""), ("0:50", "")):
            answer = site.launches(f"{OPEN}run: {{user: '{user}'}}\n", "/bin/payload", "look", jobs=[{}])["answers"][0]
            found = next(line for line in answer["out"].splitlines() if line.startswith("status.Groups"))
            assert found.split()[1:] == groups.split()
            assert f"status.Gid:\t{user.partition(':')[2]}\t" in answer["out"]
    finally:
        (site.image / "etc" / "group").write_text("root:x:0:\nuser:x:1000:\n")


def test_mask_and_signals_are_the_default(site: Site) -> None:
    words = site.words(OPEN, ["/bin/payload", "look"])
    script = "umask 077; trap '' HUP INT TERM PIPE USR1 CHLD; exec \"$@\""
    done = subprocess.run(
        ["sh", "-c", script, "sh", *words], capture_output=True, text=True, check=True, env=site.environment()
    )
    assert "status.Umask:\t0022\n" in done.stdout
    assert "status.SigIgn:\t0000000000000000\n" in done.stdout
    assert "status.SigBlk:\t0000000000000000\n" in done.stdout


def test_a_pipe_without_reader_ends_the_payload(site: Site) -> None:
    assert site.shell(OPEN, "(while :; do echo x; done; echo $? >&2) 2>&1 | head -n 1; echo over") == "x\nover\n"


@pytest.mark.parametrize("code", [0, 1, 42, 125, 255])
@pytest.mark.parametrize("init", ["false", "true"])
def test_the_payloads_exit_code_is_ours(site: Site, code: int, init: str) -> None:
    assert site.run(f"{OPEN}run: {{init: {init}}}\n", "/bin/sh", "-c", f"exit {code}").returncode == code


def test_exit_codes_for_programs_that_cannot_run(site: Site) -> None:
    missing = site.run(OPEN, "/bin/nothing")
    assert (missing.returncode, missing.stdout) == (127, "")
    assert "cannot be executed" in missing.stderr
    assert site.run(OPEN, "nothing").returncode == 127
    assert site.run(OPEN, "/etc/passwd").returncode == 126
    assert site.run(OPEN, "/etc").returncode == 126
    assert site.run(OPEN + "run: {init: true}\n", "/bin/nothing").returncode == 127
    assert site.run(OPEN + "nonsense: 1\n", "/bin/true").returncode == 125
    assert site.run(OPEN, "/bin/true", image="rootfs:/nowhere/at/all").returncode == 125


def test_death_by_a_signal_is_128_and_its_number(site: Site) -> None:
    assert site.run(OPEN + "run: {init: true}\n", "/bin/sh", "-c", "kill -TERM $$").returncode == 143
    assert site.run(OPEN, "/bin/sh", "-c", "kill -KILL $$; exit 5").returncode == 5  # pid 1 is not killed from inside
    assert site.run(OPEN, "/bin/sh", "-c", "sh -c 'kill -KILL $$'; exit $?").returncode == 137


@contextmanager
def started(site: Site, profile: str, script: str) -> Iterator[subprocess.Popen[str]]:
    """A container whose script has said "up"."""
    words = site.words(profile, ["/bin/sh", "-c", script])
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=site.environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process


@pytest.mark.parametrize("init", ["false", "true"])
@pytest.mark.parametrize("name", ["TERM", "HUP", "INT", "USR1", "QUIT", "USR2"])
def test_signals_are_forwarded(site: Site, name: str, init: str) -> None:
    script = f"trap 'echo got {name}; exit 9' {name}; echo up; while :; do sleep 0.05; done"
    with started(site, f"{OPEN}run: {{init: {init}}}\n", script) as process:
        process.send_signal(signal.Signals[f"SIG{name}"])
        assert process.communicate(timeout=20) == (f"got {name}\n", "")
        assert process.returncode == 9


def test_a_payload_that_heeds_no_signal_is_ended_by_the_third(site: Site) -> None:
    with started(site, OPEN, "trap '' TERM; echo up; while :; do sleep 0.05; done") as process:
        for _ in range(3):
            process.terminate()
            time.sleep(0.1)
        assert process.wait(timeout=20) == 137


def test_init_reaps_what_is_left_to_it(site: Site) -> None:
    script = "for i in 1 2 3 4 5; do sh -c 'sleep 0.1 & exit 0'; done; sleep 0.6; ls /proc | grep -c '^[0-9]'"
    assert site.shell(OPEN + "run: {init: true}\n", script) == "3\n"  # shell, ls, grep; pid 1 is hidden


def test_a_process_that_outlives_the_payload_ends_with_it(site: Site) -> None:
    started_at = time.monotonic()
    for init in ("false", "true"):
        assert site.run(f"{OPEN}run: {{init: {init}}}\n", "/bin/sh", "-c", "sleep 60 & exit 4").returncode == 4
    assert time.monotonic() - started_at < 30


class Terminal:
    """A terminal of ours, with enforcer in it as a shell would start it."""

    def __init__(self, site: Site, words: list[str]) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("<4H", 33, 77, 0, 0))
        self.process = subprocess.Popen(
            ["setsid", "-c", "-w", *words], stdin=slave, stdout=slave, stderr=slave, env=site.environment()
        )
        os.close(slave)
        self.seen = ""

    def until(self, word: str, seconds: float = 20) -> str:
        """Read until a word is shown."""
        end = time.monotonic() + seconds
        while word not in self.seen:
            assert select.select([self.master], [], [], max(0, end - time.monotonic()))[0], self.seen
            try:
                self.seen += os.read(self.master, 4096).decode()
            except OSError:
                break
        return self.seen

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        os.write(self.master, text.encode())

    def end(self) -> int:
        """The exit code."""
        self.until("\0never")
        code = self.process.wait(timeout=20)
        os.close(self.master)
        return code


def test_the_callers_terminal_is_out_of_reach(site: Site) -> None:
    """CVE-2017-5226: no controlling terminal, and no descriptor of it."""
    tiocsti = f"{0x5412}"
    inside = "tty; readlink /proc/self/fd/1; cat </dev/tty; /bin/payload calls 16 0 $0 @x , 16 1 $0 @x , 16 2 $0 @x; echo done"
    terminal = Terminal(site, site.words(OPEN, ["/bin/sh", "-c", inside, tiocsti], options=["-i"]))
    shown = terminal.until("done")
    assert "not a tty" in shown
    assert "pipe:" in shown
    assert "can't open /dev/tty" in shown
    assert "/dev/pts" not in shown
    assert shown.count("-ENOTTY") == 3
    assert terminal.end() == 0


def test_a_terminal_of_its_own(site: Site) -> None:
    profile = "syscalls: {base: default}\n"
    inside = "tty; stty size; trap 'echo interrupted; exit 7' INT; echo up; while :; do sleep 0.05; done"
    terminal = Terminal(site, site.words(profile, ["/bin/sh", "-c", inside], options=["-it"]))
    shown = terminal.until("up")
    assert "/dev/pts/0" in shown
    assert "33 77" in shown
    terminal.type("\x03")
    terminal.until("interrupted")
    assert terminal.end() == 7


def test_nothing_can_be_typed_into_a_terminal_by_the_payload(site: Site) -> None:
    """The filter refuses TIOCSTI and TIOCLINUX, with any high bits set."""
    calls = ["16 0 0x5412 @x", "16 0 0x541c @x", "16 0 0x100005412 @x"]
    done = site.run("syscalls: {base: default}\n", "/bin/payload", "calls", *" , ".join(calls).split(), options=["-t"])
    assert done.stdout.split() == ["-EPERM"] * 3


def test_a_terminal_follows_the_size_of_the_callers(site: Site) -> None:
    inside = "trap 'stty size; exit 3' WINCH; echo up; while :; do sleep 0.05; done"
    terminal = Terminal(site, site.words("syscalls: {base: default}\n", ["/bin/sh", "-c", inside], options=["-it"]))
    terminal.until("up")
    fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("<4H", 11, 22, 0, 0))
    os.kill(int(terminal.process.pid), signal.SIGWINCH)
    terminal.until("11 22")
    assert terminal.end() == 3


def test_what_is_typed_reaches_the_payload_and_nothing_else(site: Site) -> None:
    terminal = Terminal(
        site, site.words("syscalls: {base: default}\n", ["/bin/sh", "-c", "read line; echo got:$line; exit 5"], options=["-it"])
    )
    time.sleep(0.3)
    terminal.type("hello\n")
    terminal.until("got:hello")
    assert terminal.end() == 5


def test_without_a_terminal_none_can_be_given(site: Site) -> None:
    done = site.run(OPEN, "/bin/true", options=["-it"])
    assert done.returncode == 125
    assert "not a terminal" in done.stderr
    assert "/dev/pts/0" in site.run(OPEN, "/bin/tty", options=["-t"]).stdout
