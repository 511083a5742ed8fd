"""The probe program, built once, run behind any command prefix, its answers read.

`probe/` holds the C sources; each attempt is the first step of an attack and harmless by itself. The *control* is a run with
every right of root in a disposable copy of this machine's tree: what an attempt reaches there shows that it can reach.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SOURCES = Path(__file__).parent / "probe"
GROUPS = "fkipnr"  # files, kernel, identity, processes, network, resources
COMPILE = ("gcc", "-std=c17", "-Wall", "-Wextra", "-Werror", "-O1", "-static", "-pthread")
NAMESPACES = ("unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--fork", "--kill-child")
PATIENCE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt's answer.

    group is one letter of GROUPS; strict: a strict default must refuse or bound it (what is not strict a profile may well
    grant); reached is None where the attempt says nothing either way; errno is a name or None; calls are the numbers that
    pass the filter, for the three attempts that count them, None for the others.
    """

    name: str
    group: str
    strict: bool
    reached: bool | None
    errno: str | None
    detail: str
    calls: tuple[int, ...] | None = None


@functools.cache
def build_probe() -> Path:
    """Compile the probe beside its sources, unless it is there and newer than they are; every user may run it."""
    program = SOURCES / "probe"
    sources = sorted(SOURCES.glob("*.c"))
    newest = max(path.stat().st_mtime for path in (*sources, *SOURCES.glob("*.h")))
    if not program.exists() or program.stat().st_mtime < newest:
        made = SOURCES / f"probe.{os.getpid()}"  # renamed into place: another worker may be starting the old one
        try:
            subprocess.run([*COMPILE, "-o", str(made), *map(str, sources)], check=True)
            made.chmod(0o755)
            made.replace(program)
        finally:
            made.unlink(missing_ok=True)
    return program


def parse(text: str) -> dict[str, Attempt]:
    """Read the probe's output, one JSON object a line, into attempts by name, in the order they were made."""
    attempts = {}
    for line in text.splitlines():
        fields = json.loads(line)
        calls = fields.pop("passes", None)
        attempts[fields["name"]] = Attempt(**fields, calls=None if calls is None else tuple(calls))
    return attempts


def run_probe(
    prefix: Sequence[str],
    *options: str,
    program: str | None = None,
    environment: Mapping[str, str] | None = None,
    inherit: Iterable[int] = (),
) -> dict[str, Attempt]:
    """Run the probe behind a command prefix and read its answers.

    program is the probe's path as the prefix sees it (the path outside, when None); environment replaces the caller's;
    inherit names descriptors that stay open. A run that fails raises CalledProcessError with its standard error.
    """
    command = [*prefix, program or str(build_probe()), *options]
    ended = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        pass_fds=tuple(inherit),
        timeout=PATIENCE_SECONDS,
    )
    if ended.returncode:
        raise subprocess.CalledProcessError(ended.returncode, command, ended.stdout, ended.stderr)
    return parse(ended.stdout)


def one(
    name: str,
    *options: str,
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    inherit: Iterable[int] = (),
) -> Attempt:
    """Run one attempt by its name."""
    (attempt,) = run_probe(prefix, "--only", name, *options, environment=environment, inherit=inherit).values()
    return attempt


def run_control(*options: str) -> dict[str, Attempt]:
    """Run the probe as root in the disposable copy (control.sh), in namespaces and a control group made for it."""
    stage = Path(tempfile.mkdtemp(prefix="control-"))
    group = Path(f"/sys/fs/cgroup/unified/{stage.name}")
    if not group.parent.is_dir():
        group = Path(f"/sys/fs/cgroup/{stage.name}")
    enter = ("sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(group), *NAMESPACES)
    try:
        group.mkdir()
        return run_probe((*enter, "sh", str(SOURCES / "control.sh"), str(stage)), *options, "--network")
    finally:
        group.rmdir()
        stage.rmdir()


def rootfs(directory: Path) -> Path:
    """Make a plain tree that holds nothing but the probe as /bin/probe and empty directories."""
    for name in ("bin", "dev", "etc", "proc", "tmp", "home", "root", "usr"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    target = directory / "bin" / "probe"
    target.write_bytes(build_probe().read_bytes())
    target.chmod(0o755)
    (directory / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/probe\n")
    return directory


def reached(attempts: Mapping[str, Attempt], *, strict: bool = True) -> list[Attempt]:
    """Attempts that got through; strict: only those that a strict default must refuse or bound."""
    return [attempt for attempt in attempts.values() if attempt.reached and (attempt.strict or not strict)]


def describe(attempts: Iterable[Attempt]) -> str:
    """One line per attempt, for the message of an assertion."""
    return "\n" + "\n".join(f"{attempt.name}: {attempt.errno or ''} {attempt.detail}" for attempt in attempts)


def is_root() -> bool:
    """Whether the tests run as root with CAP_SYS_ADMIN, which the control needs."""
    effective = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return os.geteuid() == 0 and bool(int(effective.split()[1], 16) & 1 << 21)
