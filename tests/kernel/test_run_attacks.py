"""What went wrong elsewhere, by its CVE: hostile images, paths that are swapped under a launch, tricks with users and names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel.running import OPEN, REPOSITORY, Site, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 200
EPHEMERAL = OPEN + "filesystem: {root: ephemeral}\n"


class Host:
    """A part of the host that no container may reach or change."""

    def __init__(self, directory: Path) -> None:
        self.tree = directory / "host"
        (self.tree / "etc").mkdir(parents=True)
        (self.tree / "etc" / "secret").write_text("the host's secret")
        (self.tree / "null").write_text("not a device")
        self.tree.chmod(0o777)
        self.before = snapshot(self.tree)
        self.directory = directory

    def is_untouched(self) -> bool:
        """No file came, went or changed, and nothing is mounted here; other tests may mount elsewhere meanwhile."""
        return snapshot(self.tree) == self.before and str(self.directory) not in Path("/proc/self/mountinfo").read_text()


@pytest.fixture(name="host")
def part_of_the_host(tmp_path: Path) -> Host:
    tmp_path.chmod(0o755)
    return Host(tmp_path)


@pytest.fixture(name="image")
def hostile_image(tmp_path: Path) -> Path:
    """An image to spoil."""
    (tmp_path / "hostile").mkdir()
    return Site.make_image(tmp_path / "hostile" / "image")


@pytest.mark.parametrize("name", ["proc", "dev"])
@pytest.mark.parametrize("kind", ["absolute", "up", "root", "within"])
def test_cve_2023_28642_and_2026_41579_proc_or_dev_as_a_symbolic_link(
    site: Site, host: Host, image: Path, name: str, kind: str
) -> None:
    target = {"absolute": str(host.tree), "up": "../../../../../../" + str(host.tree), "root": "/", "within": "etc"}[kind]
    (image / name).symlink_to(target)
    done = site.run(OPEN, "/bin/true", image=image)
    assert done.returncode == 125
    assert "ELOOP" in done.stderr
    assert host.is_untouched()


@pytest.mark.parametrize("name", ["sys", "tmp", "run", "etc"])
def test_cve_2026_87766_symbolic_links_on_the_way_to_a_mount_point(site: Site, host: Host, image: Path, name: str) -> None:
    """The parents of a target lead out of the image; what is made and mounted stays inside."""
    shutil.rmtree(image / name, ignore_errors=True)
    (image / name).symlink_to(host.tree)
    before = snapshot(image)
    lines = f"{{tmpfs: true, at: /{name}/a/b, size: 1MiB}}, {{bind: {image}/bin, at: /{name}/c}}"
    lines += f", {{secret: s, from: 'env:TOKEN', at: /{name}/d/s}}"
    done = site.run(
        f"{OPEN}filesystem: {{mounts: [{lines}]}}\n",
        "/bin/sh",
        "-c",
        f"cat /{name}/etc/secret; echo ran",
        image=image,
        env={"TOKEN": "t"},
    )
    assert "the host's secret" not in done.stdout
    assert (done.returncode, done.stdout) in {(0, "ran\n"), (125, "")}, done.stderr
    assert host.is_untouched()
    assert snapshot(image) == before


def test_cve_2025_31133_dev_null_of_the_image_is_never_looked_at(site: Site, host: Host, image: Path) -> None:
    (image / "dev").mkdir()
    (image / "dev" / "null").symlink_to("/proc/sys/kernel/core_pattern")
    (image / "dev" / "zero").symlink_to(host.tree / "null")
    (image / "dev" / "pts").symlink_to(host.tree)  # CVE-2025-52565
    (image / "dev" / "console").symlink_to("/proc/self/environ")
    before = snapshot(image)
    for options in ([], ["-t"]):
        done = site.run(
            OPEN,
            "/bin/sh",
            "-c",
            "echo x >/dev/null; stat -c '%t:%T' /dev/null /dev/zero; ls /dev",
            image=image,
            options=options,
        )
        assert done.stdout.split()[:2] == ["1:3", "1:5"]
        assert "console" not in done.stdout
    assert host.is_untouched()
    assert snapshot(image) == before


@pytest.mark.parametrize("target", ["/proc/self", "/proc/sys", "/proc", "/dev", "/dev/pts", "/dev/null", "/"])
def test_cve_2019_16884_nothing_is_mounted_over_the_kernels_own_places(site: Site, target: str) -> None:
    done = site.run(
        f"{OPEN}filesystem: {{mounts: [{{tmpfs: true, at: {target}, size: 1MiB}}]}}\n",
        "/bin/sh",
        "-c",
        "stat -f -c %T /proc; echo x >/dev/null",
    )
    assert done.returncode == 125 or done.stdout == "proc\n", done


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5, 7, 9, 11, 13])
@pytest.mark.parametrize("options", [[], ["-i"]])
def test_cve_2024_21626_a_working_directory_behind_a_descriptor(site: Site, number: int, options: list[str]) -> None:
    with _directory() as leaked:
        os.set_inheritable(leaked, True)  # noqa: FBT003  (its only form)
        script = "pwd -P; ls -d /work ../../../../../../var/tmp 2>&1"
        done = site.run(
            f"{OPEN}run: {{cwd: /proc/self/fd/{number}}}\n", "/bin/sh", "-c", script, options=options, close_fds=False
        )
    assert done.returncode == 125, done.stdout
    assert done.stdout == ""


@contextmanager
def _directory() -> Iterator[int]:
    descriptor = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("cwd", ["/link", "/link/new", "/up/new", "/link/../../new"])
def test_cve_2026_55686_a_working_directory_through_a_symbolic_link(site: Site, host: Host, image: Path, cwd: str) -> None:
    (image / "link").symlink_to(host.tree)
    (image / "up").symlink_to("../../../../.." + str(host.tree))
    done = site.run(f"{OPEN}run: {{cwd: {cwd}}}\n", "/bin/sh", "-c", "pwd -P; cat etc/secret", image=image)
    assert "the host's secret" not in done.stdout
    assert done.returncode in {1, 125}
    assert host.is_untouched()


@pytest.mark.parametrize("at", ["/../x", "/a/../../x", "//x", "/./x", "/x/", "/a/./b"])
def test_mount_points_that_are_no_plain_paths_are_refused(site: Site, at: str) -> None:
    """Nsjail #298: a target with ".." left the jail."""
    done = site.run(f"{OPEN}filesystem: {{mounts: [{{tmpfs: true, at: {at}, size: 1MiB}}]}}\n", "/bin/true")
    assert done.returncode == 125
    assert "yaml:" in done.stderr


