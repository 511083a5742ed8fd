"""Promises of docs/threat-model.md that no other test holds, and limits that it admits: one that is gone must leave it too."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kernel.running import ENFORCER, OPEN, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

ORDINARY = 65534
CEILING = "profile: enforcer/v1\nname: ceiling\nsyscalls: {base: default}\nresources: {pids: 20}\n"


@pytest.fixture(name="own")
def own_site(tmp_path: Path) -> Site:
    """A store and state of one test's own, to spoil."""
    if os.geteuid() != 0:
        pytest.skip("only root can launch with everything on")
    return Site(tmp_path)


def plans(site: Site) -> list[Path]:
    return [path for path in (site.store / "cache" / "plans").iterdir() if not path.name.startswith(".")]


def test_a_kept_plan_is_used_only_while_nothing_changed(own: Site) -> None:
    profile = own.profile("syscalls: {base: default}\n")
    words = [str(ENFORCER), "run", "--policy", str(profile), f"rootfs:{own.image}", *"/bin/payload calls 135 -1".split()]
    answers = []
    for text in (
        "syscalls: {base: default}\n",
        "syscalls: {base: default}\n",
        "syscalls: {base: default, allow: [personality]}\n",
    ):
        profile.write_text("profile: enforcer/v1\nname: test\n" + text)
        answers.append(subprocess.run(words, capture_output=True, text=True, check=True, env=own.environment()).stdout)
    assert answers == ["-EPERM\n", "-EPERM\n", "0\n"]
    assert plans(own)


def test_what_is_kept_and_damaged_is_made_anew_and_what_others_may_write_is_refused(own: Site) -> None:
    """Of plans, host facts and filters alike: a cut file, as a full disk leaves it, must not stop every later run."""
    assert own.output(OPEN, "/bin/echo", "made") == "made\n"
    kept = sorted((own.store / "cache").glob("*/*"), key=lambda path: path.parent.name != "plans")
    assert {path.parent.name for path in kept} >= {"facts", "plans", "seccomp"}
    for path in kept:
        path.write_bytes(path.read_bytes()[:40])
    assert own.output(OPEN, "/bin/echo", "anew") == "anew\n"
    for path in kept:
        mode = path.stat().st_mode
        path.chmod(0o622)
        if path.parent.name != "plans":  # else the plan alone is read
            for plan in plans(own):
                plan.unlink()
        assert own.run(OPEN, "/bin/true").returncode == 125, path
        path.chmod(mode)


def test_a_ceiling_bounds_every_run_and_must_be_roots_alone(own: Site) -> None:
    """In a mount namespace with an /etc of its own."""
    run = f"{ENFORCER} run --policy {own.profile('extends: base/shell')} rootfs:{own.image} /bin/sh -c"
    forks = "'sleep 1 & sleep 1 & sleep 1 & echo many'"
    script = f"""
        set -e
        mkdir {own.directory}/upper {own.directory}/work
        mount -t overlay -o lowerdir=/etc,upperdir={own.directory}/upper,workdir={own.directory}/work overlay /etc
        {run} {forks}
        mkdir -p /etc/enforcer
        printf '{CEILING.replace("20", "3")}' >/etc/enforcer/ceiling.yaml
        {run} {forks} || echo bounded
        chmod 0666 /etc/enforcer/ceiling.yaml
        echo '# changed' >>/etc/enforcer/ceiling.yaml
        {run} {forks} || echo $?
    """
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=True, env=own.environment()
    )
    assert done.stdout.split() == ["many", "bounded", "125"], done.stderr
    assert "the site ceiling can be written by others than root" in done.stderr


@pytest.fixture(scope="module", name="person")
def ordinary_user() -> Iterator[Path]:
    """A directory that an ordinary user without subordinate ids owns, beside an image of root's."""
    if os.geteuid() != 0:
        pytest.skip("root becomes an ordinary user here")
    directory = Path(os.environ["TMPDIR"]) / f"person-{os.getpid()}"
    (directory / "home").mkdir(parents=True)
    Site.make_image(directory / "image")
    for path in (directory, directory / "image"):
        path.chmod(0o755)
    os.chown(directory / "home", ORDINARY, ORDINARY)
    yield directory
    shutil.rmtree(directory)


