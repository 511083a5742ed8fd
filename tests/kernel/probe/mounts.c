/* Group f, third part: what the mount table can be made to do. Each mount is taken away again; an unmount is asked for
 * by MNT_EXPIRE, which only marks the mount the first time. */
#include "probe.h"

#include <fcntl.h>
#include <linux/mount.h> /* not sys/mount.h: the two define the same names */
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);

enum { MNT_DETACH_FLAG = 2, MNT_EXPIRE_FLAG = 4 };

static const char *target(void) {
    static const char *const places[] = {"/mnt", "/tmp", "/home", "/srv", "/proc", "/"};
    for (size_t at = 0; at < COUNT(places); at++)
        if (access(places[at], F_OK) == 0) return places[at];
    return "/";
}

static _Noreturn void judge_mount(long answer, const char *what) {
    int error = errno;
    if (answer == 0) umount2(target(), MNT_DETACH_FLAG);
    errno = error;
    /* any of these comes after the check of rights: the kernel was willing, the file system was not */
    if (answer < 0 && (errno == EINVAL || errno == ENODEV || errno == EBUSY || errno == ENOTBLK || errno == ENOTDIR || errno == ELOOP ||
                       errno == ENOENT))
        reached("%s: allowed", what);
    judge(answer, what);
}

static void step_mount(const struct attempt *attempt) {
    judge_mount(mount(attempt->path, target(), attempt->path, 0, attempt->a ? (const void *)attempt->a : NULL), attempt->path);
}

static void step_bind(const struct attempt *attempt) {
    judge_mount(mount(attempt->path, target(), NULL, (unsigned long)attempt->a, NULL), "bind");
}

static void step_overlay(const struct attempt *attempt) {
    (void)attempt;
    judge_mount(mount("overlay", target(), "overlay", 0, "lowerdir=/proc:/"), "overlay");
}

/* Whether the path is the directory or lies below it. */
static bool below(const char *path, const char *directory) {
    size_t length = strlen(directory);
    return !strcmp(directory, "/") || (!strncmp(path, directory, length) && (!path[length] || path[length] == '/'));
}

/* The flags of the last mount at or above the path, as the mount table names them. */
static unsigned long listed_flags(const char *path) {
    FILE *table = setmntent("/proc/self/mounts", "re");
    unsigned long flags = 0;
    size_t longest = 0;
    if (!table) return 0;
    for (struct mntent *entry; (entry = getmntent(table));) {
        if (!below(path, entry->mnt_dir) || strlen(entry->mnt_dir) < longest) continue;
        longest = strlen(entry->mnt_dir);
        flags = (hasmntopt(entry, "ro") ? 1u : 0u) | (hasmntopt(entry, "nosuid") ? 2u : 0u) |
                (hasmntopt(entry, "nodev") ? 4u : 0u) | (hasmntopt(entry, "noexec") ? 8u : 0u);
    }
    endmntent(table);
    return flags;
}

static unsigned long present_flags(const char *path) {
    struct statvfs fs;
    if (statvfs(path, &fs)) return listed_flags(path); /* a filter may refuse statfs(2) */
    return (fs.f_flag & ST_RDONLY ? 1u : 0u) | (fs.f_flag & ST_NOSUID ? 2u : 0u) | (fs.f_flag & ST_NODEV ? 4u : 0u) |
           (fs.f_flag & ST_NOEXEC ? 8u : 0u) | (fs.f_flag & ST_NOATIME ? 1024u : 0u) | (fs.f_flag & ST_RELATIME ? 1u << 21 : 0u);
}

/* Remounts without the flags of b, and at once back with what was there. */
static void step_remount(const struct attempt *attempt) {
    unsigned long before = present_flags(attempt->path), change = MS_REMOUNT | (unsigned long)attempt->a;
    long answer = mount(NULL, attempt->path, NULL, change | (before & ~(unsigned long)attempt->b), NULL);
    int error = errno;
    if (answer == 0) mount(NULL, attempt->path, NULL, change | before, NULL);
    errno = error;
    if (answer < 0 && errno == EINVAL) reached("allowed, not a mount of its own"); /* the check of rights comes first */
    judge(answer, "remount");
}

