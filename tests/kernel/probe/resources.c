/* Group r: what has no bound. Each attempt stops by itself at a bound of its own, and then says that it was reached. */
#include "probe.h"

#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLEEP_SECONDS = 1000, MANY = 600, FILES = 65600, INODES = 20000, PLACES_MAX = 128 };
#define MIB (1024L * 1024)

/* Runs the work in a child, so that the bound may kill it: the answer is then that it was refused. */
static int contained(int (*work)(const struct attempt *), const struct attempt *attempt) {
    pid_t child = fork();
    if (child < 0) refused("fork");
    if (child == 0) _exit(work(attempt));
    int status = 0;
    waitpid(child, &status, 0);
    errno = ENOMEM;
    if (WIFSIGNALED(status)) refused("killed: %s", strsignal(WTERMSIG(status)));
    return WEXITSTATUS(status);
}

static void step_processes(const struct attempt *attempt) {
    static pid_t children[MANY];
    int made = 0;
    (void)attempt;
    while (made < MANY) {
        pid_t child = fork();
        if (child < 0) break;
        if (child == 0) _exit((int)sleep(SLEEP_SECONDS));
        children[made++] = child;
    }
    int error = errno;
    for (int at = 0; at < made; at++) kill(children[at], SIGKILL);
    for (int at = 0; at < made; at++) waitpid(children[at], NULL, 0);
    errno = error;
    if (made == MANY) reached("%d processes", made);
    refused("%d processes", made);
}

static void *sleeper(void *nothing) {
    sleep(SLEEP_SECONDS); /* not pause(2), which a filter may refuse: the thread would end, and its place be free again */
    return nothing;
}

static void step_threads(const struct attempt *attempt) {
    pthread_attr_t small;
    pthread_t thread;
    int made = 0, error = 0;
    (void)attempt;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    while (made < MANY && (error = pthread_create(&thread, &small, sleeper, NULL)) == 0) made++;
    errno = error;
    if (made == MANY) reached("%d threads", made);
    refused("%d threads", made);
}

/* Touches a MiB of memory at a time until a MiB of a is reached: exit status 0 then, or 1. */
static int eat(const struct attempt *attempt) {
    for (long at = 0; at < attempt->a; at++) {
        char *block = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED) return 1;
        for (long byte = 0; byte < MIB; byte += 4096) block[byte] = 1;
    }
    return 0;
}

static void step_memory(const struct attempt *attempt) {
    if (contained(eat, attempt) == 0) reached("%ld MiB of memory", attempt->a);
    refused("mmap");
}

static int fill_fd(int fd, long mib) {
    static char block[MIB];
    memset(block, 'x', sizeof block);
    long done = 0;
    while (done < mib && write(fd, block, sizeof block) == (ssize_t)sizeof block) done++;
    return done == mib ? 0 : 1;
}

static int fill_memfd(const struct attempt *attempt) {
    int fd = memfd_create("probe", MFD_CLOEXEC);
    return fd < 0 ? 1 : fill_fd(fd, attempt->a);
}

static void step_memfd(const struct attempt *attempt) {
    if (contained(fill_memfd, attempt) == 0) reached("%ld MiB in a memfd", attempt->a);
    refused("memfd");
}

static int fill_sysv(const struct attempt *attempt) {
    int id = shmget(IPC_PRIVATE, (size_t)(attempt->a * MIB), IPC_CREAT | 0600);
    if (id < 0) return 1;
    char *map = shmat(id, NULL, 0);
    shmctl(id, IPC_RMID, NULL); /* it lives until the last process lets go, also by a kill */
    if (map == (void *)-1) return 1;
    for (long byte = 0; byte < attempt->a * MIB; byte += 4096) map[byte] = 1;
    return 0;
}

static void step_sysv(const struct attempt *attempt) {
    if (contained(fill_sysv, attempt) == 0) reached("%ld MiB of System V shared memory", attempt->a);
    refused("shmget");
}

static const char *filled; /* the directory that fill_directory works on */

