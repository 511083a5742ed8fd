"""The rules of tests/conftest.py, each on a small session of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _session(directory: Path, source: str, *, must_run: bool = False) -> subprocess.CompletedProcess[str]:
    """Run pytest with our conftest on one module with this source."""
    module = directory / "test_sample.py"
    module.write_text("import os, pathlib, subprocess, tempfile, pytest\n" + textwrap.dedent(source))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ENFORCER_TESTS", "PYTEST_"))}
    environment["TMPDIR"] = str(directory)
    if must_run:
        environment["ENFORCER_TESTS_MUST_RUN"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", os.devnull, module]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


SKIP = """
    @pytest.mark.skip(reason="no such kernel")
    def test_kernel(): pass
"""


def test_a_skip_is_allowed_on_a_developers_machine(tmp_path: Path) -> None:
    assert _session(tmp_path, SKIP).returncode == 0


@pytest.mark.parametrize("source", [SKIP, 'pytest.skip("no such kernel", allow_module_level=True)'])
def test_a_skip_fails_with_its_reason_where_tests_must_run(tmp_path: Path, source: str) -> None:
    result = _session(tmp_path, source, must_run=True)
    assert result.returncode != 0
    assert "must run here" in result.stdout
    assert "no such kernel" in result.stdout


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    source = """
        @pytest.mark.xfail(strict=True)
        def test_known(): assert False
    """
    assert "1 xfailed" in _session(tmp_path, source, must_run=True).stdout  # what others run meanwhile may fail it otherwise


def test_a_clean_session_removes_its_directory(tmp_path: Path) -> None:
    where = tmp_path / "where"
    result = _session(tmp_path, f"def test_where(): pathlib.Path({str(where)!r}).write_text(tempfile.gettempdir())")
    assert result.returncode == 0
    assert Path(where.read_text()).parent == tmp_path
    assert not Path(where.read_text()).exists()


LEFT = {
    "file": "tempfile.mkstemp(prefix='left-')",
    "process": "subprocess.Popen(['sleep', '20'])",
}


@pytest.mark.parametrize("kind", LEFT)
def test_what_a_session_leaves_fails_it(tmp_path: Path, kind: str) -> None:
    result = _session(tmp_path, f"def test_leaves(): {LEFT[kind]}")
    _end_leftovers(result.stdout)
    assert result.returncode == 1, result.stdout
    assert f"{kind}: " in result.stdout


def _end_leftovers(output: str) -> None:
    for line in output.splitlines():
        kind, _, name = line.partition(": ")
        if kind == "process":
            os.kill(int(name.split()[0]), 9)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_mount_that_a_session_leaves_fails_it(tmp_path: Path) -> None:
    source = """
        def test_leaves():
            where = tempfile.mkdtemp(prefix="pytest-of-")
            subprocess.run(["mount", "-t", "tmpfs", "enforcer-left", where], check=True)
    """
    result = _session(tmp_path, source)
    mounts = [line.partition(": ")[2] for line in result.stdout.splitlines() if line.startswith("mount: ")]
    for mount in mounts:
        subprocess.run(["umount", mount], check=True)
    assert len(mounts) == 1
    assert result.returncode == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes control groups")
def test_a_control_group_that_a_session_leaves_fails_it_where_the_machine_is_its_own(tmp_path: Path) -> None:
    group = (
        next(path for path in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if path.is_dir())
        / f"enforcer-left-{os.getpid()}"
    )
    for must_run, code in ((False, 0), (True, 1)):
        result = _session(tmp_path, f"def test_leaves(): pathlib.Path('{group}').mkdir()", must_run=must_run)
        group.rmdir()
        assert result.returncode == code
        assert (f"cgroup: {group}" in result.stdout) == must_run


def test_what_others_make_meanwhile_is_not_blamed(tmp_path: Path) -> None:
    source = """
        def test_stranger():
            environment = {k: v for k, v in os.environ.items() if not k.startswith("ENFORCER_TESTS")}
            stranger = subprocess.Popen(["sleep", "5"], env=environment)
            pathlib.Path("PID").write_text(str(stranger.pid))
    """
    result = _session(tmp_path, source.replace("PID", str(tmp_path / "pid")))
    os.kill(int((tmp_path / "pid").read_text()), 9)
    assert result.returncode == 0, result.stdout
