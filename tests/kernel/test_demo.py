"""The demo of the README: it shows what it says, it can fail, and it leaves nothing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples/compromised-dependency"
DIRECTORIES = Path("/var/tmp")
PATIENCE_SECONDS = 120
_GROUP = re.compile(rb"/sys/fs/cgroup/[^\0]*enforcer-[0-9a-f]+")
_ROW = re.compile(r"^  (.{47}) (.{18}) (.{13}) (.{14}) (reached|not here)$")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the demo runs as root")


@dataclass(frozen=True, slots=True)
class Shown:
    code: int
    text: str
    pid: int

    def rows(self) -> dict[str, tuple[str, ...]]:
        """Attempt → what refused it, the answer, what came of it, and what comes of it unconfined."""
        found = filter(None, map(_ROW.match, self.text.splitlines()))
        return {row[1].strip(): tuple(cell.strip() for cell in row.groups()[1:]) for row in found}

    def reached(self) -> list[str]:
        return [name for name, row in self.rows().items() if row[2] == "REACHED"]


def start(state: Path, *options: str) -> subprocess.Popen[str]:
    """Start the demo. state: where its container is written down, which is not asked of it but lets us watch."""
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"ENFORCER_STATE": str(state)}
    pipe = subprocess.PIPE
    return subprocess.Popen([DEMO / "run", *options], env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def show(state: Path, *options: str) -> Shown:
    with start(state, *options) as demo:
        text, _ = demo.communicate(timeout=PATIENCE_SECONDS)
    return Shown(demo.returncode, text, demo.pid)


def groups(state: Path) -> set[Path]:
    """The control groups of the container that runs, "" when none does yet."""
    found: set[Path] = set()
    for file in state.glob("containers/[0-9]*"):
        try:
            found |= {Path(word.decode()) for word in _GROUP.findall(file.read_bytes())}
        except OSError:
            continue
    return {path for path in found if path.is_dir()}


def wait_for_groups(demo: subprocess.Popen[str], state: Path) -> set[Path]:
    """The control groups of the demo's container, once something runs in them."""
    while demo.poll() is None:
        found = groups(state)
        with contextlib.suppress(OSError):  # it may end while we look
            if any((path / "cgroup.procs").read_bytes() for path in found):
                return found
        time.sleep(0.005)
    raise AssertionError(demo.communicate()[0])


def left_by(pid: int) -> list[str]:
    """What stays of a demo: its directory, and mounts or processes that know of it."""
    mark = f"{DEMO.name}-{pid}-"
    left = [str(path) for path in DIRECTORIES.glob(f"{mark}*")]
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            left += [str(words)] if mark.encode() in words.read_bytes() else []
        except OSError:
            continue
    return left + [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if mark in line]


def edited(directory: Path, edits: dict[str, str]) -> Path:
    """The demo's profile with some words changed, each of which stands there once."""
    text = (DEMO / "profile.yaml").read_text(encoding="utf-8")
    for words, instead in edits.items():
        assert text.count(words) == 1
        text = text.replace(words, instead)
    profile = directory / "edited.yaml"
    profile.write_text(text, encoding="utf-8")
    return profile


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return show(tmp_path_factory.mktemp("state"))


def test_the_application_works_and_nothing_is_reached(shown: Shown) -> None:
    assert shown.code == 0, shown.text
    assert "4 invoices over 1,668.27 EUR written to /reports/invoices.txt" in shown.text
    assert re.search(r"^reached 0 of (\d+)$", shown.text, re.MULTILINE), shown.text
    assert shown.reached() == []


def test_each_attempt_that_counts_reaches_unconfined(shown: Shown) -> None:
    rows = shown.rows()
    control = [name for name, row in rows.items() if row[3] == "reached"]
    assert shown.text.rstrip().endswith(f"reached 0 of {len(control)}")
    assert len(control) >= 40
    for name in set(rows) - set(control):
        assert f"\n  {name} (" in shown.text, "it says why it does not count"