static int fill_directory(const struct attempt *attempt) {
    char path[512];
    int fd = open(filled, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600); /* without a name: nothing stays after a kill */
    if (fd < 0) {
        snprintf(path, sizeof path, "%s/.probe-fill-%d", filled, getpid());
        fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        if (fd >= 0) unlink(path);
    }
    if (fd < 0) return 2;
    return fill_fd(fd, attempt->a);
}

/* One directory of each file system that can be written; a is the MiB that no bound should allow. */
static void step_fill_everywhere(const struct attempt *attempt) {
    const char *places[PLACES_MAX];
    dev_t seen[PLACES_MAX];
    int count = each_directory(places, PLACES_MAX), known = 0, tried = 0;
    for (int at = 0; at < count; at++) {
        struct stat stat;
        bool again = false;
        if (lstat(places[at], &stat) || !S_ISDIR(stat.st_mode) || access(places[at], W_OK)) continue;
        for (int old = 0; old < known; old++) again |= seen[old] == stat.st_dev;
        if (again) continue;
        filled = places[at];
        pid_t child = fork();
        if (child < 0) refused("fork");
        if (child == 0) _exit(fill_directory(attempt));
        int status = 0;
        waitpid(child, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 2) continue;
        seen[known++] = stat.st_dev;
        tried++;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) reached("%ld MiB in %s", attempt->a, places[at]);
    }
    errno = ENOSPC;
    refused("%d writable file systems are bounded", tried);
}

static void step_fill(const struct attempt *attempt) {
    filled = attempt->path;
    int answer = contained(fill_directory, attempt);
    if (answer == 0) reached("%ld MiB", attempt->a);
    errno = answer == 2 ? EROFS : ENOSPC;
    refused(answer == 2 ? "no file can be made" : "bounded");
}

static void step_inodes(const struct attempt *attempt) {
    char path[128];
    int made = 0, error = 0;
    while (made < INODES) {
        snprintf(path, sizeof path, "%s/.probe-inode-%d", attempt->path, made);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) break;
        close(fd);
        made++;
    }
    error = errno;
    for (int at = 0; at < made; at++) {
        snprintf(path, sizeof path, "%s/.probe-inode-%d", attempt->path, at);
        unlink(path);
    }
    errno = error;
    if (made == INODES) reached("%d files", made);
    refused("%d files", made);
}

static void step_open_files(const struct attempt *attempt) {
    int made = 0;
    (void)attempt;
    while (made < FILES && fcntl(0, F_DUPFD_CLOEXEC, 3) >= 0) made++;
    if (made == 0 && errno == EBADF)
        while (made < FILES && eventfd(0, EFD_CLOEXEC) >= 0) made++;
    if (made == FILES) reached("%d descriptors", made);
    refused("%d descriptors", made);
}

static void step_limit(const struct attempt *attempt) { /* the hard limit is above b */
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)attempt->a, &limit)) refused("getrlimit");
    if (limit.rlim_max > (rlim_t)attempt->b) reached("%s %lld", attempt->path, (long long)limit.rlim_max);
    errno = EPERM;
    refused("%s %lld", attempt->path, (long long)limit.rlim_max);
}

static void step_raise_limit(const struct attempt *attempt) {
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)attempt->a, &limit)) refused("getrlimit");
    if (limit.rlim_max == RLIM_INFINITY) reached("%s has no limit", attempt->path);
    limit.rlim_max++;
    judge(setrlimit((__rlimit_resource_t)attempt->a, &limit), attempt->path);
}

static void step_core(const struct attempt *attempt) {
    (void)attempt;
    pid_t child = fork();
    if (child < 0) refused("fork");
    if (child == 0) {
        struct rlimit limit;
        getrlimit(RLIMIT_CORE, &limit);
        _exit(limit.rlim_max <= 1 ? 0 : 1); /* 1 is less than any core, and a pipe handler is not called with it: core(5) */
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WEXITSTATUS(status)) reached("core dumps are allowed");
    errno = EPERM;
    refused("no core dumps");
}

