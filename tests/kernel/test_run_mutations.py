"""Every step of the launch program counts: without it something that was refused is reached, or the launch fails.

Two policies together use every kind of step. Each is launched once whole, and once for each step without that step; `payload
look` says what the payload sees, and `launches` what the host sees. A step whose absence nobody notices must be explained.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel.running import OPEN, Site, hosts_namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

ALWAYS = ("null", "zero", "full", "random", "urandom", "tty")
# Steps that nothing notices, by a pattern on "where call args clause note", and why they stay: defence in depth.
REDUNDANT = {
    r"close .*": "the descriptor closes at execve, and close_range closes it before; this only keeps the table short",
    r"launcher write .*b'100000',6 resources\.cpus": "100000 is the kernel's own default",
    r"launcher mount_setattr Ref\(name='layer": "the overlay above it has the same attributes; nobody reaches the layer itself",
    r"init mount_setattr -100,b'/'.*filesystem\.root": "in a new user namespace mounts are slaves already; "
    "without one pivot_root fails: test_without_private_propagation_a_shared_root_cannot_be_left",
    r"init fsconfig .*newinstance": "every devpts is an instance of its own since Linux 4.7",
    r"init fsconfig .*'mode',b'1777'": "the kernel's own default for a tmpfs",
    r"init fsconfig .*'stage-context'.*'mode'": "the upper directory, not the stage, gives the root its mode",
    r"init fsconfig .*'stage-context'.*'size',b'4194304'": "the root is read-only: nobody but enforcer writes to its stage",
    r"init fsconfig .*nr_inodes": "it takes a thousand files to notice: test_empty_files_are_bounded",
    r"init mkdirat .*b'(home|user)',.*run\.cwd": "the image has it",
    r"init chdir b'/' filesystem\.root": "the working directory is set again, by an absolute path, before execve",
    r"init prlimit64 0,1[34],": "RLIMIT_NICE and RLIMIT_RTPRIO are 0 by default, and raising them takes CAP_SYS_RESOURCE",
    r"init prctl 47,4,": "CLONE_NEWUSER cleared the ambient set; capset, later, clears what is not inheritable",
    r"init prctl 4,0,.*may have changed it": "the change of ids has cleared it already, while fs.suid_dumpable is 0",
    r"init prctl 1,9,.*(dies with its supervisor|setresuid cleared it)": "the last of these, and the word to the launcher that "
    "follows it, are what must not be missing; the others only end a container sooner",
    r"init rt_sigaction (17|9|19),": "nobody can ignore these, or the launcher needs the signal itself",
}


class Scene:
    """A host with something to lose: files, a device, a caller with everything that must not be inherited."""

    def __init__(self, directory: Path) -> None:
        self.site = Site(directory)
        self.bind = directory / "bind"
        self.bind.mkdir()
        (self.bind / "file").write_text("host")
        shutil.chown(self.bind / "file", 1000, 1000)
        self.bind.chmod(0o777)
        self.node = Path(f"/dev/enforcer-tests-{os.getpid()}")
        os.mknod(self.node, 0o20666, os.makedev(10, 229))  # fuse
        self.node.chmod(0o666)
        image = self.site.image
        (image / "private").mkdir()
        (image / "private" / "file").write_text("image")
        shutil.copy(image / "bin" / "busybox", image / "private" / "true")
        (image / "home" / "user" / "in").mkdir()
        shutil.chown(image / "home" / "user" / "in", 1000, 1000)

    def everything(self) -> str:
        """A profile with a step of almost every kind."""
        return OPEN + (
            "run: {user: '1000:1000', cwd: /work}\n"
            "capabilities: [CHOWN]\n"
            "filesystem:\n"
            "  root: ephemeral\n"
            "  mounts:\n"
            f"    - {{bind: {self.bind}, at: /data, access: read}}\n"
            "    - {volume: cache, at: /cache, access: write}\n"
            "    - {tmpfs: true, at: /tmp, size: 1MiB}\n"
            "    - {secret: token, from: 'env:TOKEN', at: /run/secrets/token, mode: '0444'}\n"
            "  paths: {read: [/bin, /etc, /run, /data], write: [/tmp, /cache, /home/user/in], execute: [/bin]}\n"
            f"  devices: [{self.node}]\n"
            "resources: {memory: 24MiB, pids: 12, cpus: 0.5, open_files: 64, processes: 40, scratch: 8MiB, time: 10s}\n"
        )

    def words(self) -> list[str]:
        """What to look at."""
        devices = [f"{kind}:/dev/{name}" for name in ALWAYS for kind in "srw"]
        links = [f"s:/dev/{name}" for name in ("ptmx", "fd", "stdin", "stdout", "stderr", "shm")]
        paths = (
            "r:/run/secrets/token s:/run/secrets/token w:/data/file r:/data/file s:/data/file l:/data c:/data c:/cache "
            "l:/cache s:/cache f:/tmp c:/tmp l:/tmp f:/home/user/in l:/home/user/in c:/home/user c:/etc r:/etc/passwd "
            "l:/etc x:/bin/true l:/bin x:/private/true r:/private/file l:/private l:/dev/pts r:/dev/ptmx w:/dev/ptmx "
            "s:/bin/busybox l:/proc/self/task"
        )
        node = [f"{kind}:{self.node}" for kind in "srw"]
        return ["/bin/payload", "look", *hosts_namespaces(), *paths.split(), *devices, *links, *node, "forks=20", "hog=32"]


@pytest.fixture(name="scene")
def made_scene(tmp_path: Path) -> Iterator[Scene]:
    if os.geteuid() != 0:
        pytest.skip("only root can launch with everything on")
    scene = Scene(tmp_path)
    yield scene
    scene.node.unlink()


def named(step: dict[str, Any]) -> str:
    return f"{step['where']} {step['call']} {','.join(step['args'])} {step['clause']} {step['note']}"


def noticed(whole: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Whether a launch differs from the whole one: by what was seen, by failing, or by never ending."""
    return (answer["code"], answer["out"]) != (whole["code"], whole["out"])


