"""How far a payload gets under the profiles that ship: the whole probe, from a plain root of busybox, under each of them.

`GRANTED` is everything that a strict default refuses and some shipped profile grants, with the reason. What is not there and
is reached fails the test, and so does an entry that is not reached any more.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from enforcer.oci.syscalls import NUMBERS
from tests import shipped
from tests.kernel import probing
from tests.kernel.running import ENFORCER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.kernel.probing import Attempt
    from tests.kernel.running import Site

pytestmark = [
    pytest.mark.skipif(not shutil.which("gcc"), reason="gcc builds the probe"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the probe enters the kernel by x86-64's three entries"),
]
LISTS = frozenset({"base/minimal", "base/default", "base/moby"})  # system calls only: nobody runs under them alone
PROFILES = [name for name in shipped.NAMES if name not in LISTS]
MOST_REACHED = 8  # of the strict attempts, under the default profile
MOST_CALLS = {"base/static": 60, "base/python": 175}

_VOLUME = {
    "f.see_srv": "the profile's own volume is mounted there, and nothing else of the host's",
    "r.fill_everywhere": "a volume is as large as the file system that holds the store: the language gives it no size",
}
GRANTED: dict[str, dict[str, str]] = {
    "compiler": {**_VOLUME, "r.memory": "2 GiB, for C++"},
    "npm-install": _VOLUME,
    "pip-install": _VOLUME,
    "web-application": {"f.see_srv": _VOLUME["f.see_srv"], "p.env_pythonpath": "the volume is a place of modules"},
}

# A launcher's session with a key in it, the environment of a careless caller, and a descriptor that was left open.
SESSION = """
import ctypes, os, sys
call = ctypes.CDLL(None).syscall
call(250, 1, 0)
call(248, b"user", b"reach-test", b"x", 1, -3)
os.set_inheritable(os.open("/", os.O_RDONLY | os.O_DIRECTORY), True)
os.execv(sys.argv[1], sys.argv[1:])
"""
CANARY = "REACH_TEST_TOKEN"


@pytest.fixture(scope="module", name="image")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain root: busybox, the probe, and empty directories."""
    directory = probing.rootfs(tmp_path_factory.mktemp("image"))
    shutil.copy("/bin/busybox", directory / "bin")
    (directory / "bin" / "sh").symlink_to("busybox")
    directory.chmod(0o755)
    return directory


def probe(site: Site, image: Path, policy: Path, *options: str) -> dict[str, Attempt]:
    """Run the probe under a profile, from a caller that leaves everything about."""
    prefix = (sys.executable, "-c", SESSION, str(ENFORCER), "run", "--policy", str(policy), f"rootfs:{image}")
    return probing.run_probe(prefix, *options, program="/bin/probe", environment=site.environment(**{CANARY: "secret"}))


@pytest.fixture(scope="module", params=PROFILES, name="found")
def whole_probe(request: pytest.FixtureRequest, site: Site, image: Path) -> tuple[str, Mapping[str, Attempt]]:
    """What the whole probe finds under one profile, with everything told to it that it may look for."""
    name: str = request.param
    abstract = f"reach-test-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{abstract}")
        listener.listen()
        options = ["--canary", CANARY, "--key", "reach-test", "--hostname", platform.node(), "--host-pid", str(os.getpid())]
        options += ["--host-port", str(port.getsockname()[1]), "--host-abstract", abstract]
        options += ["--host-path", str(site.directory), "--host-path", "/var/lib/dpkg/status"]
        return name, probe(site, image, shipped.POLICIES / f"{name}.yaml", *options)


def test_nothing_is_reached_that_is_not_granted_on_purpose(found: tuple[str, Mapping[str, Attempt]]) -> None:
    name, attempts = found
    reached = probing.reached(attempts)
    assert {attempt.name for attempt in reached} == GRANTED.get(name, {}).keys(), probing.describe(reached)
    assert sum(attempt.strict for attempt in attempts.values()) > 900


def test_no_call_of_another_abi_passes(found: tuple[str, Mapping[str, Attempt]]) -> None:
    _, attempts = found
    assert attempts["k.calls_i386"].calls == ()
    assert attempts["k.calls_x32"].calls == ()


def test_no_call_passes_that_is_not_granted(found: tuple[str, Mapping[str, Attempt]]) -> None:
    name, attempts = found
    granted = numbers(name)
    passing = set(attempts["k.calls_x86_64"].calls or ())
    assert passing <= granted
    assert len(passing) > len(granted) / 2
    assert len(granted) <= MOST_CALLS.get(name, 175)


def test_the_default_profile_is_strict() -> None:
    assert len(GRANTED.get("default", {})) <= MOST_REACHED


def numbers(name: str) -> set[int]:
    """The numbers of x86-64 that a shipped profile grants, with whatever arguments."""
    table = NUMBERS["x86_64"]
    return {table[call] for call in shipped.policy(name).syscalls.allowed if call in table}


@pytest.mark.parametrize("name", MOST_CALLS)
def test_the_kernel_counts_as_the_policy_does(site: Site, image: Path, name: str) -> None:
    """With seccomp(2) granted too, the probe's own filter tells exactly which calls pass, at least with small arguments."""
    policy = site.profile(f"extends: {name}\nsyscalls: {{allow: [seccomp]}}\n")
    attempts = probe(site, image, policy, "--only", "k.calls_*")
    passing = set(attempts["k.calls_x86_64"].calls or ())
    granted = numbers(name) | {NUMBERS["x86_64"]["seccomp"]}
    assert "our own filter" in attempts["k.calls_x86_64"].detail
    assert passing <= granted
    by_large_arguments = {NUMBERS["x86_64"][call] for call in ("arch_prctl", "ioctl", "prctl")}
    assert granted - passing <= by_large_arguments
    assert len(passing) <= MOST_CALLS[name] + 1
    assert attempts["k.calls_i386"].calls == attempts["k.calls_x32"].calls == ()


def test_a_hole_would_be_seen(site: Site, image: Path) -> None:
    """The same probe, one clause wider at a time: it reaches what that clause grants."""
    wider = {
        "environment: {pass: [REACH_TEST_TOKEN]}": "p.env_canary",
        "syscalls: {allow: [keyctl]}": "k.keyctl_session",
        "run: {user: '0:0'}": "i.uid_zero_inside",
        "resources: {pids: 5000, processes: 5000}": "r.threads",
    }
    for clause, name in wider.items():
        policy = site.profile(f"extends: default\n{clause}\n")
        attempt = probe(site, image, policy, "--only", name, "--canary", CANARY)[name]
        assert attempt.reached, clause
