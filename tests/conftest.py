"""What holds for every test: a skip is a failure where tests must run, and a session leaves nothing behind.

ENFORCER_TESTS_MUST_RUN=1 (continuous integration) turns every skip into a failure that names the skip's reason, and takes the
machine for its own: whatever carries enforcer's name and was not there before is then the tests' doing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import traces

if TYPE_CHECKING:
    from collections.abc import Generator

MUST_RUN = os.environ.get("ENFORCER_TESTS_MUST_RUN") == "1"
_BEFORE = pytest.StashKey[frozenset[traces.Trace]]()
_LEFT = pytest.StashKey[list[traces.Trace]]()


def _is_worker(config: pytest.Config) -> bool:
    """Whether this is a process of pytest-xdist: the session is opened and closed by the one that started it."""
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Give the session a directory and a mark of its own, which its processes inherit, and note what is there before it."""
    if _is_worker(config):
        return
    # Not in /tmp, which may be a tmpfs: the kernel does not map the ids of that one for a container.
    directory = tempfile.mkdtemp(prefix=traces.PREFIX, dir=os.environ.get("TMPDIR", "/var/tmp"))
    Path(directory).chmod(0o1777)  # tests that run as another user make files here too
    os.environ["TMPDIR"] = os.environ[traces.SESSION] = tempfile.tempdir = directory
    os.environ["ENFORCER_STORE"] = f"{directory}/store"
    os.environ["ENFORCER_STATE"] = f"{directory}/state"
    config.stash[_BEFORE] = frozenset(traces.find())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that was skipped where tests must run; an expected failure is no skip."""
    report = yield
    if MUST_RUN and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"{report.nodeid}: must run here, but: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that skips itself as a whole, likewise."""
    report = yield
    if MUST_RUN and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: must run here, but: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Fail the session when something of its own is left; what others made meanwhile is not its business."""
    yield
    if _is_worker(session.config):
        return
    left = _left(session.config.stash[_BEFORE])
    session.config.stash[_LEFT] = left
    if left and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if session.exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(os.environ[traces.SESSION])


def _left(before: frozenset[traces.Trace]) -> list[traces.Trace]:
    """Traces of this session; a process that was told to end gets two seconds for it."""
    directory = os.environ[traces.SESSION]
    for _ in range(20):
        new = [trace for trace in traces.find() if trace not in before]
        left = sorted(trace for trace in new if MUST_RUN or directory in trace.name or trace.certain)
        if not left:
            break
        time.sleep(0.1)
    return left


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what is left, and where a failed session's files are: others have directories beside it, so it is named in full."""
    directory = os.environ[traces.SESSION]
    if Path(directory).exists():
        terminalreporter.line(f"files of this session, and of no other, are kept in {directory}")
    left = config.stash.get(_LEFT, [])
    if left:
        terminalreporter.section("the tests left something behind", red=True)
        for trace in left:
            terminalreporter.line(f"{trace.kind}: {trace.name}")
