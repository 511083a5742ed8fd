from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType

import pytest

from enforcer.errors import HostError
from enforcer.plan.host import HostFacts, digest, from_document, to_document

FACTS = HostFacts(
    "aarch64",
    "6.1.0-9",
    rootful=True,
    uid=0,
    gid=0,
    capabilities=frozenset({"SYS_ADMIN", "CHOWN"}),
    namespaces=frozenset({"user", "pid"}),
    container_ids=(65536, 131072),
    cgroup_layout="v2",
    cgroups=MappingProxyType({"pids": "/sys/fs/cgroup", "memory": "/sys/fs/cgroup"}),
    landlock_abi=4,
)


def test_facts_survive_json() -> None:
    assert from_document(json.loads(json.dumps(to_document(FACTS)))) == FACTS


def test_the_digest_depends_on_every_fact_and_on_no_order() -> None:
    assert digest(FACTS) == digest(from_document(to_document(FACTS)))
    assert digest(FACTS) != digest(replace(FACTS, landlock_abi=3))
    assert digest(FACTS) != digest(replace(FACTS, cgroups=MappingProxyType({})))
    assert len(digest(FACTS)) == 64


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uid", "0"),
        ("uid", True),
        ("rootful", 1),
        ("capabilities", [1]),
        ("container_ids", [1]),
        ("container_ids", ["1", "2"]),
        ("cgroups", {"pids": 1}),
        ("cgroups", []),
        ("machine", None),
        ("surprise", 1),
    ],
)
def test_a_document_that_is_not_ours_is_refused(name: str, value: object) -> None:
    with pytest.raises(HostError):
        from_document({**to_document(FACTS), name: value})


def test_a_missing_field_is_refused() -> None:
    document = to_document(FACTS)
    del document["tun"]
    with pytest.raises(HostError):
        from_document(document)