def test_cve_2016_3697_a_number_is_never_looked_up_as_a_name(site: Site, image: Path) -> None:
    (image / "etc" / "passwd").write_text("1000:x:0:0::/:/bin/sh\n65532:x:0:0::/:/bin/sh\n")
    (image / "etc" / "group").write_text("1000:x:0:\n")
    for text, expected in (("", "65532"), ("run: {user: '1000:1000'}\n", "1000")):
        assert site.shell(OPEN + text, "cat /proc/self/status | grep ^[UG]id", image=image).split()[1::5] == [
            expected,
            expected,
        ]


@pytest.mark.parametrize(
    "user",
    [
        "",
        "0x0",
        "+1",
        " 1",
        "1:",
        ":1",
        "-1",
        "2147483648",
        "4294967295",
        "4294967296",
        "1:-1",
        "1:65536",
        "root",
        "1 ",
        "1.0",
        "65536",
    ],
)
def test_cve_2024_40635_and_2026_30892_users_that_are_no_plain_numbers(site: Site, user: str) -> None:
    done = site.run(f"{OPEN}run: {{user: '{user}'}}\n", "/bin/id")
    assert (done.returncode, done.stdout) == (125, ""), done


def test_cve_2022_24769_the_callers_inheritable_and_ambient_capabilities(site: Site) -> None:
    words = ["setpriv", "--inh-caps=+chown,+net_raw", "--ambient-caps=+chown", *site.words(OPEN, ["/bin/payload", "look"])]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=site.environment())
    sets = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("status.Cap")]
    assert sets == ["0" * 16] * 5


