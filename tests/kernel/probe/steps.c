#include "steps.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { DIRECTORIES_MAX = 96 };

long slurp(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -1;
    size_t used = 0;
    while (used + 1 < size) {
        ssize_t got = read(fd, text + used, size - 1 - used);
        if (got <= 0) break;
        used += (size_t)got;
    }
    text[used] = 0;
    close(fd);
    return (long)used;
}

const char *status_field(const char *name, char *text, size_t size) {
    char line[300];
    FILE *file = fopen("/proc/self/status", "re");
    if (!file) return NULL;
    size_t length = strlen(name);
    bool found = false;
    while (!found && fgets(line, sizeof line, file))
        found = strncmp(line, name, length) == 0 && line[length] == ':';
    fclose(file);
    if (!found) return NULL;
    const char *value = line + length + 1;
    value += strspn(value, " \t");
    snprintf(text, size, "%.*s", (int)strcspn(value, "\n"), value);
    return text;
}

static int entries(const char *path, char *first, size_t size) {
    DIR *directory = opendir(path);
    if (!directory) return -1;
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (count++ == 0) snprintf(first, size, "%s", entry->d_name);
    }
    closedir(directory);
    return count;
}

static void judge_directory(const char *path) {
    char first[256] = "";
    int count = entries(path, first, sizeof first);
    if (count > 0) reached("%d entries, one is %s", count, first);
    if (count == 0) errno = ENOENT;
    refused("%s", count == 0 ? "an empty directory" : "opendir");
}

void step_visible(const struct attempt *attempt) {
    struct stat stat;
    if (lstat(attempt->path, &stat)) refused("lstat");
    if (S_ISDIR(stat.st_mode)) judge_directory(attempt->path);
    if (S_ISCHR(stat.st_mode)) { /* a mask made of /dev/null */
        errno = EACCES;
        refused("masked by a device");
    }
    if (S_ISREG(stat.st_mode) && stat.st_size == 0) {
        errno = ENOENT;
        refused("an empty file");
    }
    reached("visible, mode %o owner %u", stat.st_mode, stat.st_uid);
}

void step_readable(const struct attempt *attempt) {
    struct stat stat;
    if (lstat(attempt->path, &stat) == 0 && S_ISDIR(stat.st_mode)) judge_directory(attempt->path);
    int fd = open(attempt->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) refused("open");
    char byte;
    ssize_t got = read(fd, &byte, 1);
    if (got > 0 || (got < 0 && errno == EAGAIN)) reached("readable");
    if (got == 0) errno = ENODATA;
    refused("read");
}

void step_openable(const struct attempt *attempt) {
    int fd = open(attempt->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    judge(fd, "open for reading");
}

static bool is_null_device(int fd) {
    struct stat stat;
    return fstat(fd, &stat) == 0 && S_ISCHR(stat.st_mode) && stat.st_rdev == 0x103;
}

void step_writable(const struct attempt *attempt) {
    int fd = open(attempt->path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) refused("open for writing");
    if (is_null_device(fd)) {
        errno = EACCES;
        refused("masked by /dev/null");
    }
    reached("open for writing");
}

static void name_in(const char *directory, char *path, size_t size) {
    snprintf(path, size, "%s/.probe-%d", directory, getpid());
}

void step_creatable(const struct attempt *attempt) {
    char path[512];
    name_in(attempt->path, path, sizeof path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) refused("create a file");
    unlink(path);
    reached("created and removed a file");
}

void step_makes_dir(const struct attempt *attempt) {
    char path[512];
    name_in(attempt->path, path, sizeof path);
    if (mkdir(path, 0700)) refused("mkdir");
    rmdir(path);
    reached("made and removed a directory");
}

void step_connects(const struct attempt *attempt) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat stat;
    if (lstat(attempt->path, &stat)) refused("lstat");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) refused("socket");
    snprintf(address.sun_path, sizeof address.sun_path, "%s", attempt->path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN || errno == EPROTOTYPE)
        reached("a listener answers");
    refused("connect");
}

void step_exists(const struct attempt *attempt) {
    struct stat stat;
    if (lstat(attempt->path, &stat)) refused("lstat");
    reached("there, mode %o", stat.st_mode);
}

void step_device(const struct attempt *attempt) {
    struct stat stat;
    if (lstat(attempt->path, &stat)) refused("lstat");
    if (!S_ISCHR(stat.st_mode) && !S_ISBLK(stat.st_mode)) {
        errno = ENODEV;
        refused("not a device, mode %o", stat.st_mode);
    }
    int fd = open(attempt->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    /* the node is there and the kernel let us look behind it: that no hardware answers is not our doing */
    if (fd >= 0 || errno == ENXIO || errno == ENODEV || errno == EBUSY || errno == EIO || errno == ENOMEDIUM)
        reached("device %lx opens", (long)stat.st_rdev);
    refused("open");
}

int each_directory(const char **directories, int limit) {
    static char mounts[DIRECTORIES_MAX][256];
    static const char *const known[] = {"/",     "/tmp", "/var/tmp", "/dev",       "/dev/shm", "/dev/mqueue", "/run", "/var/run",
                                        "/etc",  "/usr", "/home",    "/root",      "/srv",     "/opt",        "/mnt", "/var/lib",
                                        "/proc", "/sys", "/data",    "/workspace", "/cache",   "/run/lock",   "."};
    int count = 0;
    for (size_t at = 0; at < COUNT(known) && count < limit; at++) directories[count++] = known[at];
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file) return count;
    char line[2048];
    for (int at = 0; count < limit && at < DIRECTORIES_MAX && fgets(line, sizeof line, file); at++)
        if (sscanf(line, "%*d %*d %*s %*s %255s", mounts[at]) == 1) directories[count++] = mounts[at];
    fclose(file);
    return count;
}
