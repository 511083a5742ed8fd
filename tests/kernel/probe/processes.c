/* Group p, first part: other processes, the launcher's environment and terminal, names and namespaces of the host. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { PID_SCAN = 33000, BLOCK = 1 << 16 };

static bool ours(pid_t pid) { return pid == getpid() || pid == probe_pid || pid == 1; }

static void step_env_canary(const struct attempt *attempt) {
    (void)attempt;
    if (settings.canaries.count == 0) unsure("no --canary given");
    for (int at = 0; at < settings.canaries.count; at++)
        if (getenv(settings.canaries.items[at])) reached("%s is in the environment", settings.canaries.items[at]);
    errno = ENOENT;
    refused("none of %d names", settings.canaries.count);
}

/* Names only, never a value: the words that secrets are called by. */
static void step_env_words(const struct attempt *attempt) {
    static const char *const words[] = {"TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "CREDENTIAL", "AUTH_SOCK", "PRIVATE"};
    (void)attempt;
    for (char **at = environ; *at; at++)
        for (size_t word = 0; word < COUNT(words); word++) {
            char *found = strstr(*at, words[word]), *equals = strchr(*at, '=');
            if (found && equals && found < equals) reached("%.*s", (int)(equals - *at), *at);
        }
    errno = ENOENT;
    refused("no name sounds like a secret");
}

static void step_env_name(const struct attempt *attempt) {
    if (getenv(attempt->path)) reached("%s is set", attempt->path);
    errno = ENOENT;
    refused("%s is not set", attempt->path);
}

static bool holds_canary(const char *path, const char **name) {
    static char block[BLOCK];
    long size = slurp(path, block, sizeof block);
    if (size <= 0) return false;
    for (int at = 0; at < settings.canaries.count; at++) {
        *name = settings.canaries.items[at];
        if (memmem(block, (size_t)size, *name, strlen(*name))) return true;
    }
    return false;
}

/* In every process that /proc shows: its environment or its command line. */
static void step_canary_elsewhere(const struct attempt *attempt) {
    char path[300];
    const char *name = "";
    DIR *proc = opendir("/proc");
    if (settings.canaries.count == 0) unsure("no --canary given");
    if (!proc) refused("opendir /proc");
    for (struct dirent *entry; (entry = readdir(proc));) {
        int pid = atoi(entry->d_name);
        if (pid <= 0 || pid == getpid() || pid == probe_pid) continue; /* its own command line names the canary */
        snprintf(path, sizeof path, "/proc/%d/%s", pid, attempt->path);
        if (holds_canary(path, &name)) reached("%s in %s", name, path);
    }
    errno = ENOENT;
    refused("in no %s", attempt->path);
}

static void step_visible_processes(const struct attempt *attempt) {
    DIR *proc = opendir("/proc");
    int seen = 0, last = 0;
    (void)attempt;
    if (!proc) refused("opendir /proc");
    for (struct dirent *entry; (entry = readdir(proc));) {
        int pid = atoi(entry->d_name);
        if (pid <= 0 || ours(pid)) continue;
        seen++;
        last = pid;
    }
    if (seen) reached("%d processes, one is %d", seen, last);
    errno = ESRCH;
    refused("only process 1 and the probe");
}

/* Signal 0 sends nothing; EPERM says that the process is there. a: may it be signalled too? */
static void step_signal_scan(const struct attempt *attempt) {
    int found = 0, last = 0;
    for (pid_t pid = 2; pid < PID_SCAN; pid++) {
        if (ours(pid)) continue;
        if (kill(pid, 0) == 0 || (!attempt->a && errno == EPERM)) found++, last = pid;
    }
    if (found) reached("%d processes answer, one is %d", found, last);
    errno = ESRCH;
    refused("no process answers");
}

static void step_signal_pid1(const struct attempt *attempt) {
    (void)attempt;
    if (probe_pid == 1) unsure("the probe itself is process 1");
    judge(kill(1, 0), "signal to process 1");
}

static void step_host_pid(const struct attempt *attempt) {
    (void)attempt;
    if (settings.host_pids.count == 0) unsure("no --host-pid given");
    for (int at = 0; at < settings.host_pids.count; at++) {
        pid_t pid = atoi(settings.host_pids.items[at]);
        if (!ours(pid) && (kill(pid, 0) == 0 || errno == EPERM)) reached("process %d answers", pid);
    }
    refused("no such process");
}

static void step_prlimit_pid1(const struct attempt *attempt) {
    struct rlimit limit;
    (void)attempt;
    if (probe_pid == 1) unsure("the probe itself is process 1");
    judge(syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, NULL, &limit), "prlimit of process 1");
}