static void step_scheduler(const struct attempt *attempt) {
    struct sched_param parameter = {.sched_priority = (int)attempt->b};
    judge(sched_setscheduler(0, (int)attempt->a, &parameter), "sched_setscheduler");
}

static void step_deadline(const struct attempt *attempt) {
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } plan = {48, 6, 0, 0, 0, 1000000, 10000000, 10000000};
    (void)attempt;
    judge(syscall(SYS_sched_setattr, 0, &plan, 0), "sched_setattr SCHED_DEADLINE");
}

static void step_io_priority(const struct attempt *attempt) {
    judge(syscall(SYS_ioprio_set, 1, 0, attempt->a << 13), "ioprio_set");
}

static void step_lock_memory(const struct attempt *attempt) {
    size_t size = (size_t)(attempt->a * MIB);
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) refused("mmap");
    judge(mlock(map, size), "mlock");
}

static void step_pipe_size(const struct attempt *attempt) {
    int ends[2];
    if (pipe(ends)) refused("pipe");
    judge(fcntl(ends[1], F_SETPIPE_SZ, attempt->a), "F_SETPIPE_SZ");
}

static void step_pipes(const struct attempt *attempt) {
    int ends[2];
    long made = 0;
    while (made < attempt->a && pipe2(ends, O_CLOEXEC) == 0) made++;
    if (made == attempt->a) reached("%ld pipes", made);
    refused("%ld pipes", made);
}

static void step_socket_pairs(const struct attempt *attempt) {
    int ends[2];
    long made = 0;
    while (made < attempt->a && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0) made++;
    if (made == attempt->a) reached("%ld socket pairs", made);
    refused("%ld socket pairs", made);
}

static void step_timers(const struct attempt *attempt) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    long made = 0;
    timer_t timer;
    while (made < attempt->a && timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) made++;
    if (made == attempt->a) reached("%ld timers", made);
    refused("%ld timers", made);
}

static void step_inotify_instances(const struct attempt *attempt) {
    long made = 0;
    while (made < attempt->a && inotify_init1(IN_CLOEXEC) >= 0) made++;
    if (made == attempt->a) reached("%ld inotify instances", made);
    refused("%ld inotify instances", made);
}

static void step_queue_bytes(const struct attempt *attempt) {
    struct mq_attr large = {.mq_maxmsg = 10, .mq_msgsize = 8192};
    char name[64];
    long made = 0;
    for (; made < attempt->a; made++) {
        snprintf(name, sizeof name, "/probe-%d-%ld", getpid(), made);
        if (mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &large) < 0) break;
    }
    int error = errno;
    for (long at = 0; at < made; at++) {
        snprintf(name, sizeof name, "/probe-%d-%ld", getpid(), at);
        mq_unlink(name);
    }
    errno = error;
    if (made == attempt->a) reached("%ld message queues", made);
    refused("%ld message queues", made);
}

static void step_huge_map(const struct attempt *attempt) {
    void *map = mmap(NULL, (size_t)(attempt->a * MIB), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (int)attempt->b, -1, 0);
    judge(map == MAP_FAILED ? -1 : 0, "mmap");
}

static void *spin(void *nothing) {
    for (;;) __asm__ volatile("" ::: "memory");
    return nothing;
}

static double seconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Never more than told: a machine under load gives less by itself. */
static void step_processors(const struct attempt *attempt) {
    pthread_t thread;
    for (long at = 0; at < attempt->a; at++)
        if (pthread_create(&thread, NULL, spin, NULL)) refused("pthread_create");
    double wall = seconds(CLOCK_MONOTONIC), used = seconds(CLOCK_PROCESS_CPUTIME_ID);
    const struct timespec half = {0, 500000000};
    nanosleep(&half, NULL);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    used = seconds(CLOCK_PROCESS_CPUTIME_ID) - used;
    errno = 0;
    unsure("%.2f processors used by %ld threads", used / wall, attempt->a);
}

