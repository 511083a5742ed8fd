/* Group f, second part: /proc, /sys and the control groups: what is read, what opens for writing. */
#include "steps.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Addresses must be real: a list of zeros (kptr_restrict) is a refusal. */
static void step_kallsyms(const struct attempt *attempt) {
    char text[4096];
    if (slurp(attempt->path, text, sizeof text) <= 0) refused("read");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strtoull(line, NULL, 16)) reached("kernel addresses: %.60s", line);
    errno = EPERM;
    refused("addresses are zero");
}

/* Opens a file of every other process: a name under /proc/PID. Nothing is read from it. */
static void step_other_process(const struct attempt *attempt) {
    DIR *proc = opendir("/proc");
    char path[300];
    int seen = 0, error = ESRCH;
    if (!proc) refused("opendir /proc");
    for (struct dirent *entry; (entry = readdir(proc));) {
        int pid = atoi(entry->d_name);
        if (pid <= 0 || pid == getpid() || pid == probe_pid) continue;
        seen++;
        snprintf(path, sizeof path, "/proc/%d/%s", pid, attempt->path);
        int fd = open(path, (int)attempt->a | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0 || errno == ETXTBSY) reached("%s opens", path); /* busy now, but not refused */
        error = errno;
    }
    errno = error;
    refused("%d other processes", seen);
}

static void step_pid1_link(const struct attempt *attempt) {
    char target[300];
    if (getpid() == 1 || probe_pid == 1) unsure("the probe itself is process 1");
    ssize_t length = readlink(attempt->path, target, sizeof target - 1);
    if (length < 0) refused("readlink");
    target[length] = 0;
    reached("%s", target);
}

static void step_self_exe(const struct attempt *attempt) {
    (void)attempt;
    int fd = open("/proc/self/exe", O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno == ETXTBSY) {
        struct stat stat;
        if (lstat("/proc/self/exe", &stat) == 0 && access("/proc/self/exe", W_OK) == 0) reached("could be written once idle");
    }
    judge(fd, "open /proc/self/exe for writing");
}

static void step_text(const struct attempt *attempt) { /* writes the text that is there already: a right, not a change */
    char text[64];
    if (slurp(attempt->path, text, sizeof text) <= 0) refused("read");
    int fd = open(attempt->path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) refused("open");
    judge(write(fd, text, strlen(text)), "write of the same value");
}

static void step_oom_lower(const struct attempt *attempt) {
    char text[32];
    if (slurp(attempt->path, text, sizeof text) <= 0) refused("read");
    int fd = open(attempt->path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) refused("open");
    snprintf(text, sizeof text, "%ld", attempt->a);
    judge(write(fd, text, strlen(text)), "a lower score of its own");
}

static void walk_cgroups(const char *name, int flags, char *found, size_t size) {
    static const char *const roots[] = {"",         "/unified", "/memory", "/pids",    "/cpu",   "/cpuset",
                                        "/devices", "/freezer", "/blkio",  "/systemd", "/cpuacct", "/rdma"};
    char path[300];
    int error = ENOENT;
    for (size_t at = 0; at < COUNT(roots); at++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", roots[at], name);
        if (flags == 0 ? mkdir(path, 0700) == 0 : open(path, flags | O_CLOEXEC | O_NONBLOCK) >= 0) {
            if (flags == 0) rmdir(path);
            snprintf(found, size, "%s", path);
            return;
        }
        if (errno != ENOENT) error = errno;
    }
    errno = error;
}

static void step_cgroup(const struct attempt *attempt) {
    char found[300] = "";
    walk_cgroups(attempt->path, (int)attempt->a, found, sizeof found);
    if (found[0]) reached("%s", found);
    refused("in no hierarchy");
}

static void step_cgroup_path(const struct attempt *attempt) {
    char text[2048];
    (void)attempt;
    if (slurp("/proc/self/cgroup", text, sizeof text) < 0) refused("read");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        const char *path = strrchr(line, ':');
        if (path && strcmp(path, ":/") != 0) reached("a path of the host's: %s", line);
    }
    errno = ENOENT;
    refused("every path is /");
}

static void step_mountinfo(const struct attempt *attempt) {
    char line[2048];
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file) refused("open");
    while (fgets(line, sizeof line, file)) {
        char root[512], at[512];
        if (sscanf(line, "%*d %*d %*s %511s %511s", root, at) != 2) continue;
        if (strstr(line, attempt->path)) reached("%.200s", line);
    }
    errno = ENOENT;
    refused("not there");
}

