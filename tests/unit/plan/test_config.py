from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from enforcer.oci.image import ImageConfig
from enforcer.plan.cgroup_devices import DeviceRule
from tests import shipped
from tests.oci_schema import CONFIG
from tests.plans import HOST, SINGLE, SUBORDINATE, V1, plan

if TYPE_CHECKING:
    from enforcer.plan.host import HostFacts
    from enforcer.plan.step import Step

EVERYTHING = """\
run: {init: true, cwd: /srv, user: "5:6"}
environment: {pass: [LANG], set: {A: b=c}}
syscalls: {base: default, architectures: [x86]}
capabilities: [NET_BIND_SERVICE, CHOWN]
filesystem:
  root: ephemeral
  mounts:
    - {bind: /srv/data, at: /data, access: write}
    - {bind: /srv/a.conf, at: /etc/a.conf, exec: true}
    - {volume: cache, at: /cache}
    - {tmpfs: true, at: /tmp, size: 1MiB}
    - {secret: token, from: "env:T", at: /run/token, mode: "0440"}
  paths: {read: [/etc], write: [/tmp], execute: [/usr]}
  devices: [/dev/fuse]
network: {ingress: [{port: 80}]}
resources: {memory: 64MiB, pids: 9, cpus: 0.5, open_files: 64, processes: 32, scratch: 8MiB, time: 1m}
"""
BARE = EVERYTHING.partition("resources:")[0]
FUSE = (DeviceRule("c", 10, 229, "rw"),)
MOUNT_FLAGS = {"nosuid": 2, "nodev": 4, "noexec": 8, "ro": 1}


def config(text: str = EVERYTHING, facts: HostFacts = HOST, **changed: Any) -> dict[str, Any]:
    devices = FUSE if "/dev/fuse" in text else ()
    return plan(text, facts, device_rules=devices, groups=(7,), **changed).config


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("", HOST),
        (EVERYTHING, HOST),
        (EVERYTHING, V1),
        (BARE, SINGLE),
        (BARE, SUBORDINATE),
        ("user_namespace: host\nnetwork: {share: host}", HOST),
        ("syscalls: {base: default, violation: kill}", HOST),
        ("syscalls: {base: default, violation: complain}", HOST),
    ],
)
def test_it_has_the_structure_of_the_specification(text: str, facts: HostFacts) -> None:
    found = json.loads(json.dumps(config(text, facts)))
    jsonschema.Draft202012Validator(CONFIG).validate(found)


@pytest.mark.parametrize("name", shipped.NAMES)
def test_so_has_every_shipped_profile(name: str) -> None:
    granted = shipped.policy(name).filesystem.devices
    assert not granted
    jsonschema.Draft202012Validator(CONFIG).validate(config(f"extends: {name}", V1))


def test_the_schema_refuses_what_is_not_of_the_specification() -> None:
    found = config() | {"surprise": 1}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(CONFIG).validate(found)


# --- the same decisions as the launch program


def steps_of(text: str, facts: HostFacts = HOST, **changed: Any) -> tuple[Step, ...]:
    return plan(text, facts, device_rules=FUSE, groups=(7,), **changed).steps


def test_limits_are_those_of_the_program() -> None:
    numbers = {
        4: "RLIMIT_CORE",
        6: "RLIMIT_NPROC",
        7: "RLIMIT_NOFILE",
        12: "RLIMIT_MSGQUEUE",
        13: "RLIMIT_NICE",
        14: "RLIMIT_RTPRIO",
    }
    set_ = {numbers[step.args[1]]: step.args[2][:8] for step in steps_of(EVERYTHING) if step.call == "prlimit64"}  # type: ignore[index]
    written = {one["type"]: one["soft"].to_bytes(8, "little") for one in config()["process"]["rlimits"]}
    assert written == set_


