"""policies/web-application.yaml: gunicorn serves a Flask application with a way in; who comes in gets nothing."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kernel import attacks
from tests.kernel.running import PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kernel.attacks import Prey
    from tests.kernel.running import Site

MISSING = attacks.missing("gunicorn", "python3")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

# The second route is what an attacker makes of a deserialisation or a template that he can write to.
APPLICATION = """
import json, subprocess, sys
from pathlib import Path
from flask import Flask, request
import greeting
app = Flask(__name__)
here = Path(__file__).parent

@app.get("/")
def index():
    return greeting.greet(request.args.get("name", "nobody"))

@app.get("/attack")
def attack():
    subprocess.run([sys.executable, here / "attack.py", here / "wanted.json", "/tmp/answer.json"], check=True)
    return Path("/tmp/answer.json").read_text()
"""
# Starts the server, asks for both pages as a client on the same loopback, and ends it.
VISIT = """
import subprocess, sys, time, urllib.request
server = subprocess.Popen(["gunicorn", "--chdir", sys.argv[1], "--bind", "127.0.0.1:8080", "--workers", "2", "app:app"])
for attempt in range(200):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8080/?name=Ada").read().decode())
        break
    except OSError:
        time.sleep(0.05)
print(urllib.request.urlopen("http://127.0.0.1:8080/attack").read().decode())
server.terminate()
sys.exit(server.wait())
"""


@pytest.fixture(scope="module", name="prey")
def something_to_steal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prey]:
    with attacks.prey(tmp_path_factory.mktemp("prey")) as found:
        yield found


def application(directory: Path, wanted: object) -> Path:
    (directory / "app.py").write_text(APPLICATION)
    (directory / "visit.py").write_text(VISIT)
    (directory / "wanted.json").write_text(json.dumps(wanted))
    attacks.copy_attack("attack.py", directory)
    directory.chmod(0o755)
    return directory


@pytest.fixture(scope="module", name="pages")
def visited(site: Site, prey: Prey, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The two pages. The module `greeting` stands in the volume that policies/pip-install.yaml fills."""
    directory = tmp_path_factory.mktemp("web")
    program = "open('/srv/site-packages/greeting.py', 'w').write('def greet(name):\\n    return f\"Hello, {name}!\"\\n')"
    attacks.succeeds(site, "pip-install", "python3", "-c", program)
    wanted = prey.wanted(
        read=["/etc/shadow", "/root/.ssh/id_rsa"],
        connect=[[attacks.METADATA, 80]],
        write=["/", "/etc", "/usr/lib", "/srv/site-packages", str(directory)],
        execute=["/tmp", "/dev/shm"],
        contained=[""],
    )
    here = application(directory, wanted)
    visit = ("python3", str(here / "visit.py"), str(here))
    return attacks.succeeds(site, "web-application", *visit, options=["--allow-read", str(here)]).decode().splitlines()


def test_it_serves(pages: list[str]) -> None:
    assert pages[0] == "Hello, Ada!"


def test_who_comes_in_gets_nothing(pages: list[str], prey: Prey) -> None:
    answer: dict[str, str] = json.loads(pages[1])
    assert {attempt: result for attempt, result in answer.items() if result == "reached"} == {}
    assert answer["write /srv/site-packages"] == "EROFS"  # no code of its own for the next start
    assert answer["execute /tmp"] == "EACCES"
    assert answer[f"connect ['127.0.0.1', {prey.port}]"] == "ECONNREFUSED"


def test_unconfined_it_would(prey: Prey) -> None:
    attack = [sys.executable, str(PAYLOADS / "attack.py")]
    found = prey.unconfined(attack, prey.wanted(execute=[str(prey.directory)]))
    assert set(found.values()) == {"reached"}, found
