"""What docs/reference is generated from: the commands' own help, and the schema of the profile language."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enforcer.cli import completion
from enforcer.policy import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(__file__).parents[2] / "bin"
Schema = dict[str, Any]


def profile_schema() -> str:
    """The JSON Schema, as `enforcer policy schema` prints it."""
    return json.dumps(schema.json_schema(), indent=2) + "\n"


def commands() -> str:
    """Every command's --help as the program prints it, subcommands after the command they belong to."""
    named = sorted(entry.words for entry in completion.entries())
    order = [entry.words for entry in completion.entries() if len(entry.words) == 1]
    words = [one for first in order for one in named if one[0] == first[0]]
    parts = ["# Commands\n\nThe exit code is 0, or 125 when enforcer refuses; `run` and `compare` have others too.\n"]
    for each in [(), *words]:
        result = subprocess.run([BIN / "enforcer", *each, "--help"], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        parts.append(f"\n## {' '.join(['enforcer', *each])}\n\n```text\n{result.stdout.rstrip()}\n```\n")
    return "".join(parts)


HEAD = """\
# The profile language

A profile says, in YAML, everything that one image may reach. What no clause grants is refused. This page lists every key, from
the schema that `enforcer policy schema` prints ([profile.schema.json](profile.schema.json)); the parser refuses what
is not here. A key that is left out grants nothing.

```yaml
profile: enforcer/v1
name: web
extends: base/python
filesystem:
  mounts:
    - {bind: ./data, at: /data, access: read}
```

`enforcer policy new NAME` writes a beginning, `enforcer policy show FILE` prints what is in force and the clause of each grant.
"""


def profile_language() -> str:
    """A table for each section of the language."""
    root = schema.json_schema()
    sections = {name: value for name, value in root["properties"].items() if value.get("type") == "object"}
    top = {name: value for name, value in root["properties"].items() if name not in sections}
    parts = [HEAD, "\n## The document\n\n", _table(_rows("", {"properties": top, "required": root["required"]}))]
    for name, value in sections.items():
        parts += [f"\n## {name}\n\n{value['description']}\n\n", _table(_rows(name, value))]
    definitions = [(name, value) for name, value in root["$defs"].items() if "description" in value]
    parts += ["\n## Values\n\n", _table([(f"*{name}*", _values(value), value["description"]) for name, value in definitions])]
    return "".join(parts)


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = [("key", "values", "meaning"), ("---", "---", "---"), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _rows(path: str, value: Schema) -> list[tuple[str, str, str]]:
    """Each key once, though several forms of an entry may have it."""
    return list(dict.fromkeys((f"`{name}`", _values(inner), about) for name, inner, about in _keys(path, value)))


def _keys(path: str, value: Schema, form: str = "") -> Iterator[tuple[str, Schema, str]]:
    """Every key below a section: path, schema, meaning. form: the key that makes an entry one of several forms."""
    for name, inner in value.get("properties", {}).items():
        whole = f"{path}.{name}" if path else name
        must = " One of the forms of an entry." if name == form else " Required." if name in value.get("required", []) else ""
        if inner is False:
            continue
        yield whole, inner, (inner.get("description", "") + must).strip()
        for below, choice in _objects(inner):
            yield from _keys(whole, below, choice)
        for below, choice in _objects(inner.get("items", {})):
            yield from _keys(f"{whole}[]", below, choice)


def _objects(value: Schema) -> list[tuple[Schema, str]]:
    """The mappings that a value can be, each with the key that tells it from the others."""
    if "$ref" in value:
        return _objects(schema.json_schema()["$defs"][value["$ref"].rpartition("/")[2]])
    if "properties" in value:
        return [(value, "")]
    forms = [one for key in ("oneOf", "anyOf") for one in value.get(key, []) if "properties" in one]
    return [(one, next(iter(one["properties"]))) for one in forms]


SHORT = 12


def _values(value: Schema) -> str:  # noqa: PLR0911  (one line a form)
    """What can be written."""
    if "$ref" in value:
        return f"*{value['$ref'].rpartition('/')[2]}*"
    if "const" in value:
        return f"`{json.dumps(value['const'])}`" if value["const"] is True else f"`{value['const']}`"
    if "enum" in value:
        words = [f"`{word}`" for word in value["enum"]]
        return " ".join(words if len(words) <= SHORT else [*words[:3], f"… ({len(words)} in all)"])
    for key in ("anyOf", "oneOf"):
        if key in value:
            return " or ".join(dict.fromkeys(_values(one) for one in value[key]))
    kind = value.get("type")
    if kind == "array":
        return f"list of {_values(value['items'])}"
    if kind == "object":
        return "mapping"
    if kind in ("integer", "number"):
        return f"{value['minimum']} to {value['maximum']}"
    if kind == "boolean":
        return "`true` or `false`"
    return "text"
