from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from enforcer.errors import HostError
from enforcer.runtime import paths

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="store")
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENFORCER_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def test_the_environment_chooses(store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert paths.store() == str(store)
    monkeypatch.setenv("ENFORCER_STATE", str(tmp_path / "state"))
    assert paths.run_state() == str(tmp_path / "state")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENFORCER_STORE", "relative")
    assert paths.store() == str(tmp_path / "relative")


def test_else_it_is_the_systems_or_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ENFORCER_STORE", "ENFORCER_STATE"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert (paths.store(), paths.run_state()) == ("/var/lib/enforcer", "/run/enforcer")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert paths.store() == f"{tmp_path}/enforcer"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.store() == f"{tmp_path}/.local/share/enforcer"


@pytest.mark.parametrize("make", [paths.volumes, lambda: paths.cache("plans")])
def test_directories_are_made_and_are_the_callers_alone(store: Path, make: object) -> None:
    made = make()  # type: ignore[operator]
    assert made.startswith(f"{store}/")
    assert os.stat(made).st_mode & 0o777 == 0o700
    store.chmod(0o777)
    with pytest.raises(HostError):
        make()  # type: ignore[operator]
