"""The profiles that ship, by name ("base/minimal", "default"), resolved as a run resolves them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer.policy.parse import parse_profile
from enforcer.policy.resolve import resolve

if TYPE_CHECKING:
    from enforcer.policy.profile import Clause, Policy, Profile

POLICIES = Path(__file__).parent.parent / "policies"
NAMES = sorted(str(path.relative_to(POLICIES).with_suffix("")) for path in POLICIES.rglob("*.yaml"))


@cache
def policy(name: str) -> Policy:
    return resolve(_profile(name), load_base=lambda base, _clause: _profile(base), read_file=_read).policy


def resolved(text: str) -> Policy:
    """What a profile in words means, on the shipped ones; its relative paths start from /."""
    profile = parse_profile(text.encode(), "test.yaml")
    return resolve(profile, load_base=lambda base, _clause: _profile(base), read_file=_read).policy


def _profile(name: str) -> Profile:
    path = POLICIES / f"{name}.yaml"
    return parse_profile(path.read_bytes(), str(path))


def _read(path: str, _clause: Clause) -> bytes:
    return (POLICIES / path).read_bytes()