def test_cve_2016_9962_and_2019_5736_pid_1_cannot_be_entered(site: Site) -> None:
    attach, seize = 16, 0x4206
    calls = [
        ("ptrace", attach, 1, 0, 0),
        ("ptrace", seize, 1, 0, 0),
        ("open", "@/proc/1/exe", 0),
        ("open", "@/proc/1/fd", 0),
        ("open", "@/proc/self/exe", 1),
    ]
    answers = site.calls(OPEN + "run: {init: true}\n", *calls)
    assert answers[:2] == ["-EPERM"] * 2
    assert answers[2:4] == ["-ENOENT"] * 2
    assert answers[4] in {"-EROFS", "-ETXTBSY", "-EACCES"}


def test_cve_2020_14370_variables_do_not_pass_from_one_container_to_the_next(site: Site) -> None:
    profile = OPEN + "environment: {pass: [PASSED]}\n"
    first = site.output(profile, "/bin/env", env={"PASSED": "of the first"}, options=["-e", "GIVEN=to the first"])
    assert "of the first" in first
    second = site.output(profile, "/bin/env")
    assert "first" not in second
    assert "PASSED" not in second


def test_cve_2020_15257_no_abstract_socket_is_made(site: Site) -> None:
    words = site.words(OPEN, ["/bin/sh", "-c", "echo up; cat"], options=["-i"])
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=site.environment()) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "up\n"
        abstract = [line.split()[-1] for line in Path(f"/proc/{running.pid}/net/unix").read_text().splitlines() if "@" in line]
        host = [line.split()[-1] for line in Path("/proc/self/net/unix").read_text().splitlines() if "@" in line]
        running.communicate()
    assert abstract == []
    assert not [name for name in host if "enforcer" in name and "tests" not in name]


def test_cve_2023_25809_no_control_group_can_be_made_or_joined(site: Site) -> None:
    root = OPEN + "run: {user: '0:0'}\n"
    calls = [
        ("mkdir", "@/sys/fs/cgroup/x", 0o755),
        ("mount", "@cgroup2", "@/home", "@cgroup2", 0, 0),
        ("mount", "@cgroup", "@/home", "@cgroup", 0, "@memory"),
    ]
    assert site.calls(root, *calls)[1:] == ["-EPERM", "-EPERM"]
    assert site.calls(root, *calls)[0] in {"-ENOENT", "-EROFS"}


@pytest.mark.parametrize("name", ["state", "store"])
def test_cve_2021_41103_directories_that_others_can_enter_are_refused(site: Site, tmp_path: Path, name: str) -> None:
    open_to_others = tmp_path / name
    open_to_others.mkdir(mode=0o700)
    open_to_others.chmod(0o755)
    done = site.run(OPEN, "/bin/true", env={f"ENFORCER_{name.upper()}": str(open_to_others)})
    assert done.returncode == 125
    assert "0700" in done.stderr


def test_cve_2024_32462_words_that_begin_with_a_dash_are_the_payloads(site: Site) -> None:
    words = ["--policy", "-t", "--", "--allow-write=/", "-e", "X=1", "--help"]
    assert site.output(OPEN, "/bin/payload", "print", *words).splitlines() == words
    assert site.run(OPEN, "--help").returncode == 127
    done = site.run(OPEN, "/bin/true", image="-rootfs:/")
    assert done.returncode == 125


def test_long_words_are_whole_or_refused(site: Site) -> None:
    """CVE-2021-43784: a length that does not fit must not make something else of the rest."""
    for size in (4096, 65536, 131000):
        assert site.output(OPEN, "/bin/payload", "print", "x" * size) == "x" * size + "\n"
    assert site.output(OPEN, "/bin/env", options=["-e", "LONG=" + "y" * 100000]).count("y" * 100000) == 1


SWAPPER = """
import os, sys, time
from enforcer.linux.syscalls import raw, MACHINE
number = 316 if MACHINE == "x86_64" else 276
pairs = [(os.fsencode(a) + b"\\0", os.fsencode(b) + b"\\0") for a, b in zip(sys.argv[2::2], sys.argv[3::2])]
while not os.path.exists(sys.argv[1]):
    time.sleep(0.001)
while True:
    for a, b in pairs:
        raw(number, -100, a, -100, b, 2)
"""


