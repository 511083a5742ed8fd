"""A working directory with profiles, no ceiling, and the shipped profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enforcer.runtime import profiles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="place")
def place_of_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No profile but the shipped ones and what a test writes; the system's own place is a directory of the test."""
    monkeypatch.setattr(profiles, "SYSTEM", str(tmp_path / "system"))
    monkeypatch.setattr(profiles, "CEILING", str(tmp_path / "ceiling.yaml"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str = "", *, name: str = "") -> Path:
    """A profile; its head is added."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"profile: enforcer/v1\nname: {name or path.stem}\n{text}")
    return path
