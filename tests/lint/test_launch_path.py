"""What a launch imports. Each module costs start-up time (facts: yaml 45 ms, subprocess 25, json 14, dataclasses 36)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARIES = next((Path(sys.prefix) / "lib").glob("python3*/site-packages"))
START = (
    "import sys; sys.path += sys.argv.pop(1), sys.argv.pop(1); from enforcer.cli.main import main; sys.exit(main(sys.argv[1:]))"
)

# The modules beyond those of `python3 -I -S -c pass`. A new one has to be worth its milliseconds to every launch.
VERSION = "__future__ enforcer enforcer.cli enforcer.cli.main".split()
CASES = {"--version": (["--version"], VERSION)}


def _imported(*arguments: str) -> set[str]:
    """Names of the modules that Python imports when it is started with these arguments, as `-X importtime` reports them."""
    command = [sys.executable, "-X", "importtime", "-I", "-S", *arguments]
    result = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    lines = [line for line in result.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines[1:]}


@pytest.mark.parametrize("case", CASES)
def test_a_launch_imports_only_what_it_needs(case: str) -> None:
    arguments, allowed = CASES[case]
    imported = _imported("-c", START, str(ROOT), str(LIBRARIES), *arguments) - _imported("-c", "pass")
    assert sorted(imported - set(allowed)) == []
    assert sorted(set(allowed) - imported) == [], "the list is longer than the truth"
