/* Group i: who the process is, what it may become, and what holds it there. */
#include "probe.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CAPABILITIES = 41 };

/* A set of capabilities that is not empty is reached. */
static void step_capability_set(const struct attempt *attempt) {
    char text[64];
    if (!status_field(attempt->path, text, sizeof text)) refused("no /proc/self/status");
    if (strtoull(text, NULL, 16)) reached("%s %s", attempt->path, text);
    errno = EPERM;
    refused("%s is empty", attempt->path);
}

/* The same from the kernel itself, for where /proc is not mounted. */
static void step_effective(const struct attempt *attempt) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};
    (void)attempt;
    if (syscall(SYS_capget, &header, data)) refused("capget");
    if (data[0].effective | data[1].effective | data[0].permitted | data[1].permitted)
        reached("effective %08x%08x permitted %08x%08x", data[1].effective, data[0].effective, data[1].permitted, data[0].permitted);
    errno = EPERM;
    refused("none");
}

static void step_bounding(const struct attempt *attempt) {
    int held = prctl(PR_CAPBSET_READ, attempt->a, 0, 0, 0);
    if (held > 0) reached("in the bounding set");
    if (held == 0) errno = EPERM;
    refused("not in the bounding set");
}

static void step_raise(const struct attempt *attempt) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data)) refused("capget");
    uint32_t bit = 1u << (attempt->a % 32);
    data[attempt->a / 32].effective |= bit;
    data[attempt->a / 32].permitted |= bit;
    if (attempt->b) data[attempt->a / 32].inheritable |= bit;
    judge(syscall(SYS_capset, &header, data), "capset");
}

static void step_ambient(const struct attempt *attempt) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data) == 0) {
        data[attempt->a / 32].inheritable |= 1u << (attempt->a % 32);
        syscall(SYS_capset, &header, data);
    }
    judge(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, attempt->a, 0, 0), "PR_CAP_AMBIENT_RAISE");
}

static void step_securebits(const struct attempt *attempt) {
    int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
    if (bits < 0) refused("PR_GET_SECUREBITS");
    if ((bits & attempt->a) != attempt->a) reached("securebits 0x%x lack 0x%lx", bits, attempt->a & ~(long)bits);
    errno = EPERM;
    refused("securebits 0x%x", bits);
}

static void step_set_securebits(const struct attempt *attempt) {
    judge(prctl(PR_SET_SECUREBITS, attempt->a, 0, 0, 0), "PR_SET_SECUREBITS");
}

static void step_no_new_privs(const struct attempt *attempt) {
    (void)attempt;
    int set = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    if (set < 0) refused("PR_GET_NO_NEW_PRIVS");
    if (set == 0) reached("an exec may gain rights");
    errno = EPERM;
    refused("no_new_privs is set");
}

static void step_seccomp_mode(const struct attempt *attempt) {
    char text[32];
    if (!status_field(attempt->path, text, sizeof text)) {
        int mode = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
        if (mode == 0) reached("no filter");
        refused("a filter, or no answer");
    }
    if (atoi(text) == 0) reached("%s: %s", attempt->path, text);
    errno = EPERM;
    refused("%s: %s", attempt->path, text);
}

/* Outside the container the process is root: its map sends some id here to 0 there. */
static void step_map(const struct attempt *attempt) {
    char text[2048];
    unsigned long inside, outside, count;
    if (slurp(attempt->path, text, sizeof text) <= 0) refused("read");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (sscanf(line, "%lu %lu %lu", &inside, &outside, &count) != 3) continue;
        if (outside == 0) reached("id %lu is the host's root: %s", inside, line);
    }
    errno = EPERM;
    refused("no id is the host's root");
}

static void step_map_wide(const struct attempt *attempt) {
    char text[2048];
    unsigned long count, sum = 0;
    if (slurp(attempt->path, text, sizeof text) <= 0) refused("read");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (sscanf(line, "%*u %*u %lu", &count) == 1) sum += count;
    if (sum > (unsigned long)attempt->a) reached("%lu ids are mapped", sum);
    errno = EPERM;
    refused("%lu ids are mapped", sum);
}

