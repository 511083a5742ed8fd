"""The structure of an OCI runtime-spec 1.2 config.json, of the parts that we write (config.md, config-linux.md)."""

from __future__ import annotations

from typing import Any

U32, U64, I64 = 2**32 - 1, 2**64 - 1, 2**63 - 1


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


def _integer(low: int, high: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


def _list(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


TEXT = {"type": "string"}
NAME = {"type": "string", "minLength": 1}
PATH = {"type": "string", "pattern": "^/"}
CAPABILITIES = _list({"type": "string", "pattern": "^CAP_[A-Z_]+$"}, uniqueItems=True)
ID_MAP = _list(_object("containerID hostID size", containerID=_integer(0, U32), hostID=_integer(0, U32), size=_integer(1, U32)))
DEVICE_NUMBER = _integer(0, I64)
ACTIONS = ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG"]
OPERATORS = [f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")]
SECCOMP = _object(
    "defaultAction",
    defaultAction={"enum": ACTIONS},
    defaultErrnoRet=_integer(0, U32),
    architectures=_list({"enum": [f"SCMP_ARCH_{name}" for name in ("X86", "X86_64", "X32", "ARM", "AARCH64")]}),
    syscalls=_list(
        _object(
            "names action",
            names=_list(NAME, minItems=1),
            action={"enum": ACTIONS},
            errnoRet=_integer(0, U32),
            args=_list(
                _object(
                    "index value op",
                    index=_integer(0, 5),
                    value=_integer(0, U64),
                    valueTwo=_integer(0, U64),
                    op={"enum": OPERATORS},
                )
            ),
        )
    ),
)
RESOURCES = _object(
    "devices",
    devices=_list(
        _object(
            "allow",
            allow={"type": "boolean"},
            type={"enum": ["a", "c", "b"]},
            major=DEVICE_NUMBER,
            minor=DEVICE_NUMBER,
            access={"type": "string", "pattern": "^r?w?m?$"},
        )
    ),
    memory=_object(
        "limit", limit=_integer(0, I64), swap=_integer(0, I64), kernelTCP=_integer(0, I64), swappiness=_integer(0, 100)
    ),
    pids=_object("limit", limit=_integer(1, I64)),
    cpu=_object("period quota", period=_integer(1000, 1_000_000), quota=_integer(1000, I64)),
)
NAMESPACE = _object("type", type={"enum": ["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"]}, path=PATH)
LINUX = _object(
    "namespaces resources seccomp",
    namespaces=_list(NAMESPACE, uniqueItems=True),
    uidMappings=ID_MAP,
    gidMappings=ID_MAP,
    devices=_list(
        _object("type path", type={"enum": ["c", "b", "u", "p"]}, path=PATH, major=DEVICE_NUMBER, minor=DEVICE_NUMBER)
    ),
    resources=RESOURCES,
    seccomp=SECCOMP,
    rootfsPropagation={"enum": ["shared", "slave", "private", "unbindable"]},
    maskedPaths=_list(PATH),
    readonlyPaths=_list(PATH),
)
PROCESS = _object(
    "cwd args user",
    terminal={"type": "boolean"},
    user=_object(
        "uid gid", uid=_integer(0, U32), gid=_integer(0, U32), umask=_integer(0, 0o777), additionalGids=_list(_integer(0, U32))
    ),
    args=_list(TEXT, minItems=1),
    env=_list({"type": "string", "pattern": "^[^=]+="}),
    cwd=PATH,
    capabilities=_object("", **dict.fromkeys(("bounding", "effective", "inheritable", "permitted", "ambient"), CAPABILITIES)),
    rlimits=_list(
        _object(
            "type soft hard",
            type={"type": "string", "pattern": "^RLIMIT_[A-Z]+$"},
            soft=_integer(0, U64),
            hard=_integer(0, U64),
        )
    ),
    noNewPrivileges={"type": "boolean"},
)
CONFIG = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **_object(
        "ociVersion process root",
        ociVersion={"type": "string", "pattern": r"^1\.2\.\d+$"},
        root=_object("path", path=NAME, readonly={"type": "boolean"}),
        hostname={"type": "string", "maxLength": 64},
        process=PROCESS,
        mounts=_list(_object("destination", destination=PATH, type=NAME, source=NAME, options=_list(NAME))),
        linux=LINUX,
        annotations={"type": "object", "additionalProperties": TEXT, "propertyNames": {"minLength": 1}},
    ),
}
