"""What a launch imports. Each module costs start-up time (facts: yaml 45 ms, subprocess 25, json 14, dataclasses 36)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.bundle import make_rootfs

ROOT = Path(__file__).parents[2]
LIBRARIES = next((Path(sys.prefix) / "lib").glob("python3*/site-packages"))
START = """
import sys
report, *sys.path[len(sys.path):] = sys.argv[1:4]
if len(sys.argv) > 4:
    from enforcer.cli.main import main
    code = main(sys.argv[4:])
open(report, "w").write(" ".join(sys.modules))
"""

# The modules beyond those of `python3 -I -S -c pass`. A new one has to be worth its milliseconds to every launch.
VERSION = """
    __future__ enforcer enforcer.cli enforcer.cli.main enforcer.errors
    _collections_abc _stat genericpath os os.path posixpath stat
""".split()
RUN = """
    __future__ gc enforcer enforcer.cli enforcer.cli.main enforcer.cli.options enforcer.cli.run enforcer.errors enforcer.linux
    enforcer.linux.cgroups enforcer.linux.executor enforcer.linux.spawn enforcer.linux.syscalls enforcer.plan
    enforcer.plan.encoding enforcer.runtime enforcer.runtime.channel enforcer.runtime.init enforcer.runtime.launcher
    enforcer.runtime.paths enforcer.runtime.plancache enforcer.runtime.record enforcer.runtime.state enforcer.runtime.streams
    enforcer.runtime.supervisor
    _collections_abc _ctypes _sha2 _sha256 _stat _struct ctypes ctypes._endian fcntl genericpath os posixpath select
    stat struct time types os.path
""".split()
EMPTY = "profile: enforcer/v1\nname: empty\n"


def _modules(report: Path, *arguments: str) -> set[str]:
    """Run the command as bin/enforcer does, or nothing at all; returns the names of all modules that are loaded at its end."""
    command = [sys.executable, "-I", "-S", "-c", START, report, ROOT, LIBRARIES, *arguments]
    subprocess.run(command, cwd="/", capture_output=True, check=True)
    return set(report.read_text().split())


def _check(report: Path, allowed: list[str], *arguments: str) -> None:
    loaded = _modules(report, *arguments) - _modules(report)
    assert sorted(loaded - set(allowed)) == [], "these are new"
    stale = {name for name in allowed if name.startswith("enforcer")} - loaded
    assert sorted(stale) == [], "these are not needed any more"


def test_the_entry_imports_only_what_it_needs(tmp_path: Path) -> None:
    _check(tmp_path / "report", VERSION, "--version")


def test_a_launch_with_a_cached_plan_imports_only_what_it_needs(tmp_path: Path) -> None:
    rootfs = make_rootfs(tmp_path / "rootfs")
    profile = tmp_path / "empty.yaml"
    profile.write_text(EMPTY)
    run = ("run", "--policy", str(profile), f"rootfs:{rootfs}", "/bin/true")
    subprocess.run([ROOT / "bin/enforcer", *run], cwd="/", check=True)
    _check(tmp_path / "report", RUN, *run)
