"""The demo of the README: it shows what it says, it can fail, and it leaves nothing."""

from __future__ import annotations

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


def start(*options: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    pipe = subprocess.PIPE
    return subprocess.Popen([DEMO / "run", *options], env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def show(*options: str) -> Shown:
    with start(*options) as demo:
        text, _ = demo.communicate(timeout=PATIENCE_SECONDS)
    return Shown(demo.returncode, text, demo.pid)


def groups() -> set[str]:
    return {str(path) for path in Path("/sys/fs/cgroup").rglob("enforcer-*")}


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


@pytest.fixture(scope="module")
def before() -> set[str]:
    return groups()


@pytest.fixture(scope="module")
def shown(before: set[str]) -> Shown:
    del before
    return show()


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
def test_a_wider_profile_is_seen(options: tuple[str, str], expected: str) -> None:
    wider = show(*options)
    assert wider.code == 1, wider.text
    assert expected in wider.reached()
    assert re.search(rf"^reached {len(wider.reached())} of \d+$", wider.text, re.MULTILINE)


def test_an_application_that_is_kept_from_its_work_is_seen() -> None:
    starved = show("--policy", str(ROOT / "policies/base/python.yaml"))
    assert starved.code == 1, starved.text
    assert "The application did not produce its invoices." in starved.text


def test_what_cannot_be_enforced_is_not_started() -> None:
    refused = show("--allow-read", "/nowhere")
    assert refused.code == 2, refused.text
    assert "/nowhere" in refused.text
    assert refused.rows() == {}


def test_nothing_is_left(shown: Shown, before: set[str]) -> None:
    assert left_by(shown.pid) == []
    end = time.monotonic() + 20
    while groups() - before and time.monotonic() < end:  # other tests' containers come and go
        time.sleep(0.5)
    assert groups() - before == set()
    changed = subprocess.run(
        ["git", "-C", ROOT, "status", "--short", "--ignored", DEMO], check=True, capture_output=True, text=True
    ).stdout
    assert "pycache" not in changed
    assert "reports" not in changed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_interrupted(number: int) -> None:
    with start() as demo:
        time.sleep(1.0)
        demo.send_signal(number)
        demo.communicate(timeout=PATIENCE_SECONDS)
    assert demo.returncode == 130
    assert left_by(demo.pid) == []


def test_the_readme_shows_these_attempts(shown: Shown) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert list(Shown(0, text, 0).rows()) == list(shown.rows())