static void step_affinity_pid1(const struct attempt *attempt) {
    unsigned long mask[16];
    (void)attempt;
    if (probe_pid == 1) unsure("the probe itself is process 1");
    long size = syscall(SYS_sched_getaffinity, 1, sizeof mask, mask);
    judge(size < 0 ? size : syscall(SYS_sched_setaffinity, 1, size, mask), "the same affinity for process 1");
}

static void step_session(const struct attempt *attempt) {
    (void)attempt;
    pid_t session = getsid(probe_pid), group = getpgid(probe_pid);
    if (session == 0) reached("the session's leader is outside");
    if (group == 0) reached("the process group's leader is outside");
    if (session < 0) refused("getsid");
    errno = ESRCH;
    refused("session %d, process group %d", session, group);
}

static void step_controlling_tty(const struct attempt *attempt) {
    (void)attempt;
    judge(open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), "open /dev/tty");
}

static void step_foreign_tty(const struct attempt *attempt) {
    char name[256];
    (void)attempt;
    for (int fd = 0; fd < 3; fd++) {
        if (!isatty(fd)) continue;
        if (ttyname_r(fd, name, sizeof name)) reached("descriptor %d is a terminal from outside", fd);
    }
    errno = ENOTTY;
    refused("no terminal from outside");
}

static void step_steal_tty(const struct attempt *attempt) {
    (void)attempt;
    for (int fd = 0; fd < 3; fd++) {
        if (!isatty(fd)) continue;
        if (setsid() >= 0 && ioctl(fd, TIOCSCTTY, 1) == 0) reached("descriptor %d became the controlling terminal", fd);
    }
    if (errno == 0) errno = ENOTTY;
    refused("no terminal to take");
}

static void step_ptmx(const struct attempt *attempt) {
    judge(open(attempt->path, O_RDWR | O_NOCTTY | O_CLOEXEC), "open");
}

static void step_pts_others(const struct attempt *attempt) {
    char path[64];
    (void)attempt;
    for (int number = 0; number < 64; number++) {
        struct stat stat;
        snprintf(path, sizeof path, "/dev/pts/%d", number);
        if (lstat(path, &stat)) continue;
        int fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0) reached("%s opens", path);
    }
    if (errno == 0) errno = ENOENT;
    refused("no terminal of another");
}

static void step_hostname(const struct attempt *attempt) {
    char name[256] = "";
    if (!settings.hostname) unsure("no --hostname given");
    if (attempt->path) slurp(attempt->path, name, sizeof name);
    else if (gethostname(name, sizeof name)) refused("gethostname");
    name[strcspn(name, "\n")] = 0;
    if (strcmp(name, settings.hostname) == 0) reached("the host's: %s", name);
    errno = ENOENT;
    refused("%s", name[0] ? name : "no name");
}

/* The kernel's first namespaces have fixed inode numbers (include/uapi/linux/nsfs.h; net and mnt by order of birth). */
static void step_initial_namespace(const struct attempt *attempt) {
    char link[64], path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", attempt->path);
    ssize_t length = readlink(path, link, sizeof link - 1);
    if (length < 0) refused("readlink");
    link[length] = 0;
    const char *number = strchr(link, '[');
    long inode = number ? atol(number + 1) : 0;
    if (inode == attempt->a || inode == attempt->b) reached("the host's own: %s", link);
    errno = EXDEV;
    refused("%s", link);
}

static void step_clock_offset(const struct attempt *attempt) {
    struct timespec time;
    char text[64];
    (void)attempt;
    if (clock_gettime(CLOCK_BOOTTIME, &time)) refused("clock_gettime");
    slurp("/proc/self/timens_offsets", text, sizeof text);
    text[strcspn(text, "\n")] = 0;
    errno = 0;
    unsure("%ld s since boot, offsets %s", (long)time.tv_sec, text);
}