static void step_is_root(const struct attempt *attempt) {
    (void)attempt;
    if (geteuid() == 0 || getuid() == 0) reached("uid %u euid %u", getuid(), geteuid());
    errno = EPERM;
    refused("uid %u", getuid());
}

static void step_groups(const struct attempt *attempt) {
    gid_t groups[256];
    int count = getgroups(256, groups), other = 0;
    char text[256] = "";
    (void)attempt;
    if (count < 0) refused("getgroups");
    for (int at = 0; at < count; at++) {
        if (groups[at] == getgid()) continue;
        other++;
        snprintf(text + strlen(text), sizeof text - strlen(text), " %u", groups[at]);
    }
    if (other) reached("supplementary:%.200s", text);
    errno = EPERM;
    refused("no supplementary group");
}

static void step_setuid(const struct attempt *attempt) {
    uid_t id = (uid_t)attempt->a;
    if (getuid() == id && geteuid() == id) unsure("already %u", id);
    judge(setresuid(id, id, id), "setresuid");
}

static void step_setgid(const struct attempt *attempt) {
    gid_t id = (gid_t)attempt->a;
    if (getgid() == id && getegid() == id) unsure("already %u", id);
    judge(setresgid(id, id, id), "setresgid");
}

static void step_setgroups(const struct attempt *attempt) {
    gid_t groups[] = {(gid_t)attempt->a};
    judge(setgroups(attempt->b ? 0 : 1, groups), "setgroups");
}

static void step_fsuid(const struct attempt *attempt) {
    setfsuid((uid_t)attempt->a);
    if (setfsuid((uid_t)-1) == (int)attempt->a && geteuid() != (uid_t)attempt->a) reached("file accesses as %ld", attempt->a);
    errno = EPERM;
    refused("setfsuid");
}

static void step_user_namespace(const struct attempt *attempt) {
    char map[64];
    unsigned id = getuid();
    (void)attempt;
    if (unshare(CLONE_NEWUSER)) refused("unshare");
    snprintf(map, sizeof map, "0 %u 1", id);
    FILE *file = fopen("/proc/self/uid_map", "we");
    if (!file || fputs(map, file) < 0 || fclose(file)) reached("a user namespace, without a map");
    reached("root of a new user namespace");
}

static void step_dumpable(const struct attempt *attempt) {
    (void)attempt;
    int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    if (dumpable < 0) refused("PR_GET_DUMPABLE");
    if (dumpable) reached("dumpable %d", dumpable);
    errno = EPERM;
    refused("not dumpable");
}

static void step_parent_death(const struct attempt *attempt) {
    char text[16];
    (void)attempt;
    if (!status_field("TracerPid", text, sizeof text)) refused("no /proc/self/status");
    if (atoi(text)) reached("traced by %s", text);
    errno = ESRCH;
    refused("no tracer");
}

static void step_setpriority(const struct attempt *attempt) {
    judge(setpriority(PRIO_PROCESS, 0, (int)attempt->a), "setpriority");
}

#define SET(name) {"i.set_" name, 0, step_capability_set, name, 0, 0}
#define BOUND(name, number) {"i.bounding_" name, 0, step_bounding, NULL, number, 0}
#define RAISE(name, number) {"i.raise_" name, 0, step_raise, NULL, number, 0}