def test_processes_are_limited_by_rlimit_where_nothing_else_does() -> None:
    found = config("resources: {pids: 5, processes: 9}", replace(SINGLE, kernel="6.1.0"))["process"]["rlimits"]
    assert {"type": "RLIMIT_NPROC", "hard": 5, "soft": 5} in found


def test_capabilities_are_the_granted_ones_in_all_five_sets() -> None:
    found = config()["process"]["capabilities"]
    assert len(found) == 5
    assert all(names == ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"] for names in found.values())
    assert set(map(tuple, config("")["process"]["capabilities"].values())) == {()}


def test_ids_groups_command_and_directory() -> None:
    image = ImageConfig(entrypoint=("/entry",), cmd=("x",), env=("L=1",))
    found = config(user=(5, 6), config=image)["process"]
    assert found["user"] == {"uid": 5, "gid": 6, "additionalGids": [7], "umask": 0o022}
    assert found["args"] == ["/entry", "x"]
    assert {"A=b=c", "L=1"} <= set(found["env"])
    assert found["cwd"] == "/srv"
    assert found["noNewPrivileges"] is True
    assert config(terminal=True)["process"]["terminal"] is True


def test_mounts_have_the_attributes_of_the_program() -> None:
    mounts = {one["destination"]: one for one in config()["mounts"]}
    programs: dict[str, int] = {}
    for step in steps_of(EVERYTHING):
        if step.call == "mount_setattr" and step.where == "launcher" and step.clause.startswith("filesystem.mounts"):
            programs.setdefault(step.clause, step.args[3][0] if isinstance(step.args[3], bytes) else 0)
    for index, at in enumerate(("/data", "/etc/a.conf", "/cache")):
        options = mounts[at]["options"]
        assert sum(flag for name, flag in MOUNT_FLAGS.items() if name in options) == programs[f"filesystem.mounts[{index}]"]
        assert {"rbind", "rprivate", "idmap"} <= set(options)
    assert mounts["/cache"]["source"] == "/volumes/cache"
    assert set(mounts["/tmp"]["options"]) >= {"nosuid", "nodev", "noexec", "size=1048576", "mode=1777"}
    assert "ro" in mounts["/dev"]["options"]
    assert {"ro", "subset=pid", "hidepid=ptraceable", "noexec"} <= set(mounts["/proc"]["options"])
    assert "/sys" not in mounts


def test_owners_are_mapped_only_where_root_maps_them() -> None:
    text = "filesystem: {mounts: [{bind: /srv/data, at: /data}]}"
    for facts in (SINGLE, SUBORDINATE):
        assert "idmap" not in config(text, facts)["mounts"][-1]["options"]


def test_the_hosts_directories_of_an_image_are_mounted_first() -> None:
    files = replace(plan().subject.files, binds=(("/usr", "/usr"),))
    found = config("", files=files)["mounts"][0]
    assert (found["destination"], found["source"]) == ("/usr", "/usr")
    assert {"ro", "nosuid", "nodev"} <= set(found["options"])
    assert "noexec" not in found["options"]


def test_a_secret_is_told_of_and_not_written() -> None:
    found = config()
    assert "/run/token" not in {one["destination"] for one in found["mounts"]}
    assert found["annotations"]["enforcer.secrets"] == "env:T:/run/token:0440"


def test_what_the_specification_cannot_say_is_annotated() -> None:
    found = config()["annotations"]
    assert found["enforcer.landlock"] == "/etc:r /tmp:w /usr:x"
    assert found["enforcer.time"] == "60000ms"
    assert found["enforcer.scratch"] == str(8 << 20)
    assert found["enforcer.init"] == "true"
    assert found["enforcer.environment-pass"] == "LANG"
    assert found["enforcer.layers"] == "/images/layer"


@pytest.mark.parametrize(("root", "readonly"), [("read-only", True), ("ephemeral", False)])
def test_the_root_is_as_written(root: str, readonly: bool) -> None:  # noqa: FBT001
    assert config(f"filesystem: {{root: {root}}}")["root"] == {"path": "rootfs", "readonly": readonly}
