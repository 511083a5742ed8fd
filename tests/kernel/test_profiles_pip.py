"""policies/pip-install.yaml: pip installs a package whose setup.py attacks; it works, the attack gets nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.kernel import attacks
from tests.kernel.running import PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kernel.attacks import Prey
    from tests.kernel.running import Site

MISSING = attacks.missing("pip3", "python3") or (
    ""
    if subprocess.run(["/usr/bin/python3", "-c", "import setuptools, wheel"], check=False).returncode == 0
    else "no setuptools"
)
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

SETUP = """
import subprocess, sys
from setuptools import setup
subprocess.run([sys.executable, "attack.py", "wanted.json", "leftpad/answer.json"], check=True)
setup(name="leftpad", version="1.0", packages=["leftpad"], package_data={"leftpad": ["answer.json"]})
"""
PLACES = ["/", "/etc", "/usr/lib", "/usr/lib/python3/dist-packages", "/srv", "/var/tmp"]


def source_package(directory: Path, wanted: object) -> Path:
    """A directory that holds leftpad-1.0.tar.gz, as setuptools would make it."""
    tree, packages = directory / "leftpad-1.0", directory / "packages"
    (tree / "leftpad").mkdir(parents=True)
    packages.mkdir()
    (tree / "setup.py").write_text(SETUP)
    (tree / "wanted.json").write_text(json.dumps(wanted))
    (tree / "leftpad" / "__init__.py").write_text("def pad(text, width):\n    return text.rjust(width)\n")
    attacks.copy_attack("attack.py", tree)
    with tarfile.open(packages / "leftpad-1.0.tar.gz", "w:gz") as archive:
        archive.add(tree, "leftpad-1.0")
    return packages


@pytest.fixture(scope="module", name="prey")
def something_to_steal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prey]:
    with attacks.prey(tmp_path_factory.mktemp("prey")) as found:
        yield found


@pytest.fixture(scope="module", name="answer")
def installed(site: Site, prey: Prey, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the package; what its setup.py reached."""
    directory = tmp_path_factory.mktemp("pip")
    wanted = prey.wanted(
        read=["/root/.ssh/id_rsa", "/etc/shadow", "/root/.aws/credentials"],
        connect=[[attacks.METADATA, 80]],
        write=[*PLACES, str(directory / "packages")],
        execute=["/tmp", "/srv/site-packages"],
        contained=[""],
    )
    packages = source_package(directory, wanted)
    pip = ("python3", "-m", "pip", "install", "--find-links", str(packages), "--target", "/srv/site-packages", "leftpad")
    said = attacks.succeeds(site, "pip-install", *pip, options=["--allow-read", str(packages)])
    assert b"Successfully installed leftpad-1.0" in said
    found: dict[str, str] = json.loads((attacks.volume(site, "site-packages") / "leftpad" / "answer.json").read_text())
    assert len(found) == sum(map(len, wanted.values()))
    return found


def test_the_package_works(site: Site, answer: dict[str, str]) -> None:
    assert answer
    program = "import sys; sys.path.insert(0, '/srv/site-packages'); import leftpad; print(leftpad.pad('x', 5))"
    assert attacks.succeeds(site, "pip-install", "python3", "-c", program) == b"    x\n"


def test_its_setup_gets_nothing(answer: dict[str, str]) -> None:
    assert {attempt: result for attempt, result in answer.items() if result == "reached"} == {}


def test_what_refuses(answer: dict[str, str], prey: Prey) -> None:
    assert answer[f"read {prey.home}/.ssh/id_ed25519"] == "ENOENT"  # the host's files are not there
    assert answer[f"connect ['127.0.0.1', {prey.port}]"] == "ECONNREFUSED"  # a loopback of its own
    assert answer[f"connect ['{attacks.METADATA}', 80]"] == "ENETUNREACH"  # no way out
    assert answer["write /usr/lib"] in {"EROFS", "EACCES"}
    assert answer["execute /tmp"] == "EACCES"  # noexec, and Landlock
    assert answer["execute /srv/site-packages"] == "EACCES"
    assert answer["contained "] == "EPERM"


def test_unconfined_it_would(prey: Prey) -> None:
    wanted = prey.wanted(execute=[str(prey.directory)])
    found = prey.unconfined([sys.executable, str(PAYLOADS / "attack.py")], wanted)
    assert set(found.values()) == {"reached"}, found


def test_there_is_no_network_to_ask_an_index_through(site: Site) -> None:
    asked = attacks.launch(site, "pip-install", "python3", "-m", "pip", "install", "--target", "/srv/site-packages", "leftpad")
    assert asked.returncode == 1
    assert b"No matching distribution found for leftpad" in asked.stderr