def test_each_refusal_is_attributed(shown: Shown) -> None:
    assert "not attributed" not in shown.text
    assert all(row[0] and row[1] for row in shown.rows().values())
    used = {row[0] for row in shown.rows().values()}
    assert used >= {
        "seccomp",
        "mount namespace",
        "network namespace",
        "pid namespace",
        "pids cgroup",
        "memory cgroup",
        "Landlock",
    }


def test_output_is_plain_and_narrow(shown: Shown) -> None:
    assert "\x1b" not in shown.text
    assert max(map(len, shown.text.splitlines())) <= 110


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--allow-read", "{home}"), "read the SSH private key, ~/.ssh/id_ed25519"),
        (("--allow-read", "/run/docker.sock"), "reach /run/docker.sock"),
        (("--allow-write", "{home}/.bashrc"), "add a line to ~/.bashrc"),
    ],
)
def test_a_wider_profile_is_seen(options: tuple[str, str], expected: str, tmp_path: Path) -> None:
    wider = show(tmp_path, *options)
    assert wider.code == 1, wider.text
    assert expected in wider.reached()
    assert re.search(rf"^reached {len(wider.reached())} of \d+$", wider.text, re.MULTILINE)


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ({"execute: [/usr/bin/python3, /usr/lib]": "execute: [/]"}, "start a shell"),
        ({"/app, access: read": "/app, access: write", "write: [": "write: [/app, "}, "change the application's own code"),
        ({"filesystem:\n": "syscalls: {allow: [io_uring_setup]}\nfilesystem:\n"}, "set up an io_uring"),
    ],
)
def test_each_line_of_the_profile_counts(edits: dict[str, str], expected: str, tmp_path: Path) -> None:
    wider = show(tmp_path, "--policy", str(edited(tmp_path, edits)))
    assert wider.code == 1, wider.text
    assert wider.reached() == [expected]


def test_behind_one_mechanism_stands_another(tmp_path: Path) -> None:
    name = "change the application's own code"
    wider = show(tmp_path, "--policy", str(edited(tmp_path, {"/app, access: read": "/app, access: write"})))
    assert wider.code == 0, wider.text
    assert wider.rows()[name][:2] == ("Landlock", "EACCES")


def test_an_application_that_is_kept_from_its_work_is_seen(tmp_path: Path) -> None:
    starved = show(tmp_path, "--policy", str(ROOT / "policies/base/python.yaml"))
    assert starved.code == 1, starved.text
    assert "The application did not produce its invoices." in starved.text


def test_what_cannot_be_enforced_is_not_started(tmp_path: Path) -> None:
    refused = show(tmp_path, "--allow-read", "/nowhere")
    assert refused.code == 2, refused.text
    assert "/nowhere" in refused.text
    assert refused.rows() == {}


def test_nothing_is_left(tmp_path: Path) -> None:
    with start(tmp_path) as demo:
        made = wait_for_groups(demo, tmp_path)
        demo.communicate(timeout=PATIENCE_SECONDS)
    assert demo.returncode == 0
    assert left_by(demo.pid) == []
    assert [path for path in made if path.exists()] == []
    assert [path.name for path in tmp_path.glob("containers/*")] == ["lock"]
    words = ("git", "-C", str(ROOT), "status", "--short", "--ignored", str(DEMO))
    status = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert "pycache" not in status
    assert "reports" not in status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_when_it_is_interrupted(number: int, tmp_path: Path) -> None:
    with start(tmp_path) as demo:
        made = wait_for_groups(demo, tmp_path)
        demo.send_signal(number)
        demo.communicate(timeout=PATIENCE_SECONDS)
    assert demo.returncode == 130
    assert left_by(demo.pid) == []
    assert [path for path in made if path.exists()] == []


def test_the_readme_shows_these_attempts(shown: Shown) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert list(Shown(0, text, 0).rows()) == list(shown.rows())
