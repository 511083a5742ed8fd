from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from enforcer.policy.compose import compose
from enforcer.policy.parse import parse_profile
from enforcer.policy.schema import json_schema
from enforcer.policy.source import Mapping, Node, Scalar, Sequence
from tests.unit.policy.bad_documents import BAD, Bad
from tests.unit.policy.test_parse import WHOLE
from tests.unit.policy.test_parse_refuses import document

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIPPED = sorted((Path(__file__).parents[3] / "policies").rglob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def plain(node: Node | None) -> Any:
    """What a YAML 1.2 reader gives to a schema."""
    if isinstance(node, Mapping):
        return {key.text: plain(value) for key, value in node.entries}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else None


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_it_accepts_a_document_with_everything() -> None:
    VALIDATOR.validate(plain(compose(WHOLE.encode(), "x.yaml")))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_it_accepts_what_ships(path: Path) -> None:
    parse_profile(path.read_bytes(), path.name)
    VALIDATOR.validate(plain(compose(path.read_bytes(), path.name)))


@pytest.mark.parametrize(
    "text",
    [
        "run: {user: 0}",
        "run: {user: image}",
        "extends: [a, b/c]",
        "match: [{image: host}, {image: rootfs:/srv/root}, {image: 'a:1.*'}]",
        "syscalls: {base: {file: ./x.json}}",
        "syscalls: {allow: [{names: [clone], args: [{index: 0, op: '&==', mask: 0x7e020000, value: 0}]}]}",
        "filesystem: {mounts: [{bind: ., at: /a}, {bind: data/x, at: /b}, {tmpfs: true, at: /dev/shm, size: 65536}]}",
        "filesystem: {paths: {read: [/]}}",
        "filesystem: {mounts: [{secret: a, from: 'file:/x/y', at: /a, mode: 0o400}], devices: [/dev/net/tun]}",
        "network: {egress: [{host: '*.a.b', ports: [53/udp]}, {cidr: '::/0', ports: [1]}]}",
        "network: {ingress: [{port: 53/udp, publish: '[::1]:53'}]}",
        "resources: {cpus: 0.5, memory: 4096}",
        "phases: {ready: {after: 5s}, then: {network: {egress: []}}}",
    ],
)
def test_it_accepts_what_the_parser_accepts(text: str) -> None:
    data = f"profile: enforcer/v1\n{text}".encode()
    parse_profile(data, "x.yaml")
    VALIDATOR.validate(plain(compose(data, "x.yaml")))


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad.by == "schema"], ids=lambda bad: ascii(bad.text[:60]))
def test_it_refuses_what_the_parser_refuses(bad: Bad) -> None:
    root = compose(document(bad)[0].encode(), "x.yaml")
    assert not VALIDATOR.is_valid(plain(root))


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad.by == "parser"], ids=lambda bad: ascii(bad.text[:60]))
def test_what_only_the_parser_knows(bad: Bad) -> None:
    """A document that the schema learns to refuse belongs to the other kind."""
    assert VALIDATOR.is_valid(plain(compose(document(bad)[0].encode(), "x.yaml")))


def test_every_key_is_described() -> None:
    assert not [path for path, schema in _properties(json_schema(), "") if "description" not in _resolved(schema)]


def _properties(schema: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        for name, value in schema.get("properties", {}).items():
            if path.count("/") <= 1 and value is not False:
                yield f"{path}/{name}", value
            yield from _properties(value, f"{path}/{name}")
        for key, value in schema.items():
            if key != "properties":
                yield from _properties(value, path)
    elif isinstance(schema, list):
        for item in schema:
            yield from _properties(item, path)


def _resolved(schema: Any) -> Any:
    reference = schema.get("$ref", "")
    return json_schema()["$defs"][reference.rpartition("/")[2]] if reference else schema