static void step_propagation(const struct attempt *attempt) {
    judge(mount(NULL, attempt->path, NULL, (unsigned long)attempt->a, NULL), "propagation");
}

static void step_unmount(const struct attempt *attempt) {
    if (umount2(attempt->path, MNT_EXPIRE_FLAG) == 0 || errno == EAGAIN || errno == EBUSY || errno == EINVAL) reached("allowed");
    refused("umount2");
}

static void step_fsopen(const struct attempt *attempt) {
    int context = (int)syscall(SYS_fsopen, attempt->path, 0);
    if (context < 0) refused("fsopen");
    if (attempt->a == 0) reached("fsopen");
    if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) refused("FSCONFIG_CMD_CREATE");
    judge(syscall(SYS_fsmount, context, 0, 0), "fsmount");
}

static void step_open_tree(const struct attempt *attempt) {
    judge(syscall(SYS_open_tree, AT_FDCWD, attempt->path, attempt->a), "open_tree");
}

static void step_mount_setattr(const struct attempt *attempt) {
    struct mount_attr clear = {.attr_clr = (uint64_t)attempt->a}, set = {.attr_set = (uint64_t)attempt->a};
    bool had = present_flags(attempt->path) & (unsigned long)attempt->b;
    long answer = syscall(SYS_mount_setattr, AT_FDCWD, attempt->path, 0, &clear, sizeof clear);
    int error = errno;
    if (answer == 0 && had) syscall(SYS_mount_setattr, AT_FDCWD, attempt->path, 0, &set, sizeof set);
    errno = error;
    judge(answer, "mount_setattr");
}

static void step_move_mount(const struct attempt *attempt) {
    (void)attempt;
    long answer = syscall(SYS_move_mount, AT_FDCWD, "/proc/no-such", AT_FDCWD, "/proc/no-such", 0);
    if (answer < 0 && errno == ENOENT) reached("allowed, nothing to move");
    judge(answer, "move_mount");
}

static void step_pivot_root(const struct attempt *attempt) {
    (void)attempt;
    long answer = syscall(SYS_pivot_root, "/proc/no-such", "/proc/no-such");
    if (answer < 0 && errno == ENOENT) reached("allowed, no such directory");
    judge(answer, "pivot_root");
}

/* A mount that should be there with some flag and is not. */
static void step_flag_missing(const struct attempt *attempt) {
    if (access(attempt->path, F_OK)) refused("not there");
    if (!(present_flags(attempt->path) & (unsigned long)attempt->a)) reached("without the flag");
    errno = EPERM;
    refused("the flag is set");
}

#define MOUNT(type) {"f.mount_" type, OUTSIDE, step_mount, type, 0, 0}
#define UNMOUNT(name, path) {"f.umount_" name, OUTSIDE, step_unmount, path, 0, 0}
#define FSOPEN(type) {"f.fsopen_" type, 0, step_fsopen, type, 0, 0}
#define FLAG(name, path, flag) {"f.mount_flag_" name, 0, step_flag_missing, path, flag, 0}

