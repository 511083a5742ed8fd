"""The JSON Schema of the profile language (draft 2020-12), for editors and for `enforcer policy schema`.

The parser is the law. The schema says what a schema can: shapes, words, ranges and forms; not that two lists disagree, that a
network has host bits, or that a mount point is taken twice. A test holds that it accepts every profile that ships and refuses
what the parser refuses for a reason that it can express.
"""

from __future__ import annotations

from typing import Any

from enforcer.oci.syscalls import NUMBERS
from enforcer.policy.names import CAPABILITIES, errnos
from enforcer.policy.parse import EXTENDS_LIMIT, LANGUAGE
from enforcer.policy.parse_sections import (
    NAMESPACE_KEYS,
    OPEN_FILES_LIMIT,
    OPEN_FILES_MIN,
    PID_MAX_LIMIT,
    PRIVATE_OR_HOST,
    VALUE_LIMIT,
)
from enforcer.policy.parse_syscalls import ARCHITECTURES, ARGUMENT_COUNT, BASES, CONDITION_LIMIT, OPERATORS
from enforcer.policy.places import ENVIRONMENT_NAME
from enforcer.policy.profile import MAX_U64
from enforcer.policy.quantities import MAX_CPUS, MAX_ID, MAX_SIZE, MIN_SIZE

Schema = dict[str, Any]

_SEGMENT = r"(?!\.{1,2}(?:/|$))[^/\n\r\t]{1,255}"
_ABSOLUTE = rf"^(?:/|(?:/{_SEGMENT})+)$"
_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"


