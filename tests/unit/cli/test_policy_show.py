from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from enforcer.cli import policy_show
from enforcer.policy.canonical import digest
from enforcer.policy.parse import parse_profile
from enforcer.policy.resolve import resolve
from enforcer.runtime.profiles import Library
from tests import shipped
from tests.unit.cli.conftest import write

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = """\
extends: [base/default, mirror]
run: {user: "7:8", init: true, cwd: /srv}
environment: {pass: [LANG], set: {A: "yes", B.: no value}}
capabilities: [CHOWN, KILL]
filesystem:
  root: ephemeral
  mounts:
    - {bind: /srv/data, at: /data, access: write}
    - {volume: cache, at: /cache, exec: true}
    - {tmpfs: true, at: /tmp, size: 1MiB}
    - {secret: token, from: "env:T", at: /run/token, mode: "0440"}
  paths: {read: [/etc, "/a b"], write: [/tmp], execute: [/usr]}
  devices: [/dev/fuse]
network:
  egress:
    - {host: pypi.org, ports: [443]}
    - {cidr: "2001:db8::/32", ports: [1]}
  ingress: [{port: 8080, publish: "127.0.0.1:18080"}]
namespaces: {ipc: host}
resources: {memory: 256MiB, pids: 64, cpus: 1.5, open_files: 64, processes: 9, scratch: 1MiB, time: 90s}
phases: {ready: {port: 8080}, then: {syscalls: {deny: [execve]}, network: {egress: []}}}
""".replace(", B.: no value", ', B: "1 2"')


MIRROR = "network: {egress: [{host: pypi.org, ports: [80, 53/udp]}]}\n"


def web(place: Path) -> Path:
    """A profile that says everything, and its base that grants other ports of one of its hosts."""
    write(place / "system/mirror.yaml", MIRROR)
    return write(place / "web.yaml", EVERYTHING)


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert policy_show.run(list(words)) == 0
    return capsys.readouterr().out


def meaning(text: str) -> str:
    library = Library()
    profile = parse_profile(text.encode(), "shown.yaml")
    return digest(resolve(profile, load_base=library.base, read_file=library.file).policy)


def test_what_is_shown_is_a_profile_of_the_same_meaning(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    web(place)
    text = shown(capsys, "web.yaml")
    assert meaning(text) == meaning((place / "web.yaml").read_text())
    assert "extends" not in text


@pytest.mark.parametrize("name", shipped.NAMES)
def test_so_it_is_for_every_shipped_profile(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert place
    assert meaning(shown(capsys, name)) == digest(shipped.policy(name))


def test_each_grant_has_the_place_of_its_clause(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = web(place)
    lines = shown(capsys, "web.yaml").splitlines()

    def comment(start: str) -> str:
        (line,) = [line for line in lines if line.strip().startswith(start)]
        return line.partition("  # ")[2]

    numbers = {
        text.strip().split(" ")[1]: number for number, text in enumerate(path.read_text().splitlines(), 1) if "- {" in text
    }
    assert comment("- {bind: /srv/data") == f"{path}:{numbers['{bind:']}:7"
    assert comment("- CHOWN") == f"{path}:6:16"
    assert comment("- LANG") == f"{path}:5:22"
    assert comment("memory:").startswith(f"{path}:")
    assert comment("user:").startswith(f"{path}:4:")
    assert "base/default.yaml:" in comment("- {names: [alarm")
    both = comment("- {host: pypi.org")  # one target, whose ports two clauses grant
    assert str(path) in both
    assert "mirror.yaml:3:" in both


def test_json_lists_every_grant_with_its_clauses(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = web(place)
    found = json.loads(shown(capsys, "web.yaml", "--format", "json"))
    assert found["profile"] == str(path)
    assert found["digest"] == meaning(path.read_text())
    grants = [(one["section"], one["value"]) for one in found["grants"]]
    assert ("capabilities", "CHOWN") in grants
    unplaced = [one for one in found["grants"] if not one["clauses"] and one["value"] not in ([], {}, None)]
    assert {one["section"] for one in unplaced} <= {"syscalls.base", "syscalls.architectures"}


def test_a_ceilings_narrowings_are_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(place / "web.yaml", "capabilities: [CHOWN]\n")
    ceiling = write(place / "ceiling.yaml", "capabilities: []\n")
    ceiling.chmod(0o644)
    text = shown(capsys, "web.yaml")
    assert "refused by the site's ceiling" in text
    assert f"{ceiling}:3:1" in text
    assert "capabilities: []" in text
    found = json.loads(shown(capsys, "web.yaml", "--format", "json"))
    (narrowing,) = found["narrowings"]
    assert narrowing["granted"]["place"] == f"{path}:3:16"


def test_an_images_own_profile_is_found(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = place / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("x:x:0:0::/:\n")
    write(place / "system/mine.yaml", f"match: [{{image: 'rootfs:{root}'}}]\nrun: {{user: '7:8'}}\n")
    text = shown(capsys, "--image", f"rootfs:{root}")
    assert "name: mine" in text
    assert f"# image rootfs:{root}" in text
    assert "# user 7:8" in text
    other = json.loads(shown(capsys, "base/minimal", "--image", f"rootfs:{root}", "--format", "json"))
    assert other["policy"]["name"] == "minimal"
    assert other["image"]["digest"].startswith("sha256:")
