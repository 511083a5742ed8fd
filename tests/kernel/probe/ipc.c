/* Group p, second part: System V and POSIX objects and abstract sockets that somebody else made. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { KEY = 0x70726f62 };

static _Noreturn void judge_count(int count, const char *what) {
    if (count > 0) reached("%d %s", count, what);
    if (count == 0) errno = ENOENT;
    refused("%s", what);
}

static void step_shm_seen(const struct attempt *attempt) {
    struct shm_info info;
    (void)attempt;
    judge_count(shmctl(0, SHM_INFO, (struct shmid_ds *)&info) < 0 ? -1 : info.used_ids, "shared memory segments");
}

static void step_msg_seen(const struct attempt *attempt) {
    struct msginfo info;
    (void)attempt;
    judge_count(msgctl(0, MSG_INFO, (struct msqid_ds *)&info) < 0 ? -1 : info.msgpool, "message queues");
}

static void step_sem_seen(const struct attempt *attempt) {
    union {
        int val;
        struct seminfo *info;
    } argument;
    struct seminfo info;
    (void)attempt;
    argument.info = &info;
    judge_count(semctl(0, 0, SEM_INFO, argument) < 0 ? -1 : info.semusz, "semaphore sets");
}

static void step_shm_attach(const struct attempt *attempt) {
    struct shmid_ds data;
    struct shm_info info;
    (void)attempt;
    int last = shmctl(0, SHM_INFO, (struct shmid_ds *)&info);
    if (last < 0) refused("shmctl");
    for (int at = 0; at <= last && info.used_ids > 0; at++) {
        int id = shmctl(at, SHM_STAT, &data);
        if (id >= 0 && shmat(id, NULL, SHM_RDONLY) != (void *)-1) reached("segment %d attached", id);
    }
    errno = ENOENT;
    refused("nothing to attach");
}

static void step_shm_make(const struct attempt *attempt) {
    int id = shmget(KEY + getpid(), 4096, IPC_CREAT | IPC_EXCL | 0600);
    (void)attempt;
    if (id >= 0) shmctl(id, IPC_RMID, NULL);
    judge(id, "shmget");
}

static void step_msg_make(const struct attempt *attempt) {
    int id = msgget(KEY + getpid(), IPC_CREAT | IPC_EXCL | 0600);
    (void)attempt;
    if (id >= 0) msgctl(id, IPC_RMID, NULL);
    judge(id, "msgget");
}

static void step_sem_make(const struct attempt *attempt) {
    int id = semget(KEY + getpid(), 1, IPC_CREAT | IPC_EXCL | 0600);
    (void)attempt;
    if (id >= 0) semctl(id, 0, IPC_RMID);
    judge(id, "semget");
}

static void step_mq_make(const struct attempt *attempt) {
    char name[64];
    (void)attempt;
    snprintf(name, sizeof name, "/probe-%d", getpid());
    mqd_t queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL);
    if (queue >= 0) mq_unlink(name);
    judge(queue, "mq_open");
}

static void step_shm_others(const struct attempt *attempt) {
    DIR *directory = opendir(attempt->path);
    int count = 0;
    char first[256] = "";
    if (!directory) refused("opendir");
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.') continue;
        if (count++ == 0) snprintf(first, sizeof first, "%s", entry->d_name);
    }
    if (count) reached("%d objects, one is %s", count, first);
    errno = ENOENT;
    refused("nothing there");
}

/* Connects to an abstract name; the leading NUL is added here. */
static bool abstract_answers(const char *name, int type) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    if (length + 1 > sizeof address.sun_path) return false;
    memcpy(address.sun_path + 1, name, length);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    bool answers = connect(fd, (struct sockaddr *)&address, size) == 0 || errno == EPROTOTYPE || errno == EAGAIN;
    int error = errno;
    close(fd);
    errno = error;
    return answers;
}

static void step_abstract_host(const struct attempt *attempt) {
    (void)attempt;
    if (settings.host_abstract.count == 0) unsure("no --host-abstract given");
    for (int at = 0; at < settings.host_abstract.count; at++)
        if (abstract_answers(settings.host_abstract.items[at], SOCK_STREAM)) reached("@%s answers", settings.host_abstract.items[at]);
    refused("none of %d names", settings.host_abstract.count);
}

static void step_abstract(const struct attempt *attempt) {
    if (abstract_answers(attempt->path, SOCK_STREAM)) reached("@%s answers", attempt->path);
    refused("connect");
}

static void step_abstract_seen(const struct attempt *attempt) {
    char line[512];
    FILE *file = fopen("/proc/net/unix", "re");
    (void)attempt;
    if (!file) refused("open");
    while (fgets(line, sizeof line, file)) {
        char *name = strchr(line, '@');
        if (name) reached("%s", name);
    }
    errno = ENOENT;
    refused("no abstract name in /proc/net/unix");
}

static void step_unix_seen(const struct attempt *attempt) {
    char line[512];
    FILE *file = fopen("/proc/net/unix", "re");
    int count = -1; /* the heading */
    (void)attempt;
    if (!file) refused("open");
    while (fgets(line, sizeof line, file)) count++;
    judge_count(count, "unix sockets in /proc/net/unix");
}

#define ABSTRACT(name, socket) {"p.abstract_" name, OUTSIDE, step_abstract, socket, 0, 0}

const struct attempt ipc_attempts[] = {
    {"p.sysv_shm_seen", 0, step_shm_seen, NULL, 0, 0},
    {"p.sysv_msg_seen", 0, step_msg_seen, NULL, 0, 0},
    {"p.sysv_sem_seen", 0, step_sem_seen, NULL, 0, 0},
    {"p.sysv_shm_attached", OUTSIDE, step_shm_attach, NULL, 0, 0},
    {"p.sysv_shm_made", LOOSE, step_shm_make, NULL, 0, 0},
    {"p.sysv_msg_made", LOOSE, step_msg_make, NULL, 0, 0},
    {"p.sysv_sem_made", LOOSE, step_sem_make, NULL, 0, 0},
    {"p.posix_mq_made", LOOSE, step_mq_make, NULL, 0, 0},
    {"p.posix_mq_seen", 0, step_shm_others, "/dev/mqueue", 0, 0},
    {"p.posix_shm_seen", 0, step_shm_others, "/dev/shm", 0, 0},
    {"p.abstract_host", 0, step_abstract_host, NULL, 0, 0},
    {"p.abstract_seen", 0, step_abstract_seen, NULL, 0, 0},
    {"p.unix_seen", 0, step_unix_seen, NULL, 0, 0},
    ABSTRACT("x11", "/tmp/.X11-unix/X0"),
    ABSTRACT("iscsi", "ISCSIADM_ABSTRACT_NAMESPACE"),
    ABSTRACT("multipath", "/org/kernel/linux/storage/multipathd"),
    ABSTRACT("upstart", "/com/ubuntu/upstart"),
    ABSTRACT("ibus", "/tmp/ibus/dbus"),
};
const size_t ipc_attempts_count = COUNT(ipc_attempts);
