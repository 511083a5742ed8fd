"""The same as an ordinary user: with subordinate ids by newuidmap, and with the caller's one id where there are none."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel.running import NAMESPACES, OPEN, Site, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = f"enftest{os.getpid()}"
BARE = OPEN + "resources: {open_files: 64, processes: 30}\n"
FIRST, COUNT = 3_200_000_000, 65536


def private(*lines: str) -> str:
    return f"{BARE}filesystem: {{mounts: [{', '.join(lines)}]}}\n"


def forget(name: str) -> None:
    """Take an account's lines out of /etc/subuid and /etc/subgid: userdel leaves those that it did not write."""
    for path in (Path("/etc/subuid"), Path("/etc/subgid")):
        if path.exists():
            lines = [line for line in path.read_text().splitlines(keepends=True) if not line.startswith(f"{name}:")]
            path.write_text("".join(lines))


@pytest.fixture(name="account", scope="module")
def made_account() -> Iterator[str]:
    """A user of this session's own, with a range of subordinate ids."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a user")
    if not shutil.which("newuidmap"):
        pytest.skip("newuidmap is not installed")
    subprocess.run(["/usr/sbin/useradd", "--no-create-home", "--shell", "/bin/false", NAME], check=True)
    try:
        forget(NAME)
        for path in ("/etc/subuid", "/etc/subgid"):
            with open(path, "a") as file:
                file.write(f"{NAME}:{FIRST}:{COUNT}\n")
        yield NAME
    finally:
        forget(NAME)
        subprocess.run(["/usr/sbin/userdel", NAME], check=True, capture_output=True)


@pytest.fixture(name="home", scope="module")
def made_home(account: str) -> Iterator[Path]:
    """A directory that the user can reach."""
    directory = Path(tempfile.mkdtemp(prefix=f"pytest-of-{account}-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(name="user", scope="module")
def site_of_user(account: str, home: Path) -> Site:
    directory = home / "ranged"
    directory.mkdir()
    return Site(directory, account)


@pytest.fixture(name="alone", scope="module")
def site_of_user_without_ids(account: str, home: Path, user: Site) -> Site:
    """The same user, on a host where newuidmap is not there: its facts say so."""
    del user
    directory = home / "alone"
    directory.mkdir()
    return Site(directory, account)


HIDDEN = {"facts": {"newuidmap": "", "newgidmap": ""}}


def looks(site: Site, profile: str, *words: str, hidden: bool = False) -> dict[str, str]:
    """`payload look` by way of `launches`, which can replace facts."""
    from tests.kernel.running import hosts_namespaces, seen  # noqa: PLC0415

    request = {**HIDDEN, "accept_weaker": ["run.user"]} if hidden else {}
    answers = site.launches(profile, "/bin/payload", "look", *hosts_namespaces(), *words, jobs=[{}], request=request)["answers"]
    assert answers[0]["code"] == 0, answers[0]
    return seen(answers[0]["out"])


@pytest.mark.parametrize("way", ["user", "alone"])
def test_the_core_holds(way: str, request: pytest.FixtureRequest) -> None:
    site: Site = request.getfixturevalue(way)
    before = snapshot(site.image)
    user = pwd.getpwnam(site.user)
    tries = ("c:/etc", "c:/", "c:/dev", "w:/dev/null", "r:/dev/zero", "c:/tmp", "s:/root", "s:/var", "x:/bin/true")
    seen = looks(site, private("{tmpfs: true, at: /tmp, size: 1MiB}"), *tries, hidden=way == "alone")
    assert {kind: seen[f"namespace.{kind}"] for kind in NAMESPACES} == dict.fromkeys(NAMESPACES, "own")
    assert [int(seen[f"status.Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")] == [0] * 5
    assert (seen["securebits"], seen["status.NoNewPrivs"], seen["status.Seccomp"]) == ("239", "1", "2")
    assert (seen["canary-key"], seen["session"], seen["terminal"]) == ("-ENOKEY", "inside", "-ENXIO")
    assert seen["descriptors"].split() == ["0", "1", "2"]
    assert [name for name in seen if name.startswith("interface.")] == ["interface.lo"]
    assert seen["loopback"] == "0"
    assert [name for name in seen if name.startswith("proc.")] == ["proc.self", "proc.thread-self"]
    expected = {
        "w:/dev/null": "0",
        "r:/dev/zero": "1",
        "c:/tmp": "0",
        "s:/root": "-ENOENT",
        "s:/var": "-ENOENT",
        "x:/bin/true": "0",
    }
    assert {name: seen[name] for name in expected} == expected
    assert {seen[name] for name in ("c:/etc", "c:/", "c:/dev")} <= {"-EROFS", "-EACCES"}
    assert seen["status.Uid"].split() == ["65532"] * 4
    assert seen["hostname"] == "test"
    assert (seen["limit.7"], seen["limit.6"]) == ("64 64", "30 30")
    assert [name for name in seen if name.startswith("mount./") and name.split("/")[1] not in ("dev", "proc", "tmp")] == [
        "mount./"
    ]
    assert snapshot(site.image) == before
    assert user.pw_uid


def test_groups_of_the_caller_are_gone_where_they_can_be(user: Site) -> None:
    """`launches` runs with one group more. A single-id map cannot drop it, so the plan calls that weaker and refuses."""
    assert looks(user, BARE)["status.Groups"].split() == []


def test_a_single_id_with_groups_is_weaker_and_refused(alone: Site) -> None:
    with pytest.raises(AssertionError, match=r"run\.user is weaker"):
        alone.launches(BARE, "/bin/true", jobs=[{}], request=HIDDEN)


def test_the_payload_can_open_its_streams_again(user: Site) -> None:
    ran = user.run(OPEN, "/bin/sh", "-c", "echo out >/dev/stdout; echo err >/dev/stderr")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "out\n", "err\n")


def test_the_command_line_works(user: Site) -> None:
    assert user.output("syscalls: {base: default}\n", "/bin/id").startswith("uid=65532")
    assert user.run(BARE + "run: {init: true}\n", "/bin/sh", "-c", "exit 9").returncode == 9
    assert user.run(BARE, "/bin/nothing").returncode == 127
    shown = user.output(BARE, "/bin/cat", "/proc/self/uid_map").split()
    assert shown[:3] == ["0", str(pwd.getpwnam(user.user).pw_uid), "1"]
    assert shown[3:] == ["1", str(FIRST), "65535"]


@pytest.mark.parametrize("wanted", ["memory: 64MiB", "cpus: 1"])
def test_a_bound_that_cannot_be_held_refuses(user: Site, wanted: str) -> None:
    done = user.run(f"{OPEN}resources: {{{wanted}}}\n", "/bin/true")
    assert done.returncode == 125
    assert "impossible" in done.stderr
    accepted = user.run(
        f"{OPEN}resources: {{{wanted}}}\n",
        "/bin/true",
        options=["--accept-weaker", f"resources.{wanted.split(':', maxsplit=1)[0]}"],
    )
    assert accepted.returncode == 0
    assert "accepted as weaker" in accepted.stderr


def runs(pid: str) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_payload_that_outlives_its_supervisor_is_ended_by_the_next_command(user: Site) -> None:
    """It may clear PR_SET_PDEATHSIG for itself, and without root no control group holds it."""
    script = "import ctypes, time; print(ctypes.CDLL(None).prctl(1, 0, 0, 0, 0), flush=True); time.sleep(100)"
    profile = "syscalls: {base: default}\nrun: {init: false}\n"
    words = user.words(profile, ["/usr/bin/python3", "-c", script], image="host")
    who: dict[str, Any] = {"user": user.user, "group": user.user, "extra_groups": []}
    with subprocess.Popen(words, cwd="/", stdout=subprocess.PIPE, text=True, env=user.environment(), **who) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        (payload,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
    assert runs(payload)
    assert user.run(OPEN, "/bin/true").returncode == 0
    assert not runs(payload)


def test_processes_are_bounded_without_a_controller(user: Site) -> None:
    assert int(user.output(OPEN + "resources: {pids: 15}\n", "/bin/payload", "forks", "40")) < 15


def test_volumes_and_binds_hold_their_owners(user: Site, home: Path) -> None:
    data = home / "data"
    data.mkdir(exist_ok=True)
    shutil.chown(data, user.user, user.user)
    data.chmod(0o777)
    profile = private(f"{{bind: {data}, at: /data, access: write}}", "{volume: v, at: /cache, access: write}")
    user.output(profile, "/bin/sh", "-c", "touch /data/made")
    assert (data / "made").stat().st_uid == FIRST + 65531
    root = private(f"{{bind: {data}, at: /data}}") + "run: {user: '0:0'}\n"
    assert user.output(root, "/bin/stat", "-c", "%u", "/data").strip() == "0"
    assert "Read-only" in user.run(root, "/bin/touch", "/data/x").stderr


def test_a_file_that_the_caller_cannot_read_stays_unreadable(user: Site, home: Path) -> None:
    secret = home / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    for who in ("", "run: {user: '0:0'}\ncapabilities: [DAC_OVERRIDE]\n"):
        done = user.run(private(f"{{bind: {secret}, at: /secret}}") + who, "/bin/cat", "/secret")
        assert done.returncode != 0
        assert "root's" not in done.stdout


@pytest.mark.parametrize("way", ["user", "alone"])
def test_faults_and_kills_leave_nothing(way: str, request: pytest.FixtureRequest, home: Path) -> None:
    """Every sixth call of each process; `test_run_faults` has them all."""
    site: Site = request.getfixturevalue(way)
    mark = home / f"mark-{way}"
    mark.mkdir(exist_ok=True)
    mark.chmod(0o777)
    profile = private(f"{{bind: {mark}, at: /data, access: write}}", "{tmpfs: true, at: /tmp, size: 1MiB}")
    asked = {**HIDDEN, "accept_weaker": ["run.user"]} if way == "alone" else {}
    command = ("/bin/touch", "/data/marker")
    steps = site.launches(profile, *command, jobs=[], request=asked)["steps"]
    jobs = []
    for where in ("launcher", "init"):
        count = len([step for step in steps if step["where"] == where and step["real"]])
        for number in range(0, count, 6):
            jobs += [{"fault": (where, number, 5)}, {"fault": (where, number, "kill")}]
    answers = site.launches(profile, *command, jobs=jobs, request=asked, marks=[str(mark / "marker")])["answers"]
    wrong = [
        (job["fault"], answer)
        for job, answer in zip(jobs, answers, strict=True)
        if answer["code"] not in (125, -9) or answer["left"] or answer["traces"]
    ]
    assert wrong == []