#define LIMIT(name, resource, above) {"r.limit_" name, 0, step_limit, #resource, resource, above}
#define LIMIT_LOOSE(name, resource, above) {"r.limit_" name, LOOSE, step_limit, #resource, resource, above}
#define RAISE(name, resource) {"r.raise_" name, 0, step_raise_limit, #resource, resource, 0}
#define FILL(name, path) {"r.fill_" name, HEAVY, step_fill, path, 600, 0}

const struct attempt resource_attempts[] = {
    {"r.processes", HEAVY, step_processes, NULL, 0, 0},
    {"r.threads", HEAVY, step_threads, NULL, 0, 0},
    {"r.memory", HEAVY, step_memory, NULL, 1024, 0},
    {"r.memfd", HEAVY, step_memfd, NULL, 600, 0},
    {"r.sysv_shm", HEAVY, step_sysv, NULL, 600, 0},
    {"r.fill_everywhere", HEAVY, step_fill_everywhere, NULL, 600, 0},
    FILL("tmp", "/tmp"),
    FILL("var_tmp", "/var/tmp"),
    FILL("run", "/run"),
    FILL("dev_shm", "/dev/shm"),
    FILL("dev", "/dev"),
    FILL("home", "/home"),
    FILL("root", "/"),
    {"r.inodes_tmp", HEAVY | LOOSE, step_inodes, "/tmp", 0, 0},
    {"r.inodes_dev_shm", HEAVY | LOOSE, step_inodes, "/dev/shm", 0, 0},
    {"r.open_files", HEAVY, step_open_files, NULL, 0, 0},
    LIMIT("open_files", RLIMIT_NOFILE, 65536),
    LIMIT("processes", RLIMIT_NPROC, 32768),
    LIMIT("locked_memory", RLIMIT_MEMLOCK, 64 * MIB),
    LIMIT("rt_priority", RLIMIT_RTPRIO, 0),
    LIMIT("nice", RLIMIT_NICE, 20),
    LIMIT("message_queues", RLIMIT_MSGQUEUE, 819200),
    LIMIT("core", RLIMIT_CORE, 1), /* no core has a size of 1, and a pipe handler is called with 0, never with 1 */
    LIMIT_LOOSE("pending_signals", RLIMIT_SIGPENDING, 200000),
    LIMIT_LOOSE("rt_time", RLIMIT_RTTIME, 1000000000),
    RAISE("open_files", RLIMIT_NOFILE),
    RAISE("processes", RLIMIT_NPROC),
    RAISE("locked_memory", RLIMIT_MEMLOCK),
    RAISE("rt_priority", RLIMIT_RTPRIO),
    RAISE("core", RLIMIT_CORE),
    RAISE("message_queues", RLIMIT_MSGQUEUE),
    {"r.core_dumps", 0, step_core, NULL, 0, 0},
    {"r.realtime_fifo", 0, step_scheduler, NULL, SCHED_FIFO, 1},
    {"r.realtime_rr", 0, step_scheduler, NULL, SCHED_RR, 1},
    {"r.deadline", 0, step_deadline, NULL, 0, 0},
    {"r.io_realtime", 0, step_io_priority, NULL, 1, 0},
    {"r.mlock_64_mib", HEAVY, step_lock_memory, NULL, 64, 0},
    {"r.pipe_2_mib", 0, step_pipe_size, NULL, 2 * MIB, 0},
    {"r.pipes_2000", LOOSE | HEAVY, step_pipes, NULL, 2000, 0},
    {"r.socket_pairs_2000", LOOSE | HEAVY, step_socket_pairs, NULL, 2000, 0},
    {"r.timers_20000", LOOSE | HEAVY, step_timers, NULL, 20000, 0},
    {"r.inotify_1000", LOOSE, step_inotify_instances, NULL, 1000, 0},
    {"r.message_queues_100", LOOSE, step_queue_bytes, NULL, 100, 0},
    {"r.map_64_gib", LOOSE, step_huge_map, NULL, 65536, 0},
    {"r.huge_pages", LOOSE, step_huge_map, NULL, 2, MAP_HUGETLB},
    {"r.processors", LOOSE | HEAVY, step_processors, NULL, 4, 0},
};
const size_t resource_attempts_count = COUNT(resource_attempts);