@contextmanager
def swapping(gate: Path, *paths: Path) -> Iterator[None]:
    """Exchange each pair of paths (renameat2, RENAME_EXCHANGE) as fast as it goes, from when the gate is there."""
    words = [sys.executable, "-c", SWAPPER, *map(str, (gate, *paths))]
    with subprocess.Popen(words, env={"PYTHONPATH": str(REPOSITORY)}) as swapper:
        try:
            yield
        finally:
            swapper.kill()


def outcomes(site: Site, profile: str, script: str, *paths: Path, **request: str) -> list[dict[str, Any]]:
    """Make the plan, then launch it in many rounds while paths are exchanged."""
    gate = paths[0].parent / "gate"
    command = ("/bin/sh", "-c", script)
    with swapping(gate, *paths):
        answers: list[dict[str, Any]] = site.launches(
            profile, *command, jobs=[{}] * ROUNDS, request=request, planned=str(gate)
        )["answers"]
    return answers


def test_cve_2021_30465_and_2024_1753_a_source_that_is_exchanged_for_a_symbolic_link(
    site: Site, host: Host, tmp_path: Path
) -> None:
    """Landing on the real directory and refusing are both fine; landing on the host's tree is not."""
    for name in ("real", "deep"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name).chmod(0o777)
        (tmp_path / name / "inner").chmod(0o777)
    (tmp_path / "link").symlink_to(host.tree)
    (tmp_path / "deep" / "trap").symlink_to(host.tree / "etc")
    lines = f"{{bind: {tmp_path}/real, at: /a, access: write}}, {{bind: {tmp_path}/deep/inner, at: /b, access: write}}"
    script = "cat /a/etc/secret /b/secret; touch /a/mark /b/mark; echo ran"
    swapped = (tmp_path / "real", tmp_path / "link", tmp_path / "deep" / "inner", tmp_path / "deep" / "trap")
    answers = outcomes(site, f"{OPEN}filesystem: {{mounts: [{lines}]}}\n", script, *swapped)
    assert not [answer for answer in answers if "the host's secret" in answer["out"]]
    assert {answer["code"] for answer in answers} <= {0, 125}
    assert any(answer["code"] == 125 for answer in answers), "the race was never met"
    assert host.is_untouched()


def test_cve_2024_45310_a_target_that_is_exchanged_for_a_symbolic_link(
    site: Site, host: Host, image: Path, tmp_path: Path
) -> None:
    """In the image, and below a bind that another container writes to: nothing is made or mounted outside."""
    shared = tmp_path / "shared"
    for parent in (image, shared):
        (parent / "point" / "inner").mkdir(parents=True)
        (parent / "trap").symlink_to(host.tree)
    shared.chmod(0o777)
    lines = (
        "{tmpfs: true, at: /point/inner/x, size: 1MiB}, "
        f"{{bind: {shared}, at: /shared, access: write}}, {{tmpfs: true, at: /shared/point, size: 1MiB}}, "
        "{tmpfs: true, at: /point/etc/new, size: 1MiB}"
    )
    swapped = (image / "point", image / "trap", shared / "point", shared / "trap")
    answers = outcomes(
        site,
        f"{OPEN}filesystem: {{mounts: [{lines}]}}\n",
        "cat /point/etc/secret /shared/point/etc/secret; echo ran",
        *swapped,
        image=f"rootfs:{image}",
    )
    assert not [answer for answer in answers if "the host's secret" in answer["out"]]
    assert {answer["code"] for answer in answers} <= {0, 125}
    assert host.is_untouched()


def test_cve_2024_23652_nothing_is_deleted_when_a_container_ends(site: Site, host: Host, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    work.chmod(0o777)
    profile = f"{OPEN}filesystem: {{root: ephemeral, mounts: [{{bind: {work}, at: /made/by/us, access: write}}]}}\n"
    site.output(
        profile,
        "/bin/sh",
        "-c",
        f"rm -rf /made/by/us/inner; mkdir /made/by/us/new; cp /bin/sh /made/by/us/new; cat {host.tree}/etc/secret || true",
    )
    assert (work / "new" / "sh").exists()
    assert host.is_untouched()
