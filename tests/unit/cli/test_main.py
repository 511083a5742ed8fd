from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import enforcer
from enforcer.cli import main
from enforcer.errors import LaunchError, PlanError

ENFORCER = Path(__file__).parents[3] / "bin/enforcer"


@pytest.mark.parametrize(
    ("words", "code"),
    [([], 125), (["--help"], 0), (["-h"], 0), (["help"], 0), (["--version"], 0), (["nothing"], 125), (["run", "--x"], 125)],
)
def test_exit_codes(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(words) == code
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    if words == ["--version"]:
        assert said.out == f"enforcer {enforcer.__version__}\n"


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([name, "--help"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"usage: enforcer {name}")
    assert said.err == ""


def refusing(error: BaseException) -> object:
    def command() -> int:
        raise error

    return command


def test_an_error_is_printed_once_with_its_hint(capsys: pytest.CaptureFixture[str]) -> None:
    error = PlanError("it cannot be", where="web.yaml:3:1", why="so", hint="mend it")
    assert main.guarded(refusing(error)) == 125  # type: ignore[arg-type]
    assert capsys.readouterr().err == "enforcer: web.yaml:3:1: it cannot be\n  why: so\n  hint: mend it\n"


def test_an_error_may_have_its_own_code() -> None:
    error = LaunchError("no program")
    error.exit_code = 127  # type: ignore[attr-defined]
    assert main.guarded(refusing(error)) == 127  # type: ignore[arg-type]


def test_a_mistake_of_ours_is_no_traceback_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.guarded(refusing(ZeroDivisionError("x"))) == 125  # type: ignore[arg-type]
    assert "a mistake of enforcer itself: ZeroDivisionError: x" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        main.guarded(refusing(ZeroDivisionError("x")), debug=True)  # type: ignore[arg-type]


def test_an_interrupt_is_130() -> None:
    assert main.guarded(refusing(KeyboardInterrupt())) == 130  # type: ignore[arg-type]


def test_a_reader_that_goes_away_is_no_noise() -> None:
    command = f"'{ENFORCER}' policy schema | head -c 1 >/dev/null"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