def rootless(person: Path, text: str, *command: str, groups: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run as the ordinary user. text: a profile. command: options, then the command after the image."""
    profile = person / "profile.yaml"
    profile.write_text("profile: enforcer/v1\nname: test\n" + text)
    profile.chmod(0o644)
    at = command.index("--")
    home = person / "home"
    words = [str(ENFORCER), "run", "--policy", str(profile), *command[:at], f"rootfs:{person}/image", *command[at + 1 :]]
    return subprocess.run(
        words,
        user=ORDINARY,
        group=ORDINARY,
        extra_groups=groups,
        env={"PATH": os.environ["PATH"], "ENFORCER_STORE": f"{home}/store", "ENFORCER_STATE": f"{home}/state"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_limit_a_single_id_is_the_callers_own(person: Path) -> None:
    granted = person / "home" / "granted"
    granted.mkdir()
    os.chown(granted, ORDINARY, ORDINARY)
    bind = f"filesystem: {{mounts: [{{bind: {granted}, at: /data, access: write}}]}}\n"
    shown = rootless(person, OPEN + bind, "--", "/bin/sh", "-c", "id -u; cat /proc/self/uid_map; echo x >/data/made").stdout
    assert shown.split() == ["65532", "65532", str(ORDINARY), "1"]
    assert (granted / "made").stat().st_uid == ORDINARY


def test_limit_high_bits_pass_conditions_that_are_not_equalities(site: Site) -> None:
    """The kernel hands 64 bits to the filter and looks at 32 of them itself: personality(2) is 8 either way."""
    calls = [("personality", 8), ("personality", 8 | 1 << 32), ("personality", 0xFFFFFFFF)]
    for operator, answers in {"!=": ["-EPERM", "0", "8"], ">": ["-EPERM", "0", "8"], "==": ["0", "-EPERM", "-EPERM"]}.items():
        rule = (
            f"syscalls: {{base: default, allow: [{{names: [personality], args: [{{index: 0, op: '{operator}', value: 8}}]}}]}}"
        )
        assert site.calls(rule + "\n", *calls) == answers
    masked = (
        "syscalls: {base: default, allow: [{names: [personality], args: [{index: 0, op: '&==', mask: 0xffffffff, value: 8}]}]}"
    )
    assert site.calls(masked + "\n", *calls) == ["0", "8", "-EPERM"]


def test_limit_a_bind_brings_what_is_mounted_below_its_source(site: Site, tmp_path: Path) -> None:
    """With the attributes of its clause."""
    (tmp_path / "below").mkdir()
    tmp_path.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "enforcer-test", tmp_path / "below"], check=True)
    try:
        (tmp_path / "below" / "file").write_text("below")
        profile = OPEN + f"filesystem: {{mounts: [{{bind: {tmp_path}, at: /data}}]}}\n"
        seen = site.look(profile, "r:/data/below/file", "c:/data/below")
    finally:
        subprocess.run(["umount", tmp_path / "below"], check=True)
    assert (seen["r:/data/below/file"], seen["c:/data/below"]) == ("1", "-EROFS")


def test_limit_files_that_cannot_be_idmapped_belong_to_nobody(site: Site, tmp_path: Path) -> None:
    """They are refused until that is accepted. What is made there carries a host id that a later container can get."""
    tmp_path.chmod(0o755)
    subprocess.run(["mount", "-t", "ramfs", "enforcer-test", tmp_path], check=True)
    try:
        tmp_path.chmod(0o777)
        (tmp_path / "file").write_text("x")
        profile = OPEN + f"filesystem: {{mounts: [{{bind: {tmp_path}, at: /data, access: write}}]}}\n"
        script = ("/bin/sh", "-c", "stat -c %u /data/file; echo x >/data/made; stat -c %u /data/made")
        assert site.run(profile, *script).returncode == 125
        shown = site.output(profile, *script, options=["--accept-weaker", "filesystem.mounts[0]"])
        made = (tmp_path / "made").stat().st_uid
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert shown.split() == ["65534", "65532"]
    assert made > ORDINARY


def test_limit_figures_of_the_host_that_have_no_namespace(site: Site) -> None:
    shown = site.output("syscalls: {base: default}\n", "/bin/busybox", "uname", "-r").strip()
    assert shown == os.uname().release
    sysinfo = site.output("syscalls: {base: default}\n", "/bin/busybox", "uptime")
    assert "load average" in sysinfo


def test_limit_complaining_refuses_nothing_of_the_native_abi(site: Site) -> None:
    complain = "syscalls: {base: minimal, violation: complain}\n"
    assert site.calls(complain, ("personality", 0xFFFFFFFF), ("unshare", 0x10000000), ("socket", 2, 1, 0)) == ["0", "0", "3"]


def test_limit_what_a_payload_prints_reaches_the_callers_terminal_as_it_is(site: Site) -> None:
    words = " ".join(site.words(OPEN, ["/bin/busybox", "printf", "'\\033]0;title\\007'"]))
    command = ["script", "-qec", words, os.devnull]
    shown = subprocess.run(command, capture_output=True, check=True, env=site.environment(), stdin=subprocess.DEVNULL).stdout
    assert b"\033]0;title\007" in shown


def test_limit_pid_1_is_hidden_but_there(site: Site) -> None:
    profile = OPEN + "run: {init: true}\n"
    assert site.shell(profile, "ls -d /proc/1; kill -0 1 && echo there; kill -9 1; echo on").split() == ["there", "on"]
    assert site.run(profile, "/bin/sh", "-c", "kill -TERM 1; sleep 5").returncode == 143
