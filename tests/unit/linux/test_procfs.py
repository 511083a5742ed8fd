from __future__ import annotations

from enforcer.linux import procfs


def test_mountinfo_with_optional_fields_and_escapes() -> None:
    text = (
        "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:2 - cgroup cgroup rw,cpu,cpuacct\n"
        "37 35 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        "torn line\n"
    )
    first, second = procfs.parse_mountinfo(text)
    assert (first.root, first.at, first.kind) == ("/mnt1", "/mnt 2", "cgroup")
    assert {"cpu", "cpuacct"} <= first.options
    assert (second.at, second.kind) == ("/sys/fs/cgroup/unified", "cgroup2")


def test_a_backslash_in_a_name_is_not_an_escape_twice() -> None:
    (entry,) = procfs.parse_mountinfo("1 2 0:1 / /a\\134040 rw - tmpfs tmpfs rw\n")
    assert entry.at == "/a\\040"


def test_cgroup_lines_of_both_versions() -> None:
    text = "9:name=systemd:/\n4:memory:/a/b:c\n1:cpu,cpuacct:/x\n0::/user.slice\n"
    assert procfs.parse_cgroup(text) == {
        "name=systemd": "/",
        "memory": "/a/b:c",
        "cpu": "/x",
        "cpuacct": "/x",
        "": "/user.slice",
    }


def test_id_maps_give_the_ids_inside() -> None:
    assert procfs.parse_id_map("         0       1000          1\n 1 100000 65536\n") == (range(1), range(1, 65537))
    assert procfs.parse_id_map("") == ()


def test_subordinate_ids_skip_what_is_no_range() -> None:
    text = "anna:100000:65536\n1001:200000:65536\n# a comment\nbad:x:1\nbad:1\n\n"
    assert procfs.parse_subordinate(text) == (("anna", range(100000, 165536)), ("1001", range(200000, 265536)))


def test_account_ids() -> None:
    assert procfs.parse_account_ids("root:x:0:0::/root:/bin/sh\n+\nanna:x:1000:1000::/:/bin/sh\n") == (0, 1000)


def test_status() -> None:
    assert procfs.parse_status("Name:\ta:b\nCapEff:\t000001ff\n")["CapEff"] == "000001ff"
    assert procfs.parse_status("Name:\ta:b\n")["Name"] == "a:b"


def test_a_file_that_is_absent_reads_as_empty() -> None:
    assert procfs.read("/proc/self/no-such-file") == ""


def test_a_sysctl_can_be_read() -> None:
    assert procfs.read("/proc/sys/kernel/cap_last_cap").strip().isdecimal()


def test_what_may_not_be_read_reads_as_empty() -> None:
    assert procfs.read("/proc/self") == ""
