"""policies/compiler.yaml: make and gcc build a program from sources that are read; recipes that reach for more get nothing."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.kernel import attacks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kernel.attacks import Prey
    from tests.kernel.running import Site

MISSING = attacks.missing("gcc", "make")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

MAKEFILE = """
HERE := {sources}
hello: main.o greet.o
\tgcc -o $@ $^
%.o: $(HERE)/%.c
\tgcc -O2 -Wall -I$(HERE) -c -o $@ $<
hostile:
\t-cat {key}
\t-echo "token <${token}>"
\t-bash -c 'echo > /dev/tcp/127.0.0.1/{port}'
\t-echo changed > $(HERE)/main.c
\t-echo changed > /etc/profile
\t-./hello
\t-cp /bin/true /tmp/true && /tmp/true
\t-chmod u+s hello
"""


@pytest.fixture(scope="module", name="prey")
def something_to_steal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prey]:
    with attacks.prey(tmp_path_factory.mktemp("prey")) as found:
        yield found


@pytest.fixture(scope="module", name="sources")
def written(prey: Prey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources of a program in two files, and a makefile with another goal."""
    directory = tmp_path_factory.mktemp("sources")
    (directory / "greet.h").write_text("void greet(const char *);\n")
    (directory / "greet.c").write_text('#include <stdio.h>\nvoid greet(const char *who) { printf("Hello, %s!\\n", who); }\n')
    (directory / "main.c").write_text('#include "greet.h"\nint main(void) { greet("Grace"); return 0; }\n')
    names = {"sources": directory, "key": prey.home / ".ssh" / "id_ed25519", "token": f"${attacks.TOKEN}", "port": prey.port}
    (directory / "Makefile").write_text(MAKEFILE.format(**names))
    directory.chmod(0o755)
    return directory


def make(site: Site, sources: Path, *goals: str) -> subprocess.CompletedProcess[bytes]:
    allowed = ["--allow-read", str(sources)]
    return attacks.launch(site, "compiler", "make", "-j2", "-f", str(sources / "Makefile"), *goals, options=allowed)


def test_it_builds(site: Site, sources: Path, tmp_path: Path) -> None:
    done = make(site, sources)
    assert done.returncode == 0, done.stderr.decode()
    program = shutil.copy(attacks.volume(site, "build") / "hello", tmp_path)
    assert subprocess.run([program], capture_output=True, check=True).stdout == b"Hello, Grace!\n"


def test_recipes_get_nothing_else(site: Site, sources: Path, prey: Prey) -> None:
    make(site, sources)
    done = make(site, sources, "-k", "hostile")
    said = done.stderr.decode().splitlines()
    assert done.returncode == 0, said
    assert "token <>" in done.stdout.decode()
    assert f"cat: {prey.home}/.ssh/id_ed25519: No such file or directory" in said
    assert any("/dev/tcp" in line and "Operation not permitted" in line for line in said), said
    assert any("main.c: Read-only file system" in line or "main.c: Permission denied" in line for line in said), said
    assert any("/etc/profile" in line and line.endswith(("Read-only file system", "Permission denied")) for line in said), said
    assert any("./hello: Permission denied" in line for line in said), said
    assert any("/tmp/true: Permission denied" in line for line in said), said
    assert any("chmod: changing permissions of 'hello'" in line for line in said), said
    assert sum("(ignored)" in line for line in said) == 7, said
