"""The shipped profiles as an ordinary user has them: one id, no control group. What cannot hold refuses; the rest holds."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kernel import attacks, probing
from tests.kernel.running import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
NOBODY = 61234  # a number that no account has
WEAKER = ["--accept-weaker", "resources.memory", "--accept-weaker", "resources.cpus"]
GRANTED = {"r.memory"}  # by the acceptance


@pytest.fixture(scope="module", name="own")
def site_of_nobody() -> Iterator[Site]:
    """A site below a directory that everyone can reach."""
    directory = Path(tempfile.mkdtemp(prefix="rootless-profiles-"))
    directory.chmod(0o755)
    (directory / "site").mkdir()
    site = Site(directory / "site")
    for path in (site.store, site.state):
        os.chown(path, NOBODY, NOBODY)
    yield site
    shutil.rmtree(directory)


def test_without_control_groups_the_default_refuses_and_says_what_to_do(own: Site) -> None:
    done = attacks.launch(own, "default", "/bin/true", image=f"rootfs:{own.image}", uid=NOBODY)
    said = done.stderr.decode()
    assert done.returncode == 125
    assert "2 of " in said
    for words in ("resources.memory is impossible here", "resources.cpus is impossible here", "Delegate=yes", " ".join(WEAKER)):
        assert words in said


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the probe enters the kernel by x86-64's three entries")
@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc builds the probe")
def test_what_is_accepted_is_all_that_is_reached(own: Site) -> None:
    image = probing.rootfs(own.directory / "probe")
    done = attacks.launch(own, "default", "/bin/probe", options=WEAKER, image=f"rootfs:{image}", uid=NOBODY)
    attempts = probing.parse(done.stdout.decode())
    reached = probing.reached(attempts)
    assert {attempt.name for attempt in reached} <= GRANTED, probing.describe(reached)
    assert len(attempts) > 1000
    assert attempts["k.calls_i386"].calls == attempts["k.calls_x32"].calls == ()


@pytest.mark.skipif(bool(attacks.missing("gcc")), reason=attacks.missing("gcc"))
def test_a_profile_with_a_volume_works(own: Site) -> None:
    compile_it = ("/bin/sh", "-c", "echo 'int main(void) { return 7; }' | gcc -x c -o answer - && test -s answer")
    attacks.succeeds(own, "compiler", *compile_it, options=WEAKER, uid=NOBODY)
    again = attacks.launch(own, "compiler", "/srv/build/answer", options=WEAKER, uid=NOBODY)
    assert again.returncode == 126
    status = (attacks.volume(own, "build") / "answer").stat()
    assert (status.st_uid, status.st_gid) == (NOBODY, NOBODY)
