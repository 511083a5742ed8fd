"""Where the profiles and checks that ship with enforcer are.

They stand in the package's `_data` in a checkout and an editable install (links to `policies/` and `audits/`) as in a wheel.
"""

from __future__ import annotations

import enforcer

_DATA = f"{enforcer.__path__[0]}/_data"


def policies() -> str:
    """Return the absolute directory of the shipped profiles: "base/minimal.yaml" is below it."""
    return f"{_DATA}/policies"


def audits() -> str:
    """Return the absolute directory of the shipped checks."""
    return f"{_DATA}/audits"


def short(place: str) -> str:
    """Name a place in a shipped profile as people know it: "base/minimal.yaml:9:7"; any other place as it is."""
    return place.removeprefix(policies() + "/")