static void step_proc_subset(const struct attempt *attempt) {
    struct statfs fs;
    if (statfs("/proc", &fs) || fs.f_type != 0x9fa0) refused("no procfs");
    judge(access(attempt->path, F_OK), attempt->path);
}

#define READ(name, path) {"f." name, 0, step_readable, path, 0, 0}
#define READ_LOOSE(name, path) {"f." name, LOOSE, step_readable, path, 0, 0}
#define OPEN_W(name, path) {"f." name, 0, step_writable, path, 0, 0}
#define SYSCTL(name, path) {"f.proc_sys_" name "_w", 0, step_writable, "/proc/sys/" path, 0, 0}
#define OTHER(name, path, flags) {"f.other_" name, OUTSIDE, step_other_process, path, flags, 0}
#define PID1(name) {"f.pid1_" name, OUTSIDE, step_pid1_link, "/proc/1/" name, 0, 0}
#define SELF(name) {"f.proc_self_" name "_w", LOOSE, step_writable, "/proc/self/" name, 0, 0}
#define CGROUP_W(name, file) {"f.cgroup_" name "_w", 0, step_cgroup, file, O_WRONLY, 0}

const struct attempt proc_attempts[] = {
    SYSCTL("core_pattern", "kernel/core_pattern"),
    SYSCTL("core_pipe_limit", "kernel/core_pipe_limit"),
    SYSCTL("modprobe", "kernel/modprobe"),
    SYSCTL("hotplug", "kernel/hotplug"),
    SYSCTL("usermodehelper", "kernel/usermodehelper/bset"),
    SYSCTL("poweroff_cmd", "kernel/poweroff_cmd"),
    SYSCTL("hostname", "kernel/hostname"),
    SYSCTL("domainname", "kernel/domainname"),
    SYSCTL("randomize_va_space", "kernel/randomize_va_space"),
    SYSCTL("kptr_restrict", "kernel/kptr_restrict"),
    SYSCTL("dmesg_restrict", "kernel/dmesg_restrict"),
    SYSCTL("perf_event_paranoid", "kernel/perf_event_paranoid"),
    SYSCTL("unprivileged_bpf", "kernel/unprivileged_bpf_disabled"),
    SYSCTL("sysrq", "kernel/sysrq"),
    SYSCTL("panic", "kernel/panic"),
    SYSCTL("panic_on_oops", "kernel/panic_on_oops"),
    SYSCTL("printk", "kernel/printk"),
    SYSCTL("pid_max", "kernel/pid_max"),
    SYSCTL("threads_max", "kernel/threads-max"),
    SYSCTL("ns_last_pid", "kernel/ns_last_pid"),
    SYSCTL("shmmax", "kernel/shmmax"),
    SYSCTL("msgmax", "kernel/msgmax"),
    SYSCTL("sem", "kernel/sem"),
    SYSCTL("keys", "kernel/keys/maxkeys"),
    SYSCTL("seccomp", "kernel/seccomp/actions_logged"),
    SYSCTL("io_uring", "kernel/io_uring_disabled"),
    SYSCTL("kexec_disabled", "kernel/kexec_load_disabled"),
    SYSCTL("yama", "kernel/yama/ptrace_scope"),
    SYSCTL("drop_caches", "vm/drop_caches"),
    SYSCTL("overcommit", "vm/overcommit_memory"),
    SYSCTL("swappiness", "vm/swappiness"),
    SYSCTL("mmap_min_addr", "vm/mmap_min_addr"),
    SYSCTL("panic_on_oom", "vm/panic_on_oom"),
    SYSCTL("max_map_count", "vm/max_map_count"),
    SYSCTL("file_max", "fs/file-max"),
    SYSCTL("suid_dumpable", "fs/suid_dumpable"),
    SYSCTL("protected_hardlinks", "fs/protected_hardlinks"),
    SYSCTL("mqueue", "fs/mqueue/msg_max"),
    SYSCTL("inotify", "fs/inotify/max_user_watches"),
    SYSCTL("binfmt_register", "fs/binfmt_misc/register"),
    SYSCTL("binfmt_status", "fs/binfmt_misc/status"),
    SYSCTL("max_user_namespaces", "user/max_user_namespaces"),
    SYSCTL("ip_forward", "net/ipv4/ip_forward"),
    SYSCTL("ip_unprivileged_port", "net/ipv4/ip_unprivileged_port_start"),
    SYSCTL("ping_group", "net/ipv4/ping_group_range"),
    SYSCTL("rp_filter", "net/ipv4/conf/all/rp_filter"),
    SYSCTL("ipv6_disable", "net/ipv6/conf/all/disable_ipv6"),
    SYSCTL("somaxconn", "net/core/somaxconn"),
    SYSCTL("bpf_jit", "net/core/bpf_jit_enable"),
    SYSCTL("unix_dgram", "net/unix/max_dgram_qlen"),

    OPEN_W("proc_sysrq_trigger_w", "/proc/sysrq-trigger"),
    OPEN_W("proc_mtrr_w", "/proc/mtrr"),
    OPEN_W("proc_irq_w", "/proc/irq/default_smp_affinity"),
    OPEN_W("proc_scsi_w", "/proc/scsi/scsi"),
    OPEN_W("proc_acpi_w", "/proc/acpi/wakeup"),
    OPEN_W("proc_timer_stats_w", "/proc/timer_stats"),
    OPEN_W("proc_bus_pci_w", "/proc/bus/pci/00/00.0"),
    OPEN_W("proc_fs_ext4_w", "/proc/fs/ext4/vda/options"),
    OPEN_W("proc_slabinfo_w", "/proc/slabinfo"),
    OPEN_W("proc_dynamic_debug_w", "/proc/dynamic_debug/control"),
    READ("proc_kcore_r", "/proc/kcore"),
    READ("proc_kmsg_r", "/proc/kmsg"),
    READ("proc_keys_r", "/proc/keys"),
    READ("proc_key_users_r", "/proc/key-users"),
    READ("proc_timer_list_r", "/proc/timer_list"),
    READ("proc_timer_stats_r", "/proc/timer_stats"),
    READ("proc_sched_debug_r", "/proc/sched_debug"),
    READ("proc_schedstat_r", "/proc/schedstat"),
    READ("proc_interrupts_r", "/proc/interrupts"),
    READ("proc_irq_r", "/proc/irq"),
    READ("proc_config_r", "/proc/config.gz"),
    READ("proc_scsi_r", "/proc/scsi"),
    READ("proc_acpi_r", "/proc/acpi"),
    READ("proc_asound_r", "/proc/asound"),
    READ("proc_latency_stats_r", "/proc/latency_stats"),
    READ("proc_bus_r", "/proc/bus"),
    READ("proc_driver_r", "/proc/driver"),
    READ("proc_fs_r", "/proc/fs"),
    READ("proc_kpagecount_r", "/proc/kpagecount"),
    READ("proc_kpageflags_r", "/proc/kpageflags"),
    READ("proc_kpagecgroup_r", "/proc/kpagecgroup"),
    READ("proc_iomem_r", "/proc/iomem"),
    READ("proc_ioports_r", "/proc/ioports"),
    READ("proc_dma_r", "/proc/dma"),
    READ("proc_modules_r", "/proc/modules"),
    READ("proc_slabinfo_r", "/proc/slabinfo"),
    READ("proc_vmallocinfo_r", "/proc/vmallocinfo"),
    READ("proc_zoneinfo_r", "/proc/zoneinfo"),
    READ("proc_pagetypeinfo_r", "/proc/pagetypeinfo"),
    READ("proc_buddyinfo_r", "/proc/buddyinfo"),
    READ("proc_softirqs_r", "/proc/softirqs"),
    READ("proc_diskstats_r", "/proc/diskstats"),
    READ("proc_partitions_r", "/proc/partitions"),
    READ("proc_swaps_r", "/proc/swaps"),
    READ("proc_locks_r", "/proc/locks"),
    READ("proc_consoles_r", "/proc/consoles"),
    READ("proc_crypto_r", "/proc/crypto"),
    READ("proc_mtd_r", "/proc/mtd"),
    READ("proc_mdstat_r", "/proc/mdstat"),
    READ("proc_tty_r", "/proc/tty/drivers"),
    READ("proc_sysvipc_r", "/proc/sysvipc"),
    READ("proc_cmdline_r", "/proc/cmdline"),
    READ("proc_bootconfig_r", "/proc/bootconfig"),
    READ("proc_device_tree_r", "/proc/device-tree"),
    READ("proc_vmcore_r", "/proc/vmcore"),
    READ_LOOSE("proc_version_r", "/proc/version"),
    READ_LOOSE("proc_cpuinfo_r", "/proc/cpuinfo"),
    READ_LOOSE("proc_meminfo_r", "/proc/meminfo"),
    READ_LOOSE("proc_loadavg_r", "/proc/loadavg"),
    READ_LOOSE("proc_uptime_r", "/proc/uptime"),
    READ_LOOSE("proc_stat_r", "/proc/stat"),
    READ_LOOSE("proc_pressure_r", "/proc/pressure/cpu"),
    READ_LOOSE("proc_boot_id_r", "/proc/sys/kernel/random/boot_id"),
    {"f.proc_kallsyms_r", 0, step_kallsyms, "/proc/kallsyms", 0, 0},
    {"f.proc_subset_pid", LOOSE, step_proc_subset, "/proc/sys", 0, 0},

    OTHER("environ", "environ", O_RDONLY),
    OTHER("mem_r", "mem", O_RDONLY),
    OTHER("mem_w", "mem", O_RDWR),
    OTHER("maps", "maps", O_RDONLY),
    OTHER("root", "root", O_PATH),
    OTHER("cwd", "cwd", O_PATH),
    OTHER("exe", "exe", O_PATH),
    OTHER("exe_w", "exe", O_WRONLY),
    OTHER("fd", "fd/0", O_PATH),
    OTHER("auxv", "auxv", O_RDONLY),
    OTHER("stack", "stack", O_RDONLY),
    OTHER("syscall", "syscall", O_RDONLY),
    OTHER("pagemap", "pagemap", O_RDONLY),
    OTHER("clear_refs", "clear_refs", O_WRONLY),
    OTHER("oom_score_adj_w", "oom_score_adj", O_WRONLY),
    OTHER("ns", "ns/mnt", O_RDONLY),
    PID1("root"),
    PID1("cwd"),
    PID1("exe"),
    {"f.self_exe_w", 0, step_self_exe, NULL, 0, 0},
    {"f.self_oom_score_adj_lower", 0, step_oom_lower, "/proc/self/oom_score_adj", -1000, 0},
    {"f.self_oom_score_adj_same", LOOSE, step_text, "/proc/self/oom_score_adj", 0, 0},
    SELF("uid_map"),
    SELF("gid_map"),
    SELF("setgroups"),
    SELF("mem"),
    SELF("clear_refs"),
    SELF("coredump_filter"),
    SELF("sched"),
    SELF("autogroup"),
    SELF("timens_offsets"),
    SELF("attr/current"),
    SELF("attr/exec"),
    SELF("attr/keycreate"),
    {"f.proc_self_stack_r", 0, step_readable, "/proc/self/stack", 0, 0},
    {"f.proc_self_pagemap_r", LOOSE, step_readable, "/proc/self/pagemap", 0, 0},
    {"f.proc_self_map_files_r", LOOSE, step_readable, "/proc/self/map_files", 0, 0},

    READ("sys_firmware_r", "/sys/firmware"),
    READ("sys_efi_r", "/sys/firmware/efi"),
    READ("sys_acpi_tables_r", "/sys/firmware/acpi"),
    READ("sys_dmi_r", "/sys/class/dmi/id/product_uuid"),
    READ("sys_powercap_r", "/sys/class/powercap"),
    READ("sys_powercap_virtual_r", "/sys/devices/virtual/powercap"),
    READ("sys_thermal_r", "/sys/devices/system/cpu/cpu0/thermal_throttle"),
    READ("sys_debug_r", "/sys/kernel/debug"),
    READ("sys_tracing_r", "/sys/kernel/tracing"),
    READ("sys_security_r", "/sys/kernel/security"),
    READ("sys_config_r", "/sys/kernel/config"),
    READ("sys_slab_r", "/sys/kernel/slab"),
    READ("sys_btf_r", "/sys/kernel/btf/vmlinux"),
    READ("sys_vmcoreinfo_r", "/sys/kernel/vmcoreinfo"),
    READ("sys_notes_r", "/sys/kernel/notes"),
    READ("sys_iommu_groups_r", "/sys/kernel/iommu_groups"),
    READ("sys_boot_params_r", "/sys/kernel/boot_params"),
    READ("sys_module_r", "/sys/module"),
    READ("sys_bus_r", "/sys/bus"),
    READ("sys_block_r", "/sys/block"),
    READ("sys_class_net_r", "/sys/class/net"),
    READ("sys_class_r", "/sys/class"),
    READ("sys_dev_r", "/sys/dev"),
    READ("sys_power_r", "/sys/power"),
    READ("sys_hypervisor_r", "/sys/hypervisor"),
    READ("sys_bpf_r", "/sys/fs/bpf"),
    READ("sys_pstore_r", "/sys/fs/pstore"),
    READ("sys_selinux_r", "/sys/fs/selinux"),
    READ("sys_fuse_r", "/sys/fs/fuse/connections"),
    READ("sys_ext4_r", "/sys/fs/ext4"),
    READ_LOOSE("sys_cgroup_r", "/sys/fs/cgroup"),
    READ_LOOSE("sys_cpu_r", "/sys/devices/system/cpu/online"),
    OPEN_W("sys_uevent_helper_w", "/sys/kernel/uevent_helper"),
    OPEN_W("sys_profiling_w", "/sys/kernel/profiling"),
    OPEN_W("sys_mm_ksm_w", "/sys/kernel/mm/ksm/run"),
    OPEN_W("sys_thp_w", "/sys/kernel/mm/transparent_hugepage/enabled"),
    OPEN_W("sys_power_state_w", "/sys/power/state"),
    OPEN_W("sys_power_disk_w", "/sys/power/disk"),
    OPEN_W("sys_wake_lock_w", "/sys/power/wake_lock"),
    OPEN_W("sys_cpu_online_w", "/sys/devices/system/cpu/cpu1/online"),
    OPEN_W("sys_cpu_uevent_w", "/sys/devices/system/cpu/cpu0/uevent"),
    OPEN_W("sys_lo_uevent_w", "/sys/class/net/lo/uevent"),
    OPEN_W("sys_lo_mtu_w", "/sys/class/net/lo/mtu"),
    OPEN_W("sys_mem_uevent_w", "/sys/class/mem/null/uevent"),
    OPEN_W("sys_rcu_w", "/sys/kernel/rcu_expedited"),
    OPEN_W("sys_module_param_w", "/sys/module/printk/parameters/time"),
    OPEN_W("sys_overlay_param_w", "/sys/module/overlay/parameters/redirect_dir"),
    OPEN_W("sys_bind_w", "/sys/bus/pci/drivers_probe"),
    OPEN_W("sys_pci_rescan_w", "/sys/bus/pci/rescan"),
    OPEN_W("sys_block_w", "/sys/block/vda/queue/scheduler"),
    OPEN_W("sys_tracing_w", "/sys/kernel/tracing/tracing_on"),
    OPEN_W("sys_apparmor_load_w", "/sys/kernel/security/apparmor/.load"),

    {"f.cgroup_mkdir", 0, step_cgroup, "probe-made", 0, 0},
    CGROUP_W("procs", "cgroup.procs"),
    CGROUP_W("tasks", "tasks"),
    CGROUP_W("threads", "cgroup.threads"),
    CGROUP_W("subtree", "cgroup.subtree_control"),
    CGROUP_W("kill", "cgroup.kill"),
    CGROUP_W("freeze", "cgroup.freeze"),
    CGROUP_W("release_agent", "release_agent"),
    CGROUP_W("notify_on_release", "notify_on_release"),
    CGROUP_W("clone_children", "cgroup.clone_children"),
    CGROUP_W("event_control", "cgroup.event_control"),
    CGROUP_W("memory_limit", "memory.limit_in_bytes"),
    CGROUP_W("memory_max", "memory.max"),
    CGROUP_W("pids_max", "pids.max"),
    CGROUP_W("cpu_max", "cpu.max"),
    CGROUP_W("cpu_quota", "cpu.cfs_quota_us"),
    CGROUP_W("cpuset", "cpuset.cpus"),
    CGROUP_W("devices_allow", "devices.allow"),
    CGROUP_W("freezer_state", "freezer.state"),
    {"f.cgroup_path_host", 0, step_cgroup_path, NULL, 0, 0},
    {"f.mountinfo_host_overlay", LOOSE, step_mountinfo, "upperdir=", 0, 0},
    {"f.mountinfo_block_root", LOOSE, step_mountinfo, " /dev/", 0, 0},
};
const size_t proc_attempts_count = COUNT(proc_attempts);
