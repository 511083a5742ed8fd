"""policies/npm-install.yaml: npm installs a package whose postinstall script attacks; it works, the attack gets nothing."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kernel import attacks
from tests.kernel.running import PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kernel.attacks import Prey
    from tests.kernel.running import Site

MISSING = attacks.missing("npm", "node")
# Debian 12's npm starts as many scripts at once as /proc shows processors: none, in a container (docs/guide/profiles.md).
DEBIANS = Path("/usr/share/nodejs/npm/lib/cli.js")
ONE_PROCESSOR = ("node", "-e", f'require("os").cpus = () => [{{}}]; require("{DEBIANS}")(process)')
NPM = (*ONE_PROCESSOR, "npm") if DEBIANS.exists() else ("npm",)
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

PACKAGE = {
    "name": "leftpad",
    "version": "1.0.0",
    "main": "index.js",
    "scripts": {"postinstall": "node attack.js wanted.json answer.json"},
}
PLACES = ["/", "/etc", "/usr/lib", "/usr/lib/node_modules", "/srv", "/var/tmp"]


def tarball(directory: Path, wanted: object) -> Path:
    """leftpad-1.0.0.tgz in a directory of its own, as `npm pack` makes it."""
    tree, packages = directory / "package", directory / "packages"
    tree.mkdir()
    packages.mkdir()
    (tree / "package.json").write_text(json.dumps(PACKAGE))
    (tree / "wanted.json").write_text(json.dumps(wanted))
    (tree / "index.js").write_text("module.exports = (text, width) => text.padStart(width);\n")
    attacks.copy_attack("attack.js", tree)
    with tarfile.open(packages / "leftpad-1.0.0.tgz", "w:gz") as archive:
        archive.add(tree, "package")
    return packages / "leftpad-1.0.0.tgz"


@pytest.fixture(scope="module", name="prey")
def something_to_steal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prey]:
    with attacks.prey(tmp_path_factory.mktemp("prey")) as found:
        yield found


@pytest.fixture(scope="module", name="answer")
def installed(site: Site, prey: Prey, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the package; what its postinstall script reached."""
    directory = tmp_path_factory.mktemp("npm")
    wanted = prey.wanted(
        read=["/root/.npmrc", "/root/.ssh/id_rsa", "/etc/shadow"],
        connect=[[attacks.METADATA, 80]],
        write=[*PLACES, str(directory / "packages")],
        execute=["/tmp", "/srv/project"],
    )
    wanted["write"].remove("~")  # HOME is /tmp, which may be written and ends with the container
    package = tarball(directory, wanted)
    allowed = ["--allow-read", str(package.parent)]
    said = attacks.succeeds(site, "npm-install", *NPM, "install", str(package), options=allowed)
    assert b"added 1 package" in said
    found: dict[str, str] = json.loads(
        (attacks.volume(site, "project") / "node_modules" / "leftpad" / "answer.json").read_text()
    )
    assert len(found) == sum(map(len, wanted.values()))
    return found


def test_the_package_works(site: Site, answer: dict[str, str]) -> None:
    assert answer
    program = "console.log(require('leftpad')('x', 5))"
    assert attacks.succeeds(site, "npm-install", "node", "-e", program) == b"    x\n"


def test_its_script_gets_nothing(answer: dict[str, str]) -> None:
    assert {attempt: result for attempt, result in answer.items() if result == "reached"} == {}


def test_what_refuses(answer: dict[str, str], prey: Prey) -> None:
    assert answer[f"read {prey.home}/.ssh/id_ed25519"] == "ENOENT"  # the host's files are not there
    assert answer[f"connect 127.0.0.1,{prey.port}"] == "ECONNREFUSED"  # a loopback of its own
    assert answer[f"connect {attacks.METADATA},80"] == "ENETUNREACH"  # no way out
    assert answer["write /usr/lib"] in {"EROFS", "EACCES"}
    assert answer["execute /srv/project"] == "EACCES"  # noexec, and Landlock


def test_unconfined_it_would(prey: Prey) -> None:
    node = shutil.which("node", path="/usr/bin") or ""
    found = prey.unconfined([node, str(PAYLOADS / "attack.js")], prey.wanted(execute=[str(prey.directory)]))
    assert set(found.values()) == {"reached"}, found
