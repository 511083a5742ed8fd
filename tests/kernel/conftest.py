"""Fixtures of the tests that launch containers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.kernel.running import Site

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A store, state and image of this session's own; only root can run all of these tests."""
    if os.geteuid() != 0:
        pytest.skip("only root can launch with everything on")
    directory: Path = tmp_path_factory.mktemp("site")
    return Site(directory)