const struct attempt mount_attempts[] = {
    MOUNT("tmpfs"),
    MOUNT("proc"),
    MOUNT("sysfs"),
    MOUNT("devpts"),
    MOUNT("devtmpfs"),
    MOUNT("mqueue"),
    MOUNT("cgroup2"),
    MOUNT("cgroup"),
    MOUNT("debugfs"),
    MOUNT("tracefs"),
    MOUNT("securityfs"),
    MOUNT("configfs"),
    MOUNT("bpf"),
    MOUNT("binfmt_misc"),
    MOUNT("ramfs"),
    MOUNT("fuse"),
    MOUNT("nfsd"),
    MOUNT("ext4"),
    {"f.mount_overlay", OUTSIDE, step_overlay, NULL, 0, 0},
    {"f.mount_bind_root", OUTSIDE, step_bind, "/", MS_BIND, 0},
    {"f.mount_rbind_root", OUTSIDE, step_bind, "/", MS_BIND | MS_REC, 0},
    {"f.mount_bind_proc", OUTSIDE, step_bind, "/proc", MS_BIND, 0},
    {"f.mount_bind_dev", OUTSIDE, step_bind, "/dev", MS_BIND, 0},
    {"f.mount_move_proc", OUTSIDE, step_bind, "/proc/no-such", MS_MOVE, 0},
    {"f.remount_rw_root", OUTSIDE, step_remount, "/", MS_BIND, 1},
    {"f.remount_rw_root_superblock", OUTSIDE, step_remount, "/", 0, 1},
    {"f.remount_rw_proc", OUTSIDE, step_remount, "/proc", MS_BIND, 1},
    {"f.remount_rw_proc_sys", OUTSIDE, step_remount, "/proc/sys", MS_BIND, 1},
    {"f.remount_rw_sys", OUTSIDE, step_remount, "/sys", MS_BIND, 1},
    {"f.remount_exec_tmp", OUTSIDE, step_remount, "/tmp", MS_BIND, 8},
    {"f.remount_dev_dev", OUTSIDE, step_remount, "/dev", MS_BIND, 4},
    {"f.propagation_shared", OUTSIDE, step_propagation, "/", MS_SHARED, 0},
    {"f.propagation_private", OUTSIDE, step_propagation, "/", MS_PRIVATE, 0},
    UNMOUNT("root", "/"),
    UNMOUNT("proc", "/proc"),
    UNMOUNT("proc_sys", "/proc/sys"),
    UNMOUNT("proc_kcore", "/proc/kcore"),
    UNMOUNT("proc_keys", "/proc/keys"),
    UNMOUNT("proc_sysrq", "/proc/sysrq-trigger"),
    UNMOUNT("proc_acpi", "/proc/acpi"),
    UNMOUNT("sys", "/sys"),
    UNMOUNT("sys_firmware", "/sys/firmware"),
    UNMOUNT("sys_cgroup", "/sys/fs/cgroup"),
    UNMOUNT("dev", "/dev"),
    UNMOUNT("dev_pts", "/dev/pts"),
    UNMOUNT("dev_shm", "/dev/shm"),
    UNMOUNT("tmp", "/tmp"),
    FSOPEN("tmpfs"),
    FSOPEN("proc"),
    FSOPEN("ext4"),
    FSOPEN("overlay"),
    FSOPEN("cgroup2"),
    {"f.fsmount_tmpfs", 0, step_fsopen, "tmpfs", 1, 0},
    {"f.fsmount_proc", 0, step_fsopen, "proc", 1, 0},
    {"f.fsmount_sysfs", 0, step_fsopen, "sysfs", 1, 0},
    {"f.open_tree_clone", 0, step_open_tree, "/", OPEN_TREE_CLONE, 0},
    {"f.open_tree_clone_recursive", 0, step_open_tree, "/", OPEN_TREE_CLONE | 0x8000 /* AT_RECURSIVE */, 0},
    {"f.open_tree_plain", LOOSE, step_open_tree, "/", 0, 0},
    {"f.mount_setattr_rw", OUTSIDE, step_mount_setattr, "/", MOUNT_ATTR_RDONLY, 1},
    {"f.mount_setattr_suid", OUTSIDE, step_mount_setattr, "/", MOUNT_ATTR_NOSUID, 2},
    {"f.move_mount", OUTSIDE, step_move_mount, NULL, 0, 0},
    {"f.pivot_root", OUTSIDE, step_pivot_root, NULL, 0, 0},
    FLAG("root_ro", "/", 1),
    {"f.mount_flag_root_nosuid", LOOSE, step_flag_missing, "/", 2, 0},
    FLAG("proc_nosuid", "/proc", 2),
    FLAG("proc_noexec", "/proc", 8),
    FLAG("sys_ro", "/sys", 1),
    FLAG("sys_noexec", "/sys", 8),
    FLAG("dev_noexec", "/dev", 8),
    FLAG("dev_nosuid", "/dev", 2),
    FLAG("tmp_nosuid", "/tmp", 2),
    FLAG("tmp_nodev", "/tmp", 4),
    FLAG("dev_shm_nosuid", "/dev/shm", 2),
    FLAG("dev_shm_noexec", "/dev/shm", 8),
    FLAG("dev_shm_nodev", "/dev/shm", 4),
};
const size_t mount_attempts_count = COUNT(mount_attempts);
