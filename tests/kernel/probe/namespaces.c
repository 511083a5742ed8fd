/* Group k: namespaces, by each of the calls that make or enter one. */
#include "probe.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void step_unshare(const struct attempt *attempt) { judge(unshare((int)attempt->a), "unshare"); }

static _Noreturn void judge_clone(long answer, const char *what) {
    if (answer == 0) _exit(0);
    if (answer > 0) waitpid((pid_t)answer, NULL, __WALL);
    judge(answer, what);
}

static void step_clone(const struct attempt *attempt) {
    judge_clone(syscall(SYS_clone, attempt->a | SIGCHLD, NULL, NULL, NULL, NULL), "clone");
}

static void step_clone3(const struct attempt *attempt) {
    struct clone_args arguments = {.flags = (uint64_t)attempt->a, .exit_signal = SIGCHLD};
    judge_clone(syscall(SYS_clone3, &arguments, sizeof arguments), "clone3");
}

static void step_setns(const struct attempt *attempt) {
    int fd = open(attempt->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) refused("open %s", attempt->path);
    judge(setns(fd, (int)attempt->a), "setns");
}

static void step_setns_pidfd(const struct attempt *attempt) {
    int fd = (int)syscall(SYS_pidfd_open, probe_pid, 0);
    if (fd < 0) refused("pidfd_open");
    judge(setns(fd, (int)attempt->a), "setns by pidfd");
}

/* With a user namespace of one's own everything else becomes possible: the classic chain, two steps of it. */
static void step_user_chain(const struct attempt *attempt) {
    if (unshare(CLONE_NEWUSER)) refused("unshare CLONE_NEWUSER");
    judge(unshare((int)attempt->a), "a namespace inside the new user namespace");
}

#define NAMESPACE(name, flag) \
    {"k.unshare_" name, 0, step_unshare, NULL, flag, 0}, {"k.clone_" name, 0, step_clone, NULL, flag, 0}, \
    {"k.clone3_" name, 0, step_clone3, NULL, flag, 0}
#define SETNS(name, flag) {"k.setns_" name, 0, step_setns, "/proc/self/ns/" name, flag, 0}

const struct attempt namespace_attempts[] = {
    NAMESPACE("user", CLONE_NEWUSER),
    NAMESPACE("mount", CLONE_NEWNS),
    NAMESPACE("pid", CLONE_NEWPID),
    NAMESPACE("net", CLONE_NEWNET),
    NAMESPACE("ipc", CLONE_NEWIPC),
    NAMESPACE("uts", CLONE_NEWUTS),
    NAMESPACE("cgroup", CLONE_NEWCGROUP),
    {"k.unshare_time", 0, step_unshare, NULL, CLONE_NEWTIME, 0},
    {"k.unshare_files", LOOSE, step_unshare, NULL, CLONE_FILES, 0},
    {"k.user_then_net", 0, step_user_chain, NULL, CLONE_NEWNET, 0},
    {"k.user_then_mount", 0, step_user_chain, NULL, CLONE_NEWNS, 0},
    SETNS("mnt", CLONE_NEWNS),
    SETNS("net", CLONE_NEWNET),
    SETNS("pid", CLONE_NEWPID),
    SETNS("uts", CLONE_NEWUTS),
    SETNS("ipc", CLONE_NEWIPC),
    SETNS("cgroup", CLONE_NEWCGROUP),
    {"k.setns_pidfd", 0, step_setns_pidfd, NULL, CLONE_NEWNET, 0},
};
const size_t namespace_attempts_count = COUNT(namespace_attempts);
