from __future__ import annotations

from enforcer.linux import procfs
from enforcer.linux.probe_cgroups import locate


def located(mountinfo: str, cgroup: str) -> tuple[str, dict[str, str], tuple[str, str]]:
    return locate(procfs.parse_mountinfo(mountinfo), procfs.parse_cgroup(cgroup))


V1 = "1 0 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
V1 += "2 0 0:2 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
UNIFIED = "3 0 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"


def test_v1_is_below_the_callers_own_groups() -> None:
    layout, directories, unified = located(V1, "4:memory:/jobs/a\n1:cpu,cpuacct:/\n")
    assert layout == "v1"
    assert directories == {"memory": "/sys/fs/cgroup/memory/jobs/a", "cpu": "/cg/cpu,cpuacct"}
    assert unified == ("", "")


def test_hybrid_has_both() -> None:
    layout, directories, unified = located(V1 + UNIFIED, "4:memory:/\n0::/x\n")
    assert layout == "hybrid"
    assert directories == {"memory": "/sys/fs/cgroup/memory"}
    assert unified == ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/x")


def test_v2_alone() -> None:
    layout, directories, unified = located(
        "3 0 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "1:name=systemd:/y\n0::/user.slice/a.scope\n"
    )
    assert (layout, directories) == ("v2", {})
    assert unified == ("/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/a.scope")


def test_nothing_mounted() -> None:
    assert located("", "0::/\n") == ("none", {}, ("", ""))


def test_a_mount_of_a_part_of_the_hierarchy_is_that_part() -> None:
    mount = "1 0 0:1 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    assert located(mount, "4:memory:/docker/abc/job\n")[1] == {"memory": "/sys/fs/cgroup/memory/job"}
    assert located(mount, "4:memory:/docker/abcd\n")[1] == {}


def test_a_group_outside_the_cgroup_namespace_is_not_ours_to_use() -> None:
    assert located(V1, "4:memory:/../other\n")[1] == {}
