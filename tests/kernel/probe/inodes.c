/* Group f: what can be done to a file of one's own, and by descriptors, handles and links to those of others. */
#include "probe.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PLACES_MAX = 128, FD_SCAN = 1024 };

/* The first directory in which a file can be made; refused() when there is none. */
static const char *some_directory(void) {
    const char *places[PLACES_MAX];
    char path[512];
    int count = each_directory(places, PLACES_MAX);
    for (int at = 1; at <= count; at++) { /* the root last */
        const char *place = places[at % count];
        snprintf(path, sizeof path, "%s/.probe-some-%d", place, getpid());
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
        if (fd < 0) continue;
        close(fd);
        unlink(path);
        return place;
    }
    refused("no directory can be written");
}

static const char *scratch(char *path, size_t size) {
    snprintf(path, size, "%s/.probe-%d", some_directory(), getpid());
    return path;
}

static void step_chmod_suid(const struct attempt *attempt) {
    char path[512];
    int fd = open(scratch(path, sizeof path), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (fd < 0) refused("create");
    long answer = fchmod(fd, (mode_t)attempt->a | 0755);
    struct stat stat;
    bool kept = fstat(fd, &stat) == 0 && stat.st_mode & (mode_t)attempt->a;
    struct statfs fs;
    bool nosuid = fstatfs(fd, &fs) == 0 && fs.f_flags & ST_NOSUID;
    unlink(path);
    if (answer == 0 && kept && nosuid) {
        errno = EPERM;
        refused("the bit stays, on a nosuid mount");
    }
    if (answer == 0 && kept) reached("chmod %lo kept on %s", attempt->a, path);
    refused("chmod");
}

static void step_chown(const struct attempt *attempt) {
    char path[512];
    int fd = open(scratch(path, sizeof path), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (fd < 0) refused("create");
    long answer = fchown(fd, (uid_t)attempt->a, (gid_t)attempt->b);
    int error = errno;
    unlink(path);
    errno = error;
    judge(answer, "fchown");
}

static void step_file_capability(const struct attempt *attempt) {
    (void)attempt;
    struct vfs_cap_data data = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, .data = {{.permitted = 1u << 13}}};
    char path[512];
    int fd = open(scratch(path, sizeof path), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (fd < 0) refused("create");
    long answer = fsetxattr(fd, "security.capability", &data, sizeof data, 0);
    int error = errno;
    unlink(path);
    errno = error;
    judge(answer, "setxattr security.capability");
}

static void step_xattr(const struct attempt *attempt) {
    char path[512];
    int fd = open(scratch(path, sizeof path), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (fd < 0) refused("create");
    long answer = fsetxattr(fd, attempt->path, "1", 1, 0);
    int error = errno;
    unlink(path);
    errno = error;
    judge(answer, attempt->path);
}

static void step_immutable(const struct attempt *attempt) {
    char path[512];
    int fd = open(scratch(path, sizeof path), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (fd < 0) refused("create");
    int flags = (int)attempt->a, none = 0;
    long answer = ioctl(fd, FS_IOC_SETFLAGS, &flags);
    int error = errno;
    ioctl(fd, FS_IOC_SETFLAGS, &none);
    unlink(path);
    errno = error;
    judge(answer, "FS_IOC_SETFLAGS");
}

static int run_file(int fd) {
    pid_t child = fork();
    if (child < 0) return -1;
    if (child == 0) {
        char *const words[] = {(char *)"probe", (char *)"--list", (char *)"--only", (char *)"", NULL};
        char *const none[] = {NULL};
        close(1);
        fexecve(fd, words, none);
        _exit(errno);
    }
    int status = 0;
    waitpid(child, &status, 0);
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EFAULT;
    return errno == 0 ? 0 : -1;
}

static void copy_self(int to) {
    char block[65536];
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (from < 0) refused("open /proc/self/exe");
    for (ssize_t got; (got = read(from, block, sizeof block)) > 0;)
        if (write(to, block, (size_t)got) != got) refused("write");
    close(from);
}

static void step_exec_new_file(const struct attempt *attempt) {
    char path[512];
    snprintf(path, sizeof path, "%s/.probe-%d", attempt->path ? attempt->path : some_directory(), getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (fd < 0) refused("create");
    copy_self(fd);
    close(fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    int answer = run_file(fd);
    int error = errno;
    unlink(path);
    errno = error;
    judge(answer, "exec of a file just written");
}

static void step_exec_memfd(const struct attempt *attempt) {
    (void)attempt;
    int fd = memfd_create("probe", MFD_CLOEXEC);
    if (fd < 0) refused("memfd_create");
    copy_self(fd);
    judge(run_file(fd), "exec of a memfd");
}

static void step_map_exec(const struct attempt *attempt) {
    char path[512];
    (void)attempt;
    int fd = open(scratch(path, sizeof path), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (fd < 0) refused("create");
    unlink(path);
    if (ftruncate(fd, 4096)) refused("ftruncate");
    void *map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    judge(map == MAP_FAILED ? -1 : 0, "mmap PROT_EXEC of a file just written");
}

static bool is_device_or_pipe(const struct stat *stat) { return !S_ISREG(stat->st_mode) && !S_ISDIR(stat->st_mode); }

static const char *link_of(int fd, char *target, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, target, size - 1);
    target[length < 0 ? 0 : length] = 0;
    return target;
}

static void step_fd_leak(const struct attempt *attempt) {
    char found[700] = "", target[300];
    struct stat stat;
    int leaks = 0;
    for (int fd = 3; fd < FD_SCAN; fd++) {
        if (fstat(fd, &stat)) continue;
        if (attempt->a && !S_ISDIR(stat.st_mode)) continue;
        leaks++;
        size_t used = strlen(found);
        snprintf(found + used, sizeof found - used, " %d=%s", fd, link_of(fd, target, sizeof target));
    }
    if (leaks) reached("%d inherited:%s", leaks, found);
    errno = EBADF;
    refused("no descriptor above 2");
}

static void step_standard_fd(const struct attempt *attempt) {
    struct stat stat;
    char target[300];
    int fd = (int)attempt->a;
    if (fstat(fd, &stat)) refused("closed");
    link_of(fd, target, sizeof target);
    if (is_device_or_pipe(&stat)) unsure("%s", target);
    if (access(target, F_OK)) reached("a file outside: %s", target);
    refused("a file inside: %s", target);
}

/* A descriptor opened for reading is opened again for writing through /proc. */
static void step_reopen(const struct attempt *attempt) {
    char path[64], target[300];
    struct stat stat;
    snprintf(path, sizeof path, "/proc/self/fd/%ld", attempt->a);
    if (fstat((int)attempt->a, &stat)) refused("closed");
    if (S_ISFIFO(stat.st_mode)) unsure("a pipe");
    int fd = open(path, (int)attempt->b | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    link_of((int)attempt->a, target, sizeof target);
    if (!strcmp(target, "/dev/null")) unsure("/dev/null");
    judge(fd, target);
}

static void step_fd_chdir(const struct attempt *attempt) {
    char path[64], here[4096];
    (void)attempt;
    for (int fd = 0; fd < 64; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d/../../../../etc", fd);
        if (chdir(path)) continue;
        if (!getcwd(here, sizeof here) || here[0] != '/') reached("%s leads out of the root", path);
    }
    errno = ENOTDIR;
    refused("no descriptor leads out");
}

static void step_dotdot(const struct attempt *attempt) {
    (void)attempt;
    struct stat root, above;
    if (stat("/", &root) || stat("/../../../../..", &above)) refused("stat");
    if (root.st_ino != above.st_ino || root.st_dev != above.st_dev) reached("/.. is not /");
    errno = EXDEV;
    refused("/.. is /");
}

static void step_cwd(const struct attempt *attempt) {
    char here[4096];
    (void)attempt;
    if (!getcwd(here, sizeof here)) reached("no working directory inside");
    if (here[0] != '/') reached("started outside the root: %s", here);
    errno = ENOENT;
    refused("%s", here);
}

static void step_hard_link(const struct attempt *attempt) {
    const char *places[PLACES_MAX];
    char path[512];
    int count = each_directory(places, PLACES_MAX);
    int error = ENOENT;
    for (int at = 0; at < count; at++) {
        snprintf(path, sizeof path, "%s/.probe-link-%d", places[at], getpid());
        if (linkat(AT_FDCWD, attempt->path, AT_FDCWD, path, 0) == 0) {
            unlink(path);
            reached("a hard link in %s", places[at]);
        }
        if (errno != EXDEV && errno != ENOENT) error = errno;
    }
    errno = error;
    refused("link");
}

static void step_inotify(const struct attempt *attempt) {
    int fd = inotify_init1(IN_CLOEXEC);
    if (fd < 0) refused("inotify_init1");
    judge(inotify_add_watch(fd, attempt->path, IN_OPEN), "inotify_add_watch");
}

struct handle {
    struct file_handle head;
    uint32_t words[32];
};

/* A file handle of some directory, and, with a set, the directory opened by it past every path check. */
static void step_file_handle(const struct attempt *attempt) {
    const char *places[PLACES_MAX];
    int count = each_directory(places, PLACES_MAX), mount_id = 0, error = ENOENT;
    for (int at = 0; at < count; at++) {
        struct handle handle = {.head = {.handle_bytes = sizeof handle.words}};
        if (name_to_handle_at(AT_FDCWD, places[at], &handle.head, &mount_id, 0)) {
            error = errno == ENOENT ? error : errno;
            continue;
        }
        if (attempt->a == 0) reached("a handle of %s, %u bytes", places[at], handle.head.handle_bytes);
        int mount = open(places[at], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (open_by_handle_at(mount, &handle.head, O_RDONLY) >= 0) reached("%s by its handle", places[at]);
        error = errno;
    }
    errno = error;
    refused("handles of %d directories", count);
}

/* The root inode of the host's file system by its well-known number, as "shocker" did. */
static void step_root_handle(const struct attempt *attempt) {
    struct handle handle = {.head = {.handle_bytes = 8, .handle_type = 1}, .words = {(uint32_t)attempt->a}};
    int mount = open(attempt->path, O_RDONLY | O_CLOEXEC);
    if (mount < 0) refused("open");
    int fd = open_by_handle_at(mount, &handle.head, O_RDONLY);
    if (fd < 0 && errno == ESTALE) reached("allowed, no such inode here");
    judge(fd, "open_by_handle_at");
}

static void step_suid_files(const struct attempt *attempt) {
    static const char *const programs[] = {"/bin/su",      "/usr/bin/su",     "/bin/mount",       "/usr/bin/passwd", "/usr/bin/sudo",
                                           "/usr/bin/chsh", "/usr/bin/newgrp", "/usr/bin/gpasswd", "/bin/ping",       "/usr/bin/pkexec"};
    char flag[32] = "";
    (void)attempt;
    for (size_t at = 0; at < COUNT(programs); at++) {
        struct stat stat;
        struct statfs fs;
        if (lstat(programs[at], &stat) || !(stat.st_mode & S_ISUID)) continue;
        if (statfs(programs[at], &fs) == 0 && fs.f_flags & ST_NOSUID) continue;
        if (status_field("NoNewPrivs", flag, sizeof flag) && flag[0] == '1') continue;
        reached("%s would gain its owner's rights", programs[at]);
    }
    errno = EPERM;
    refused("no setuid program takes effect");
}

const struct attempt inode_attempts[] = {
    {"f.chmod_suid", 0, step_chmod_suid, NULL, S_ISUID, 0},
    {"f.chmod_sgid", 0, step_chmod_suid, NULL, S_ISGID, 0},
    {"f.chown_other", 0, step_chown, NULL, 12345, 12345},
    {"f.chown_root", LOOSE, step_chown, NULL, 0, 0},
    {"f.setxattr_capability", 0, step_file_capability, NULL, 0, 0},
    {"f.setxattr_trusted", 0, step_xattr, "trusted.probe", 0, 0},
    {"f.setxattr_security", 0, step_xattr, "security.probe", 0, 0},
    {"f.setxattr_overlay", 0, step_xattr, "trusted.overlay.opaque", 0, 0},
    {"f.attr_immutable", 0, step_immutable, NULL, FS_IMMUTABLE_FL, 0},
    {"f.attr_append", 0, step_immutable, NULL, FS_APPEND_FL, 0},
    {"f.suid_programs", 0, step_suid_files, NULL, 0, 0},
    {"f.exec_new_file", 0, step_exec_new_file, NULL, 0, 0},
    {"f.exec_tmp", LOOSE, step_exec_new_file, "/tmp", 0, 0},
    {"f.exec_dev_shm", 0, step_exec_new_file, "/dev/shm", 0, 0},
    {"f.exec_memfd", LOOSE, step_exec_memfd, NULL, 0, 0},
    {"f.map_exec_new_file", LOOSE, step_map_exec, NULL, 0, 0},
    {"f.fd_leak", 0, step_fd_leak, NULL, 0, 0},
    {"f.fd_leak_directory", 0, step_fd_leak, NULL, 1, 0},
    {"f.fd_stdin_outside", LOOSE, step_standard_fd, NULL, 0, 0},
    {"f.fd_stdout_outside", LOOSE, step_standard_fd, NULL, 1, 0},
    {"f.fd_stderr_outside", LOOSE, step_standard_fd, NULL, 2, 0},
    {"f.fd_reopen_stdin_w", 0, step_reopen, NULL, 0, O_WRONLY},
    {"f.fd_reopen_stdout_r", LOOSE, step_reopen, NULL, 1, O_RDONLY},
    {"f.fd_chdir_out", 0, step_fd_chdir, NULL, 0, 0},
    {"f.dotdot_root", 0, step_dotdot, NULL, 0, 0},
    {"f.cwd_outside", 0, step_cwd, NULL, 0, 0},
    {"f.hard_link_passwd", 0, step_hard_link, "/etc/passwd", 0, 0},
    {"f.hard_link_shadow", 0, step_hard_link, "/etc/shadow", 0, 0},
    {"f.inotify_root", LOOSE, step_inotify, "/", 0, 0},
    {"f.inotify_proc", LOOSE, step_inotify, "/proc", 0, 0},
    {"f.handle_of_root", LOOSE, step_file_handle, "/", 0, 0},
    {"f.handle_open", 0, step_file_handle, "/", 1, 0},
    {"f.handle_ext4_root", 0, step_root_handle, "/", 2, 0},
    {"f.handle_xfs_root", 0, step_root_handle, "/", 128, 0},
    {"f.handle_btrfs_root", 0, step_root_handle, "/", 256, 0},
    {"f.handle_hosts_root", 0, step_root_handle, "/etc/hosts", 2, 0},
};
const size_t inode_attempts_count = COUNT(inode_attempts);
