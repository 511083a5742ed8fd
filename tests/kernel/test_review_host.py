"""What a payload may not wear out or change on the host: its memory by empty files, and the device nodes it is shown."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kernel.running import OPEN, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT_ON_HOST = "user_namespace: host\nrun: {user: '0:0'}\n"


@pytest.fixture
def node() -> Iterator[Path]:
    """A device node of the host that is granted."""
    path = Path(f"/dev/enforcer-tests-review-{os.getpid()}")
    os.mknod(path, 0o20666, os.makedev(1, 3))
    path.chmod(0o666)
    yield path
    path.unlink()


@pytest.mark.parametrize("more", ["root: ephemeral", "mounts: [{tmpfs: true, at: /made, size: 64KiB}]"])
def test_empty_files_are_bounded(site: Site, more: str) -> None:
    """Each takes a kilobyte of the host's memory, which `size` does not count."""
    text = f"filesystem: {{{more}}}\nrun: {{user: '0:0'}}\nresources: {{scratch: 64KiB}}\n" + OPEN
    script = "mkdir -p /made; cd /made; touch $(seq 3000) 2>/dev/null; ls | wc -l"
    found = int(site.output(text, "/bin/sh", "-c", script))
    assert 500 < found <= 1024


def test_an_ephemeral_root_is_bounded_without_a_clause(site: Site) -> None:
    text = "filesystem: {root: ephemeral}\nrun: {user: '0:0'}\n" + OPEN
    script = "dd if=/dev/zero of=/large bs=1048576 count=100 2>/dev/null; stat -c %s /large"
    assert int(site.run(text, "/bin/sh", "-c", script).stdout) <= 64 << 20


def test_a_granted_device_keeps_its_mode_and_times(site: Site, node: Path) -> None:
    """Even from a payload that is root on the host: what it can open is not what it can change."""
    before = node.stat()
    text = f"{ROOT_ON_HOST}filesystem: {{devices: [{node}]}}\n" + OPEN
    script = f"touch -d @0 {node}; echo >{node} && echo written"
    assert site.run(text, "/bin/sh", "-c", script).stdout == "written\n"
    (mode, owner) = site.calls(text, ("fchmodat", -100, f"@{node}", 0), ("fchownat", -100, f"@{node}", 65534, 65534, 0))
    assert re.fullmatch(r"-(EROFS|EPERM)", mode), mode
    assert re.fullmatch(r"-(EROFS|EPERM)", owner), owner
    after = node.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_mtime_ns)


def test_a_mask_that_shuts_out_the_owner_makes_no_cache_that_nobody_can_read() -> None:
    """Root reads everything; others would find their own cache closed at the next command."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    directory = Path(tempfile.mkdtemp(prefix="review-"))
    directory.chmod(0o755)
    user_site = Site(directory, "daemon")
    before = os.umask(0o777)
    try:
        ends = [user_site.run("", "/bin/true").returncode for _ in range(2)]
    finally:
        os.umask(before)
        shutil.rmtree(directory)
    assert ends == [0, 0]