static void step_cmdline_pid1(const struct attempt *attempt) {
    char text[512];
    (void)attempt;
    long size = slurp("/proc/1/cmdline", text, sizeof text);
    if (size < 0) refused("read");
    for (long at = 0; at + 1 < size; at++)
        if (text[at] == 0) text[at] = ' ';
    errno = 0;
    unsure("%s", text);
}

#define ENV(name, variable) {"p.env_" name, 0, step_env_name, variable, 0, 0}
#define INITIAL(name, inode, other) {"p.ns_" name "_initial", 0, step_initial_namespace, name, inode, other}

const struct attempt process_attempts[] = {
    {"p.env_canary", 0, step_env_canary, NULL, 0, 0},
    {"p.env_secret_names", 0, step_env_words, NULL, 0, 0},
    ENV("ssh_auth_sock", "SSH_AUTH_SOCK"),
    ENV("dbus", "DBUS_SESSION_BUS_ADDRESS"),
    ENV("xdg_runtime", "XDG_RUNTIME_DIR"),
    ENV("docker_host", "DOCKER_HOST"),
    ENV("kubeconfig", "KUBECONFIG"),
    ENV("ld_preload", "LD_PRELOAD"),
    ENV("ld_library_path", "LD_LIBRARY_PATH"),
    ENV("notify_socket", "NOTIFY_SOCKET"),
    ENV("listen_fds", "LISTEN_FDS"),
    ENV("sudo_user", "SUDO_USER"),
    ENV("pythonpath", "PYTHONPATH"),
    ENV("oldpwd", "OLDPWD"),
    {"p.environ_of_others", OUTSIDE, step_canary_elsewhere, "environ", 0, 0},
    {"p.cmdline_of_others", OUTSIDE, step_canary_elsewhere, "cmdline", 0, 0},
    {"p.visible", 0, step_visible_processes, NULL, 0, 0},
    {"p.signal_finds", 0, step_signal_scan, NULL, 0, 0},
    {"p.signal_reaches", OUTSIDE, step_signal_scan, NULL, 1, 0},
    {"p.signal_pid1", LOOSE | OUTSIDE, step_signal_pid1, NULL, 0, 0},
    {"p.signal_host_pid", 0, step_host_pid, NULL, 0, 0},
    {"p.prlimit_pid1", LOOSE | OUTSIDE, step_prlimit_pid1, NULL, 0, 0},
    {"p.affinity_pid1", LOOSE | OUTSIDE, step_affinity_pid1, NULL, 0, 0},
    {"p.session_outside", 0, step_session, NULL, 0, 0},
    {"p.tty_controlling", LOOSE, step_controlling_tty, NULL, 0, 0},
    {"p.tty_from_outside", 0, step_foreign_tty, NULL, 0, 0},
    {"p.tty_stolen", OUTSIDE, step_steal_tty, NULL, 0, 0},
    {"p.pts_of_others", OUTSIDE, step_pts_others, NULL, 0, 0},
    {"p.ptmx", LOOSE, step_ptmx, "/dev/ptmx", 0, 0},
    {"p.console", 0, step_ptmx, "/dev/console", 0, 0},
    {"p.hostname", 0, step_hostname, NULL, 0, 0},
    {"p.hostname_proc", 0, step_hostname, "/proc/sys/kernel/hostname", 0, 0},
    {"p.hostname_etc", 0, step_hostname, "/etc/hostname", 0, 0},
    INITIAL("user", 4026531837, 0),
    INITIAL("uts", 4026531838, 0),
    INITIAL("ipc", 4026531839, 0),
    INITIAL("pid", 4026531836, 0),
    INITIAL("cgroup", 4026531835, 0),
    INITIAL("time", 4026531834, 0),
    INITIAL("net", 4026531833, 4026531840),
    INITIAL("mnt", 4026531832, 4026531841),
    {"p.clock_offset", LOOSE, step_clock_offset, NULL, 0, 0},
    {"p.cmdline_pid1", LOOSE, step_cmdline_pid1, NULL, 0, 0},
};
const size_t process_attempts_count = COUNT(process_attempts);