def pairs(steps: list[dict[str, Any]]) -> list[list[int]]:
    """Landlock's two rules for one path (for a file, and for a directory) count as one: each alone is enough for one kind."""
    groups: list[list[int]] = []
    for index, step in enumerate(steps):
        if step["call"] == "landlock_add_rule" and groups and steps[groups[-1][-1]]["call"] == "landlock_add_rule":
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def unnoticed(scene: Scene, profile: str, only: set[str] | None = None) -> tuple[list[str], set[str]]:
    """Launch without each step in turn; the steps that nothing noticed, and all of them. only: steps not in it are tried."""
    fresh = [str(scene.site.store / "volumes" / "cache")]

    def launches(jobs: list[dict[str, Any]]) -> dict[str, Any]:
        return scene.site.launches(profile, *scene.words(), jobs=jobs, look=True, fresh=fresh)

    first = launches([{}])
    whole, steps = first["answers"][0], first["steps"]
    assert whole["code"] == 0, whole
    assert whole["out"].endswith("end of look\n"), whole
    names = [named(step) for step in steps]
    groups = [group for group in pairs(steps) if steps[group[0]]["call"] != "close" and not (only and names[group[0]] in only)]
    tried = launches([{}, *({"drop": group} for group in groups)])["answers"]
    assert tried[0]["out"] == whole["out"], "the same launch twice looks different: nothing can be concluded"
    left = [group for group, answer in zip(groups, tried[1:], strict=True) if not noticed(whole, answer)]
    # A slow launcher shows what waiting for it is good for; its death at some call, what watching over it is good for.
    for how in ({"slow": True}, *({"fault": ("init", at, "kill")} for at in turning_points(steps))):
        again = launches([how, *(how | {"drop": group} for group in left)])["answers"]
        left = [group for group, answer in zip(left, again[1:], strict=True) if not noticed(again[0], answer)]
    return [names[group[0]] for group in left], set(names)


def turning_points(steps: list[dict[str, Any]]) -> list[int]:
    """Calls of init around those that make it forget that it dies with the launcher."""
    own = [step["call"] for step in steps if step["where"] == "init" and step["real"]]
    changes = [at for at, call in enumerate(own) if call == "setresuid"]
    return [own.index("read"), own.index("setsid"), changes[0], own.index("pivot_root"), changes[-1]]


def explained(name: str) -> bool:
    return any(re.search(pattern, name) for pattern in REDUNDANT)


def test_every_step_is_noticed_or_explained(scene: Scene) -> None:
    everything, names = unnoticed(scene, scene.everything())
    assert "\n".join(name for name in everything if not explained(name)) == ""
    bare = (
        "run: {user: '1000:1000', init: true, cwd: /home/user}\nfilesystem: {mounts: [{tmpfs: true, at: /tmp, size: 1MiB}]}\n"
    )
    little, _ = unnoticed(scene, OPEN + bare, names)
    assert "\n".join(name for name in little if not explained(name)) == ""


def test_without_private_propagation_a_shared_root_cannot_be_left(scene: Scene) -> None:
    """With `user_namespace: host` the mounts of the host would propagate; the kernel then refuses pivot_root."""
    question = scene.everything().replace("run:", "user_namespace: host\nrun:")
    first = scene.site.launches(question, *scene.words(), jobs=[{}], shared=True)
    assert first["answers"][0]["code"] == 0, first["answers"][0]
    dropped = [at for at, step in enumerate(first["steps"]) if re.match(r"init mount_setattr -100,b'/'", named(step))]
    without = scene.site.launches(question, *scene.words(), jobs=[{"drop": dropped}], shared=True)["answers"][0]
    assert without["code"] == 125
    assert "pivot_root" in without["error"]


def test_the_launches_see_what_there_is_to_see(scene: Scene) -> None:
    """The whole launch refuses what its policy does not grant, in the words that a missing step would change."""
    answer = scene.site.launches(scene.everything(), *scene.words(), jobs=[{}], look=True)["answers"][0]
    seen = answer["out"].replace(":\t", " ").splitlines()
    expected = (
        "canary-key -ENOKEY", "ungranted-call -EPERM", "session inside", "terminal -ENXIO", "descriptors 0 1 2 ",
        "securebits 239",
        "status.SigIgn 0000000000000000", "status.SigBlk 0000000000000000", "status.NoNewPrivs 1", "status.Umask 0022",
        "status.CapPrm 0000000000000001", "w:/data/file -EROFS", "c:/etc -EACCES", "x:/private/true -EACCES", "forks 11",
        "r:/private/file -EACCES", "memory -9", "init.dumpable 0", "pdeathsig 9", "hostname test", "c:/home/user -EACCES",
    )  # fmt: skip
    assert [line for line in expected if line not in seen] == []
    assert not [line for line in seen if line.startswith("namespace.") and not line.endswith(" own")]