const struct attempt identity_attempts[] = {
    SET("CapInh"),
    SET("CapPrm"),
    SET("CapEff"),
    SET("CapBnd"),
    SET("CapAmb"),
    {"i.capget", 0, step_effective, NULL, 0, 0},
    BOUND("chown", CAP_CHOWN),
    BOUND("dac_override", CAP_DAC_OVERRIDE),
    BOUND("dac_read_search", CAP_DAC_READ_SEARCH),
    BOUND("fowner", CAP_FOWNER),
    BOUND("setuid", CAP_SETUID),
    BOUND("setpcap", CAP_SETPCAP),
    BOUND("net_bind_service", CAP_NET_BIND_SERVICE),
    BOUND("net_admin", CAP_NET_ADMIN),
    BOUND("net_raw", CAP_NET_RAW),
    BOUND("sys_module", CAP_SYS_MODULE),
    BOUND("sys_rawio", CAP_SYS_RAWIO),
    BOUND("sys_chroot", CAP_SYS_CHROOT),
    BOUND("sys_ptrace", CAP_SYS_PTRACE),
    BOUND("sys_admin", CAP_SYS_ADMIN),
    BOUND("sys_boot", CAP_SYS_BOOT),
    BOUND("sys_time", CAP_SYS_TIME),
    BOUND("mknod", CAP_MKNOD),
    BOUND("setfcap", CAP_SETFCAP),
    BOUND("audit_write", CAP_AUDIT_WRITE),
    BOUND("bpf", CAP_BPF),
    BOUND("perfmon", CAP_PERFMON),
    BOUND("checkpoint_restore", CAP_CHECKPOINT_RESTORE),
    RAISE("sys_admin", CAP_SYS_ADMIN),
    RAISE("net_admin", CAP_NET_ADMIN),
    RAISE("net_raw", CAP_NET_RAW),
    RAISE("setuid", CAP_SETUID),
    RAISE("dac_override", CAP_DAC_OVERRIDE),
    RAISE("sys_ptrace", CAP_SYS_PTRACE),
    RAISE("mknod", CAP_MKNOD),
    RAISE("bpf", CAP_BPF),
    {"i.raise_inheritable", 0, step_raise, NULL, CAP_CHOWN, 1},
    {"i.ambient_raise", 0, step_ambient, NULL, CAP_NET_RAW, 0},
    {"i.securebits_noroot", 0, step_securebits, NULL, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0},
    {"i.securebits_no_setuid_fixup", 0, step_securebits, NULL, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED, 0},
    {"i.securebits_keep_caps_locked", 0, step_securebits, NULL, SECBIT_KEEP_CAPS_LOCKED, 0},
    {"i.securebits_no_ambient", 0, step_securebits, NULL, SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED, 0},
    {"i.set_securebits", 0, step_set_securebits, NULL, 0, 0},
    {"i.no_new_privs", 0, step_no_new_privs, NULL, 0, 0},
    {"i.seccomp_mode", 0, step_seccomp_mode, "Seccomp", 0, 0},
    {"i.seccomp_filters", 0, step_seccomp_mode, "Seccomp_filters", 0, 0},
    {"i.uid_map_root", 0, step_map, "/proc/self/uid_map", 0, 0},
    {"i.gid_map_root", 0, step_map, "/proc/self/gid_map", 0, 0},
    {"i.uid_map_wide", 0, step_map_wide, "/proc/self/uid_map", 65536, 0},
    {"i.uid_zero_inside", LOOSE, step_is_root, NULL, 0, 0},
    {"i.groups", 0, step_groups, NULL, 0, 0},
    {"i.setuid_root", 0, step_setuid, NULL, 0, 0},
    {"i.setuid_other", 0, step_setuid, NULL, 1234, 0},
    {"i.setgid_root", 0, step_setgid, NULL, 0, 0},
    {"i.setgid_other", 0, step_setgid, NULL, 1234, 0},
    {"i.setgroups_other", 0, step_setgroups, NULL, 1234, 0},
    {"i.setgroups_root", 0, step_setgroups, NULL, 0, 0},
    {"i.setgroups_none", 0, step_setgroups, NULL, 0, 1},
    {"i.setfsuid", 0, step_fsuid, NULL, 1234, 0},
    {"i.user_namespace", 0, step_user_namespace, NULL, 0, 0},
    {"i.dumpable", LOOSE, step_dumpable, NULL, 0, 0},
    {"i.traced", LOOSE, step_parent_death, NULL, 0, 0},
    {"i.nice_minus_20", 0, step_setpriority, NULL, -20, 0},
};
const size_t identity_attempts_count = COUNT(identity_attempts);