def json_schema() -> Schema:
    """Build the schema of one profile as a JSON-able mapping."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "enforcer profile",
        "description": "Everything that one image may reach. What no clause grants is refused.",
        **_object(
            {
                "profile": _described({"const": LANGUAGE}, "The language and its version."),
                "name": _described(_pattern(_NAME), "How messages and listings call the profile."),
                "description": _described({"type": "string"}, "For people."),
                "extends": _described(_extends(), "Bases whose grants are added to these: one name or a list of them."),
                "match": _described(_match(), "Which images the profile is for."),
                "run": _run(),
                "environment": _environment(),
                "syscalls": _syscalls(),
                "capabilities": _described(_list(_capability()), "Linux capabilities that the payload may hold."),
                "filesystem": _filesystem(),
                "network": _network(),
                "user_namespace": _described(
                    {"enum": ["auto", "host"]}, "auto: a range of user ids of its own; host: the host's."
                ),
                "namespaces": _namespaces(),
                "resources": _resources(),
                "phases": _phases(),
            },
            required=("profile",),
        ),
        "$defs": _definitions(),
    }


def _definitions() -> Schema:
    return {
        "path": _described(_pattern(_ABSOLUTE) | {"maxLength": 4095}, "An absolute path in its normal form."),
        "hostPath": _described(
            {"anyOf": [{"$ref": "#/$defs/path"}, _pattern(rf"^(?!~)(?:\.|(?:\./)?{_SEGMENT}(?:/{_SEGMENT})*)$")]},
            "A path on the host: absolute, or relative to the profile's own directory.",
        ),
        "syscall": _described(
            {"enum": sorted({name for table in NUMBERS.values() for name in table})}, "A system call's name."
        ),
        "port": _described(
            {"anyOf": [_integer(1, 65535), _pattern(r"^[1-9][0-9]{0,4}(?:/(?:tcp|udp))?$")]},
            "A port number; TCP unless /udp is written after it.",
        ),
        "size": _described(
            {"anyOf": [_integer(MIN_SIZE, MAX_SIZE), _pattern(r"^[1-9][0-9]{0,18}(?:B|KiB|MiB|GiB|TiB)?$")]},
            "A size in bytes, or with a unit: 64MiB.",
        ),
        "duration": _described(_pattern(r"^[1-9][0-9]{0,18}(?:ms|s|m|h|d)$"), "A duration with its unit: 10m."),
        "number": _described(
            {"anyOf": [_integer(0, MAX_U64), _pattern(r"^\s*[A-Z][A-Za-z0-9_]*\s*(?:\|\s*[A-Z][A-Za-z0-9_]*\s*)*$")]},
            "An unsigned 64-bit number, or names of kernel constants joined by |.",
        ),
        "volumeName": _described(_pattern(_NAME), "The name of a volume or secret."),
        "environmentName": _described(_pattern(f"^{ENVIRONMENT_NAME.pattern}$"), "The name of an environment variable."),
        "egress": _egress(),
    }


def _extends() -> Schema:
    base = _pattern(r"^(?:[a-z0-9][a-z0-9._-]{0,63}/){0,7}[a-z0-9][a-z0-9._-]{0,63}$")
    return {"anyOf": [base, _list(base) | {"maxItems": EXTENDS_LIMIT}]}


def _match() -> Schema:
    image = _described(_pattern(r"^[!-~]+$"), "REPOSITORY[:TAG] with * and ? in the tag only, host, or rootfs:/DIRECTORY.")
    digest = _described(_pattern("^sha256:[0-9a-f]{64}$"), "One exact image.")
    one = {"oneOf": [_object({"image": image}, required=("image",)), _object({"digest": digest}, required=("digest",))]}
    return _list(one) | {"minItems": 1}


def _run() -> Schema:
    number = r"(?:0|[1-9][0-9]{0,9})"
    user = {"anyOf": [_integer(0, MAX_ID), _pattern(rf"^(?:image|{number}(?::{number})?)$")]}
    return _described(
        _object(
            {
                "user": _described(user, "uid:gid, uid, or image for the image's own USER. Root only as 0:0."),
                "init": _described({"type": "boolean"}, "Run under a process 1 that reaps and forwards signals."),
                "cwd": _described(_path(), "The working directory; the image's when unsaid."),
            }
        ),
        "How the payload runs.",
    )


def _environment() -> Schema:
    name = {"$ref": "#/$defs/environmentName"}
    value = {"type": "string", "maxLength": VALUE_LIMIT}
    return _described(
        _object(
            {
                "pass": _described(_list(name), "Variables let through from the caller; no other is."),
                "set": _described(
                    {"type": "object", "propertyNames": name, "additionalProperties": value}, "Variables with a fixed value."
                ),
            }
        ),
        "Environment variables.",
    )


def _syscalls() -> Schema:
    file = _object({"file": _described({"$ref": "#/$defs/hostPath"}, "An OCI seccomp JSON document.")}, required=("file",))
    entry = _object(
        {
            "names": _described(_list({"$ref": "#/$defs/syscall"}) | {"minItems": 1}, "The system calls."),
            "args": _described(
                {"type": "array", "items": _condition(), "minItems": 1, "maxItems": CONDITION_LIMIT},
                "Comparisons of arguments, all of which must hold.",
            ),
        },
        required=("names",),
    )
    violations = ["kill", "complain", *(f"errno {name}" for name in errnos())]
    return _described(
        _object(
            {
                "base": _described(
                    {"anyOf": [{"enum": list(BASES)}, file]}, "The system calls below; file: an OCI seccomp JSON."
                ),
                "allow": _described(
                    {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/syscall"}, entry]}},
                    "System calls, always or when all conditions on their arguments hold.",
                ),
                "deny": _described(_list({"$ref": "#/$defs/syscall"}), "System calls taken away again from the bases' grants."),
                "violation": _described({"enum": violations}, "What a refused call meets. complain logs and allows."),
                "architectures": _described(_list({"enum": list(ARCHITECTURES)}), "Foreign ABIs that may be entered."),
            }
        ),
        "System calls, refused by seccomp(2) unless granted.",
    )


def _condition() -> Schema:
    number = {"$ref": "#/$defs/number"}
    keys = {
        "index": _described(_integer(0, ARGUMENT_COUNT - 1), "Which argument, from 0."),
        "op": _described({"enum": list(OPERATORS)}, "&== compares (argument & mask) with value."),
        "value": _described(number, "What it is compared with."),
        "mask": _described(number, "For &== only: the bits that count."),
    }
    masked: Schema = {"properties": {"op": {"const": "&=="}}, "required": ["op"]}
    return _object(keys, required=("index", "op", "value")) | {
        "if": masked,
        "then": {"required": ["mask"]},
        "else": {"properties": {"mask": False}},
    }


def _capability() -> Schema:
    return {"enum": [prefix + name for prefix in ("", "CAP_") for name in CAPABILITIES]}


def _filesystem() -> Schema:
    paths = _described(_list(_path()), "Paths, each with everything below it.")
    return _described(
        _object(
            {
                "root": _described(
                    {"enum": ["read-only", "ephemeral"]}, "ephemeral: a writable layer that ends with the container."
                ),
                "mounts": _described(_list({"oneOf": _mounts()}), "What is mounted into the container."),
                "paths": _described(
                    _object(dict.fromkeys(("read", "write", "execute"), paths)), "What Landlock leaves reachable."
                ),
                "devices": _described(
                    _list(_pattern(rf"^/dev(?:/{_SEGMENT})+$")), "Device nodes beyond null zero full random urandom tty ptmx."
                ),
            }
        ),
        "Files.",
    )


def _mounts() -> list[Schema]:
    at = _described(
        _pattern(rf"^(?!/(?:proc|sys)(?:/|$)|/dev(?:$|/(?!shm(?:/|$))))(?:/{_SEGMENT})+$"), "Where, in the container."
    )
    rights = {
        "access": _described({"enum": ["read", "write"]}, "read when unsaid; a tmpfs is for writing."),
        "exec": _described({"type": "boolean"}, "Whether programs may be executed from it; false when unsaid."),
    }
    source = {"anyOf": [_pattern(r"^env:[A-Za-z_][A-Za-z0-9_]{0,127}$"), _pattern("^file:" + _ABSOLUTE[1:])]}
    mode = _described(
        _pattern("^0?[0-7]{3}$") | {"type": ["string", "integer"], "minimum": 0, "maximum": 0o777}, "Permission bits."
    )
    name = {"$ref": "#/$defs/volumeName"}
    bind = _described({"$ref": "#/$defs/hostPath"}, "A file or directory of the host.")
    volume = _described(name, "A named directory that outlives the container.")
    tmpfs = _described({"const": True}, "An empty directory in memory.")
    size = _described({"$ref": "#/$defs/size"}, "How much a tmpfs can hold.")
    secret = _described(name, "A file in memory that only the payload can read.")
    taken = _described(source, "env:NAME or file:/PATH, where the secret's value is taken from at launch.")
    return [
        _object({"bind": bind, "at": at, **rights}, required=("bind", "at")),
        _object({"volume": volume, "at": at, **rights}, required=("volume", "at")),
        _object({"tmpfs": tmpfs, "at": at, "size": size, **rights}, required=("tmpfs", "at", "size")),
        _object({"secret": secret, "from": taken, "at": at, "mode": mode}, required=("secret", "from", "at")),
    ]


def _network() -> Schema:
    publish = _pattern(r"^(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]):[1-9][0-9]{0,4}$")
    ingress = _object(
        {
            "port": _described({"$ref": "#/$defs/port"}, "The port inside."),
            "publish": _described(publish, "ADDRESS:PORT on the host."),
        },
        required=("port",),
    )
    return _described(
        _object(
            {
                "egress": _described(_list({"$ref": "#/$defs/egress"}), "Where connections may go."),
                "ingress": _described(_list(ingress), "Ports that are listened on."),
                "share": _described({"enum": ["none", "host"]}, "host: the host's own network, unfiltered."),
            }
        ),
        "Network; loopback only unless granted.",
    )


def _egress() -> Schema:
    ports = _described(_list({"$ref": "#/$defs/port"}) | {"minItems": 1}, "Ports, at least one.")
    host = _pattern(rf"^(?:\*\.)?{_LABEL}(?:\.{_LABEL})*$") | {"maxLength": 255}
    cidr = _pattern(r"^(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9a-f:.]*:[0-9a-f:.]*)/[0-9]{1,3}$")
    return {
        "oneOf": [
            _object(
                {"host": _described(host, "A name, or *.suffix for all below it."), "ports": ports}, required=("host", "ports")
            ),
            _object({"cidr": _described(cidr, "A network in canonical form."), "ports": ports}, required=("cidr", "ports")),
        ]
    }


def _namespaces() -> Schema:
    kinds = {
        name: _described({"enum": list(PRIVATE_OR_HOST)}, f"The {name} namespace, see {name}_namespaces(7).")
        for name in NAMESPACE_KEYS
    }
    return _described(_object(kinds), "private: a namespace of its own; host: the host's.")


def _resources() -> Schema:
    size, tasks = {"$ref": "#/$defs/size"}, _integer(1, PID_MAX_LIMIT)
    cpus: Schema = {"anyOf": [{"type": "number", "minimum": 0.01, "maximum": MAX_CPUS}, _pattern(r"^[0-9]{1,4}(?:\.[0-9]+)?$")]}
    return _described(
        _object(
            {
                "memory": _described(size, "Memory of all processes together."),
                "pids": _described(tasks, "Processes and threads in the container's cgroup."),
                "cpus": _described(cpus, "Processors, 0.01 to 4096."),
                "open_files": _described(_integer(OPEN_FILES_MIN, OPEN_FILES_LIMIT), "RLIMIT_NOFILE."),
                "processes": _described(tasks, "RLIMIT_NPROC."),
                "scratch": _described(size, "Size of the ephemeral root's writable layer."),
                "time": _described({"$ref": "#/$defs/duration"}, "How long the container may run."),
            }
        ),
        "Upper bounds; unlimited when unsaid.",
    )


def _phases() -> Schema:
    ready: Schema = {
        "oneOf": [
            _object({"port": _described({"$ref": "#/$defs/port"}, "It is listened on.")}, required=("port",)),
            _object({"file": _described(_path(), "It exists.")}, required=("file",)),
            _object({"after": _described({"$ref": "#/$defs/duration"}, "So much time is over.")}, required=("after",)),
        ]
    }
    then = _object(
        {
            "syscalls": _described(
                _object(
                    {"deny": _described(_list({"$ref": "#/$defs/syscall"}), "System calls refused from then on.")},
                    required=("deny",),
                ),
                "System calls.",
            ),
            "network": _described(
                _object(
                    {"egress": _described(_list({"$ref": "#/$defs/egress"}), "The only connections from then on.")},
                    required=("egress",),
                ),
                "Network.",
            ),
        }
    ) | {"minProperties": 1}
    keys = {
        "ready": _described(ready, "What shows that the application is ready."),
        "then": _described(then, "What ends then."),
    }
    return _described(_object(keys, required=("ready", "then")), "Rights that end when the application is ready.")


def _object(properties: Schema, *, required: tuple[str, ...] = ()) -> Schema:
    made: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return made | ({"required": list(required)} if required else {})


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items, "uniqueItems": True}


def _integer(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _pattern(expression: str) -> Schema:
    return {"type": "string", "pattern": expression}


def _path() -> Schema:
    return {"$ref": "#/$defs/path"}


def _described(schema: Schema, description: str) -> Schema:
    return schema | {"description": description}
